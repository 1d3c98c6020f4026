// The past of updates: what was merged, what it changed, and when each host got it.

import { byId } from "../dom.js";
import { button, flat, h, outside, table } from "../model.js";
import { listOf } from "../page.js";
import { patch } from "../patch.js";
import { actorName, clockTime, counted, lasting, shortCommit } from "../words.js";
import { updateHistory } from "./api.js";
import { lockDiff } from "./diff.js";

/** @import { Content } from "../model.js" */
/** @import { Page } from "../page.js" */
/** @import { MergedView } from "./types.js" */

/**
 * @param {MergedView[]} merged
 * @param {(host: string) => string} nameOf
 * @param {boolean} direct
 * @returns {Content[]}
 */
export function historyView(merged, nameOf, direct) {
  if (merged.length === 0) {
    return [h("p", { key: "none" }, "No update was merged yet.")];
  }
  return merged.map((one) =>
    h(
      "article",
      { class: "panel", key: String(one.number) },
      h("h3", {}, outside(one.url, `#${one.number} ${one.title}`)),
      h("p", { class: "note" }, `merged ${clockTime(one.at)}${one.commit ? ` as ${shortCommit(one.commit)}` : ""}${one.by ? ` by ${actorName(one.by)}` : ", not through this server"}`),
      lockDiff(one.inputs, { caption: `What #${one.number} changed` }),
      arrivals(one, nameOf),
      one.revert
        ? h("p", {}, `Reverted ${clockTime(one.revert.at)} by ${actorName(one.revert.by)}.`)
        : h("div", { class: "actions" }, button("revert", "Revert …", { number: one.number, direct: direct ? "yes" : "no" })),
    ),
  );
}

/**
 * @param {MergedView} one
 * @param {(host: string) => string} nameOf
 */
function arrivals(one, nameOf) {
  const hosts = one.hosts ?? [];
  if (hosts.length === 0) {
    return null;
  }
  const rows = hosts.map(({ host, at }) => ({
    key: host,
    cells: [nameOf(host), clockTime(at), lasting((at - one.at) / 1000)],
  }));
  return h(
    "details",
    { key: "hosts" },
    h("summary", {}, `${counted(hosts.length, "host")} got it`),
    table("When each host got it", ["Host", "At", "After the merge"], rows),
  );
}

export class HistoryPanel {
  /** @type {any} */
  #known = null;

  /** @param {Page} page @param {(data: DOMStringMap) => void} act */
  constructor(page, act) {
    this.page = page;
    this.box = byId("update-history", HTMLElement);
    page.onAct(this.box, act);
  }

  async opened() {
    this.draw();
    try {
      this.#known = await updateHistory();
    } catch (problem) {
      this.#known = problem instanceof Error ? problem : new Error(String(problem));
    }
    this.draw();
  }

  draw() {
    const { updates } = this.page.state();
    const known = this.#known;
    const said =
      known === null ? "Asking the server …" : known instanceof Error ? known.message : "";
    const list = Array.isArray(known?.updates) ? known.updates : listOf(known, "merged");
    const view = said
      ? [h("p", { class: "note", key: "said" }, said)]
      : historyView(list, this.page.nameOf, updates?.direct_revert ?? false);
    patch(this.box, flat(view));
  }
}
