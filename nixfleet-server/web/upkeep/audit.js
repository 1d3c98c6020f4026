// The audit trail: who asked for what, why, and what came of it.

import { button, h, table } from "../model.js";
import { actorName, clockTime } from "../words.js";

/** @import { Content } from "../model.js" */

/**
 * @typedef {object} AuditRow
 * @property {number} n
 * @property {number} at
 * @property {{ kind: string, name: string }} actor
 * @property {string} action
 * @property {?string} host
 * @property {?string} reason
 * @property {string} outcome
 * @property {?string} peer
 */

/**
 * @param {AuditRow[]} rows
 * @param {?string} older From where on there is more.
 * @returns {Content[]}
 */
export function auditView(rows, older) {
  if (rows.length === 0) {
    return [h("p", { key: "none" }, "Nothing was asked for yet.")];
  }
  return [
    h("div", { key: "list" }, table("Who asked for what", ["When", "Who", "What", "Host", "Outcome", "Why"], rows.map(row), "named")),
    older ? h("div", { class: "actions", key: "older" }, button("older-audit", "Older …")) : null,
  ];
}

/** @param {AuditRow} one */
function row(one) {
  const from = one.peer ? ` from ${one.peer}` : "";
  return {
    key: String(one.n),
    cells: [
      clockTime(one.at),
      `${actorName(one.actor)}${from}`,
      h("code", {}, one.action),
      one.host ?? "",
      one.outcome,
      one.reason ?? "",
    ],
  };
}
