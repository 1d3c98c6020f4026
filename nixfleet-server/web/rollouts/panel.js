// Rollouts on the page: the view of all of them, and those under way beside the fleet.

import { byId } from "../dom.js";
import { flat } from "../model.js";
import { patch } from "../patch.js";
import { ENDED_ROLLOUTS } from "../state.js";
import { rollout } from "./api.js";
import { openNew, openVerb } from "./dialogs.js";
import { openWhatIf } from "./simulate.js";
import { rolloutView, rolloutsView } from "./view.js";
import { stateShape } from "./words.js";

/** @import { Page } from "../page.js" */
/** @import { RolloutView } from "./types.js" */

/** @param {RolloutView} one */
export const hasEnded = (one) => ENDED_ROLLOUTS.has(one.state);

/** @param {RolloutView} one */
const wentWrong = (one) => ["error", "outdated"].includes(stateShape(one.state));

export class RolloutPanel {
  /** @type {?string} */
  #opened = null;
  /** One that clients do not keep, asked for. @type {?RolloutView} */
  #past = null;

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

  /** What is under way, where the fleet is looked at; the last one also if it went wrong. */
  drawStrip() {
    const all = [...this.page.state().rollouts.values()].sort((one, next) => next.created - one.created);
    const shown = all.filter((one, index) => !hasEnded(one) || (index === 0 && wentWrong(one)));
    const views = shown.map((one) => rolloutView(one, this.page.nameOf, false));
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
      case "verb":
        this.verb(data["rollout"] ?? "", data["verb"] ?? "", data["host"]);
        break;
    }
  }
}
