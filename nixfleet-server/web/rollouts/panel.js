// Rollouts on the page: the view of all of them, and those under way beside the fleet.

import { byId } from "../dom.js";
import { button, flat, h } from "../model.js";
import { patch } from "../patch.js";
import { ENDED_ROLLOUTS } from "../state.js";
import { rollout } from "./api.js";
import { openNew, openVerb } from "./dialogs.js";
import { openWhatIf } from "./simulate.js";
import { rolloutView, rolloutsView, title } from "./view.js";
import { stateShape } from "./words.js";

/** @import { Page } from "../page.js" */
/** @import { RolloutView } from "./types.js" */

/** @param {RolloutView} one */
export const hasEnded = (one) => ENDED_ROLLOUTS.has(one.state);

/** @param {RolloutView} one */
const wentWrong = (one) => ["error", "outdated"].includes(stateShape(one.state));

/**
 * What stands beside the fleet, the newest first.
 * @param {Iterable<RolloutView>} rollouts
 * @param {?string} away The one that was put away.
 */
export function inStrip(rollouts, away) {
  const all = [...rollouts].sort((one, next) => next.created - one.created);
  return all.filter((one, index) => !hasEnded(one) || (index === 0 && wentWrong(one) && one.id !== away));
}

/** @param {RolloutView} one */
function putAway(one) {
  return h(
    "div",
    { class: "actions", key: "put-away" },
    button("put-away", "Put away", { rollout: one.id }, { class: "quiet", "aria-label": `Put away: ${title(one)}` }),
  );
}

const PUT_AWAY = "nixfleet-put-away";

/** @param {?string} rollout */
function remember(rollout) {
  try {
    localStorage.setItem(PUT_AWAY, rollout ?? "");
  } catch {
    // Where nothing is kept it is put away for as long as the page is open.
  }
}

/** @returns {?string} */
function remembered() {
  try {
    return localStorage.getItem(PUT_AWAY);
  } catch {
    return null;
  }
}

export class RolloutPanel {
  /** @type {?string} */
  #opened = null;
  /** One that clients do not keep, asked for. @type {?RolloutView} */
  #past = null;
  /** The one that went wrong and was put away. @type {?string} */
  #putAway = remembered();

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.box = byId("rollouts", HTMLElement);
    this.strip = byId("under-way", HTMLElement);
    page.onAct(this.box, (data) => this.act(data));
    page.onAct(this.strip, (data) => this.act(data));
  }

  /** @param {?string} id */
  async opened(id) {
    this.#opened = id;
    this.#past = null;
    this.draw();
    if (id !== null && !this.page.state().rollouts.has(id)) {
      try {
        this.#past = await rollout(id);
        this.draw();
      } catch {
        // The view says that it is not known.
      }
    }
    if (id !== null) document.getElementById(`rollout-${id}`)?.scrollIntoView({ block: "nearest" });
  }

  draw() {
    const known = this.page.state().rollouts;
    const past = this.#past && !known.has(this.#past.id) ? [this.#past] : [];
    const all = [...known.values(), ...past];
    patch(this.box, flat(rolloutsView(all, hasEnded, this.#opened, this.page.nameOf)));
  }

  /** What is under way, where the fleet is looked at; and the last one if it went wrong, until somebody
   * has put it away. */
  drawStrip() {
    const shown = inStrip(this.page.state().rollouts.values(), this.#putAway);
    const views = shown.map((one) => rolloutView(one, this.page.nameOf, false, hasEnded(one) ? putAway(one) : null));
    this.strip.hidden = views.length === 0;
    patch(this.strip, views);
  }

  /**
   * @param {string} id
   * @param {string} verb
   * @param {string} [host]
   */
  verb(id, verb, host) {
    const one = this.page.state().rollouts.get(id) ?? this.#past;
    if (one?.id === id) openVerb(this.page.sheet, one, verb, host, this.page.nameOf);
  }

  /** @param {{ pr?: number, hosts?: string }} given */
  whatIf(given) {
    openWhatIf(this.page.sheet, this.page.nameOf, given);
  }

  /** @param {DOMStringMap} data */
  act(data) {
    switch (data["act"]) {
      case "new":
        openNew(this.page.sheet, this.page.nameOf);
        break;
      case "what-if":
        this.whatIf({});
        break;
      case "put-away":
        this.#putAway = data["rollout"] ?? null;
        remember(this.#putAway);
        this.drawStrip();
        break;
      case "verb":
        this.verb(data["rollout"] ?? "", data["verb"] ?? "", data["host"]);
        break;
    }
  }
}
