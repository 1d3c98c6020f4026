// Targets that no automation deploys, and the end of that.

import { button, field, h, table } from "../model.js";
import { one, valuesOf } from "../rollouts/ask.js";
import { actorName, clockTime, shortCommit } from "../words.js";
import { liftQuarantine } from "./api.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */

/**
 * @typedef {{ commit?: string, lock?: ?string, why?: string, reason?: string, by?: any, since?: number, at?: number, target?: { commit: string, lock?: ?string } }} Entry
 */

/** The commit and lock of an entry. @param {Entry} entry */
export function targetOf(entry) {
  return entry.target ?? { commit: entry.commit ?? "", lock: entry.lock ?? null };
}

/**
 * @param {Entry[]} entries
 * @returns {Content[]}
 */
export function quarantineView(entries) {
  if (entries.length === 0) {
    return [h("p", { key: "none" }, "No target is quarantined.")];
  }
  const rows = entries.map((entry, index) => {
    const { commit, lock } = targetOf(entry);
    const since = entry.since ?? entry.at;
    const by = typeof entry.by === "string" ? entry.by : actorName(entry.by);
    return {
      key: `${commit}-${lock ?? ""}`,
      cells: [
        h("code", { title: commit }, shortCommit(commit)),
        lock ? h("code", { title: lock }, lock.slice(0, 8)) : "any",
        entry.why ?? entry.reason ?? "",
        `${by}${since === undefined ? "" : `, ${clockTime(since)}`}`,
        button("lift", "Lift …", { index }, { "aria-label": `Lift the quarantine of ${shortCommit(commit)}` }),
      ],
    };
  });
  return [
    h(
      "div",
      { key: "list" },
      table("Quarantined targets", ["Commit", "Lock", "Why", "By", "Change"], rows, "named"),
    ),
  ];
}

/**
 * @param {Sheet} sheet
 * @param {Entry} entry
 * @param {() => void} done
 */
export function openLift(sheet, entry, done) {
  const { commit, lock } = targetOf(entry);
  sheet.open({
    title: `Lift the quarantine of ${shortCommit(commit)}?`,
    body: () => [
      h("p", {}, `Automations may deploy it again. It was quarantined: ${entry.why ?? entry.reason ?? "no reason is known"}.`),
      field("Why it may be deployed again", h("input", { name: "reason", required: true, maxlength: 500, autocomplete: "off" })),
    ],
    actions: () => [{ act: "lift", text: "Lift", kind: "danger" }],
    onAct: async (_, form) => {
      await liftQuarantine(commit, lock ?? null, one(valuesOf(form), "reason"));
      sheet.close();
      done();
    },
  });
}
