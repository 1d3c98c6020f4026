// Draws what changed, once per animation frame.

import { byId, setAttribute, setText } from "./dom.js";
import { drawDesired } from "./header.js";
import { Row, totals } from "./row.js";

/** @import { Replica } from "./sync.js" */
/** @import { Tables } from "./types.js" */

export class Renderer {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {?Tables} */
  #tables = null;
  #scheduled = false;
  #everything = false;

  /**
   * @param {Replica} replica
   * @param {(hosts: Set<string>, all: boolean) => void} onDrawn
   */
  constructor(replica, onDrawn) {
    this.replica = replica;
    this.onDrawn = onDrawn;
    this.body = byId("rows", HTMLTableSectionElement);
    this.table = byId("hosts", HTMLTableElement);
    this.empty = byId("empty", HTMLParagraphElement);
  }

  /** The sentences arrived: every row says more now. @param {Tables} tables */
  useTables(tables) {
    this.#tables = tables;
    this.#everything = true;
    this.schedule();
  }

  get tables() {
    return this.#tables;
  }

  /** Draws before the next frame. */
  schedule() {
    if (!this.#scheduled) {
      this.#scheduled = true;
      requestAnimationFrame(() => {
        this.#scheduled = false;
        this.#draw();
      });
    }
  }

  #draw() {
    const touched = this.replica.takeTouched();
    const all = touched.all || this.#everything;
    this.#everything = false;
    const { state, version } = this.replica;
    if (all) {
      this.#drawAll();
    } else {
      for (const id of touched.hosts) {
        this.#drawHost(id);
      }
    }
    drawDesired(state);
    this.#drawTotals();
    if (version) {
      setAttribute(this.table, "aria-busy", "false");
      setText(
        this.empty,
        "No host has connected yet. Start the agent on a host with NIXFLEET_URL set to this server and NIXFLEET_TOKEN set to its agent token.",
      );
      this.empty.hidden = state.hosts.size > 0;
    }
    this.onDrawn(touched.hosts, all);
  }

  #drawAll() {
    const { hosts } = this.replica.state;
    for (const id of this.#rows.keys()) {
      if (!hosts.has(id)) {
        this.#drawHost(id);
      }
    }
    for (const id of [...hosts.keys()].sort()) {
      this.#drawHost(id);
    }
  }

  /** @param {string} id */
  #drawHost(id) {
    const { state } = this.replica;
    const host = state.hosts.get(id);
    let row = this.#rows.get(id);
    if (!host) {
      row?.element.remove();
      this.#rows.delete(id);
      return;
    }
    const isNew = !row;
    row ??= new Row(id);
    row.patch(
      host,
      state.statuses.get(id),
      state.commandsOf(id),
      this.#tables,
      state.updatePr,
    );
    if (isNew) {
      this.#rows.set(id, row);
      this.body.insertBefore(row.element, this.#successor(id));
    }
  }

  /** The first row behind a host: rows are in the order of their ids. @param {string} id */
  #successor(id) {
    const rows = this.body.rows;
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((rows[middle]?.dataset["host"] ?? "") < id) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return rows[low] ?? null;
  }

  #drawTotals() {
    const { state, version } = this.replica;
    if (!version) {
      return;
    }
    const sum = totals(state.hosts.values(), state.statuses, this.#tables);
    setText(byId("total-hosts", HTMLElement), String(sum.hosts));
    setText(byId("total-online", HTMLElement), String(sum.online));
    setText(byId("total-green", HTMLElement), String(sum.green));
    setText(byId("total-attentions", HTMLElement), sum.attentions);
  }
}
