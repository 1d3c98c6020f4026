// What was told to people, and whether it arrived.

import { button, h, mark, table } from "../model.js";
import { clockTime, plainCode } from "../words.js";

/** @import { Content } from "../model.js" */

/** @type {Record<string, string>} */
const SHAPES = { delivered: "ok", retry: "outdated", retrying: "outdated", "given-up": "error", failed: "error" };

/**
 * @param {any[]} deliveries
 * @returns {Content[]}
 */
export function deliveriesView(deliveries) {
  const test = h("div", { class: "actions", key: "test" }, button("test-notifications", "Send a test"));
  if (deliveries.length === 0) {
    return [h("p", { key: "none" }, "Nothing was sent yet."), test];
  }
  const rows = deliveries.slice(0, 50).map((one, index) => {
    const [state, answer] = outcomeOf(one);
    const at = one.at ?? one.created;
    return {
      key: String(one.id ?? index),
      cells: [
        String(one.title ?? one.notice?.title ?? plainCode(String(one.kind ?? ""))),
        `${one.channel ?? one.target ?? ""}${one.number > 1 ? `, attempt ${one.number}` : ""}`,
        mark(SHAPES[state] ?? "unknown", plainCode(state)),
        typeof at === "number" ? clockTime(at) : "",
        answer,
      ],
    };
  });
  return [
    h("div", { key: "list" }, table("Deliveries", ["Notice", "To", "State", "When", "Answer"], rows, "named")),
    test,
  ];
}

/**
 * How it went, and what the receiver said.
 * @param {any} one
 * @returns {[string, string]}
 */
function outcomeOf(one) {
  const { outcome } = one;
  if (outcome && typeof outcome === "object") {
    const [code, about] = Object.entries(outcome)[0] ?? ["", ""];
    return [code, typeof about === "string" ? about : JSON.stringify(about)];
  }
  return [String(outcome ?? one.state ?? ""), String(one.error ?? one.message ?? one.why ?? "")];
}
