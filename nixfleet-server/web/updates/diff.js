// What an update does to the lock, input by input.

import { h, outside, table } from "../model.js";
import { day } from "../words.js";

/** @import { Content } from "../model.js" */
/** @import { InputMove } from "./types.js" */

/**
 * @param {InputMove[]} inputs
 * @param {{ more?: number, problem?: string, caption?: string }} [about]
 * @returns {Content}
 */
export function lockDiff(inputs, { more = 0, problem, caption = "What it does to flake.lock" } = {}) {
  if (problem) {
    return h("p", { class: "alert", key: "diff" }, `The lock cannot be shown: ${problem}`);
  }
  if (inputs.length === 0) {
    return h("p", { class: "note", key: "diff" }, "No input differs.");
  }
  const rows = inputs.map((move) => ({
    key: move.input,
    state: move.unexpected ? "unexpected" : undefined,
    cells: [
      [
        move.input,
        move.unexpected
          ? h("span", { class: "badge warn", title: "the title does not name this input" }, "unexpected")
          : null,
      ],
      revisions(move),
      dates(move),
      move.compare ? outside(move.compare, `Compare ${move.input}`) : "",
    ],
  }));
  return h(
    "div",
    { key: "diff" },
    table(caption, ["Input", "Revision", "Date", "Changes"], rows.map(tidy), "diff"),
    more > 0 ? h("p", { class: "note" }, `and ${more} more`) : null,
  );
}

/** @param {InputMove} move @returns {Content} */
function revisions(move) {
  if (move.kind === "changed" && move.old && move.new) {
    return [h("code", {}, move.old.short), " → ", h("code", {}, move.new.short)];
  }
  return move.text;
}

/** @param {InputMove} move */
function dates(move) {
  const known = [move.old, move.new].filter((pin) => pin !== undefined);
  return known.map((pin) => (pin.at === undefined ? "?" : day(pin.at))).join(" → ");
}

/** @param {{ key: string, state: string | undefined, cells: Content[] }} row */
function tidy({ key, state, cells }) {
  return state === undefined ? { key, cells } : { key, state, cells };
}
