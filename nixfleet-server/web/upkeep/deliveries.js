// What was told to people, and whether it arrived.

import { h, mark, table } from "../model.js";
import { clockTime, plainCode } from "../words.js";

/** @import { Content } from "../model.js" */

/** @type {Record<string, string>} */
const SHAPES = { delivered: "ok", sent: "ok", pending: "working", retrying: "outdated", failed: "error" };

/**
 * @param {any[]} deliveries
 * @returns {Content[]}
 */
export function deliveriesView(deliveries) {
  if (deliveries.length === 0) {
    return [h("p", { key: "none" }, "Nothing was sent yet.")];
  }
  const rows = deliveries.slice(0, 50).map((one, index) => {
    const state = String(one.state ?? one.status ?? "");
    const at = one.at ?? one.created;
    return {
      key: String(one.id ?? index),
      cells: [
        String(one.title ?? one.notice?.title ?? plainCode(String(one.kind ?? ""))),
        String(one.channel ?? one.target ?? ""),
        mark(SHAPES[state] ?? "unknown", plainCode(state)),
        typeof at === "number" ? clockTime(at) : "",
        String(one.error ?? one.message ?? ""),
      ],
    };
  });
  return [
    h("div", { key: "list" }, table("Deliveries", ["Notice", "To", "State", "When", "Answer"], rows, "named")),
  ];
}
