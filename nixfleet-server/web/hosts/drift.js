// Which revisions hosts run: the line beside the fleet, and the table of them. The server compares.

import { byId } from "../dom.js";
import { flat, h, table } from "../model.js";
import { patch } from "../patch.js";
import { hostPlace } from "../router.js";
import { drift } from "../upkeep/api.js";
import { counted } from "../words.js";

/** @import { Content } from "../model.js" */
/** @import { Page } from "../page.js" */

/**
 * @typedef {object} Drift
 * @property {number} hosts
 * @property {?{ revision: string, hosts: number, desired: ?boolean }} most
 * @property {{ host: string, revision: string }[]} differing
 * @property {string[]} unknown
 * @property {string} sentence
 */

/** Changes of one moment lead to one request. */
const PAUSE = 1000;
/** Names that a line has room for. */
const NAMED = 8;

/**
 * A commit in seven digits, with or without local changes; anything else that a system says of
 * itself, as it is.
 * @param {string} revision
 * @returns {Content}
 */
function code(revision) {
  const commit = /^([0-9a-f]{7,64})(-dirty)?$/.exec(revision);
  const short = commit?.[1]?.slice(0, 7) ?? revision;
  return [h("code", { title: revision }, short), commit?.[2] ? " with local changes" : ""];
}

/**
 * @param {?Drift} known
 * @param {(host: string) => string} nameOf
 * @returns {Content[]}
 */
export function driftLine(known, nameOf) {
  const most = known?.most;
  if (!known || !most) return [];
  const listed = (/** @type {string[]} */ hosts) => [
    ...hosts.slice(0, NAMED).flatMap((host, index) => [index > 0 ? ", " : "", h("a", { href: hostPlace(host) }, nameOf(host))]),
    hosts.length > NAMED ? ` and ${hosts.length - NAMED} more` : "",
  ];
  const { differing, unknown } = known;
  return [
    `${most.hosts} of ${counted(known.hosts, "host")} run `,
    code(most.revision),
    most.desired === false ? ", which is not the desired commit" : "",
    differing.length > 0 ? ["; differing: ", ...listed(differing.map(({ host }) => host))] : null,
    unknown.length > 0 ? ["; not known: ", ...listed(unknown)] : null,
  ];
}

/** @param {?boolean} desired nothing while the desired commit is not known */
function desiredWord(desired) {
  if (desired === null) return "what is desired is not known";
  return desired ? "the desired commit" : "not the desired commit";
}

/**
 * Hosts by the revision that they run, the most frequent first.
 * @param {?Drift} known
 * @param {(host: string) => string} nameOf
 * @returns {Content[]}
 */
export function driftView(known, nameOf) {
  if (!known) return [h("p", { class: "note", key: "asking" }, "Asking the server …")];
  if (known.hosts === 0) return [h("p", { key: "none" }, "No host is known.")];
  /** @type {Map<string, string[]>} */
  const others = new Map();
  for (const { host, revision } of known.differing) {
    others.set(revision, [...(others.get(revision) ?? []), nameOf(host)]);
  }
  const names = (/** @type {string[]} */ all) =>
    all.length > 12 ? `${all.slice(0, 12).join(", ")} and ${all.length - 12} more` : all.join(", ");
  const ordered = [...others].sort(([, one], [, other]) => other.length - one.length);
  const rows = ordered.map(([revision, hosts]) => ({
    key: revision,
    state: "drift",
    cells: [code(revision), counted(hosts.length, "host"), names(hosts)],
  }));
  const { most, unknown } = known;
  return [
    h(
      "div",
      { key: "list" },
      table(
        "Running revisions",
        ["Revision", "Hosts", "Which"],
        [
          ...(most ? [{ key: most.revision, state: "most", cells: [code(most.revision), counted(most.hosts, "host"), desiredWord(most.desired)] }] : []),
          ...rows,
          ...(unknown.length > 0 ? [{ key: "", state: "unknown", cells: ["not known", counted(unknown.length, "host"), names(unknown.map(nameOf))] }] : []),
        ],
        "named",
      ),
    ),
  ];
}

export class DriftPanel {
  /** @type {?Drift} */
  #known = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** What hosts ran when it was asked for. */
  #seen = "";

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.line = byId("drift-line", HTMLElement);
    this.box = byId("drift", HTMLElement);
  }

  /** Something was drawn: asks again if a host may run something else than before. */
  changed() {
    const { desired, hosts } = this.page.state();
    const seen = JSON.stringify([desired?.commit, [...hosts.values()].map(({ id, deployed, running }) => [id, deployed, running])]);
    if (seen === this.#seen) return;
    this.#seen = seen;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#load(), this.#known ? PAUSE : 0);
  }

  async #load() {
    try {
      this.#known = await drift();
    } catch {
      // It stays as it was, and is asked for with the next change.
      return;
    }
    this.draw();
  }

  draw() {
    const { nameOf } = this.page;
    const line = flat(driftLine(this.#known, nameOf));
    this.line.hidden = line.length === 0;
    this.line.dataset["drift"] = (this.#known?.differing.length ?? 0) > 0 ? "yes" : "no";
    patch(this.line, line);
    patch(this.box, flat(driftView(this.#known, nameOf)));
  }
}
