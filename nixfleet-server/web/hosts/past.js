// What a host ran: its generations, and what was deployed on it by whom.

import { button, h, mark, table } from "../model.js";
import { rolloutPlace } from "../router.js";
import { actorName, clockTime, plainCode, shortCommit } from "../words.js";

/** @import { Content } from "../model.js" */

/**
 * @typedef {{ number: number, path?: ?string, commit?: ?string, created?: ?number, current?: boolean, previous?: boolean }} Generation
 */

/** @type {Record<string, string>} */
const OUTCOMES = { ok: "ok", success: "ok", succeeded: "ok", failed: "error", error: "error", partial: "outdated", unknown: "unknown" };

/**
 * @param {Generation[]} generations
 * @param {string} host
 * @returns {Content[]}
 */
export function generationsView(generations, host) {
  if (generations.length === 0) {
    return [h("p", { key: "none" }, "The agent of this host has not reported any generation.")];
  }
  const rows = newest(generations).map((one) => ({
    key: String(one.number),
    state: one.current ? "current" : "other",
    cells: [
      `Generation ${one.number}`,
      one.commit ? h("code", { title: one.commit }, shortCommit(one.commit)) : "not known",
      made(one),
      h("span", { class: "path" }, one.path ?? ""),
      one.current
        ? mark("ok", "current")
        : button("rollback", "Roll back to it …", { host, generation: one.number }, { "aria-label": `Roll back to generation ${one.number}` }),
    ],
  }));
  return [
    h("div", { key: "list" }, table("Generations", ["Number", "Commit", "Made", "Store path", "Change"], rows, "named")),
  ];
}

/**
 * The generation that is proposed: the one the server names, or the newest before the current one.
 * @param {Generation[]} generations
 */
export function proposed(generations) {
  const ordered = newest(generations);
  const current = ordered.find((one) => one.current);
  return (
    ordered.find((one) => one.previous) ??
    ordered.find((one) => current !== undefined && one.number < current.number)
  );
}

/** A generation as it is confirmed. @param {Generation} one */
export function generationText(one) {
  const commit = one.commit ? `commit ${shortCommit(one.commit)}` : "commit not known";
  return `generation ${one.number}, ${commit}, made ${made(one)}`;
}

/** @param {Generation[]} generations */
export function newest(generations) {
  return [...generations].sort((one, other) => other.number - one.number);
}

/** @param {Generation} one */
function made(one) {
  return one.created === undefined || one.created === null ? "at a time not known" : clockTime(one.created);
}

/**
 * @param {any[]} deploys
 * @returns {Content[]}
 */
export function deploysView(deploys) {
  if (deploys.length === 0) {
    return [h("p", { key: "none" }, "Nothing was deployed on it through this server yet.")];
  }
  const rows = deploys.map((one, index) => {
    const outcome = String(one.outcome ?? one.ending ?? one.phase ?? "");
    const commit = one.target?.commit ?? one.commit;
    const at = one.at ?? one.since ?? one.created;
    const generation = one.generation ?? one.profile_number;
    return {
      key: String(one.command ?? one.id ?? index),
      cells: [
        typeof at === "number" ? clockTime(at) : "",
        [String(one.op ?? "deploy"), commit ? [" ", h("code", { title: String(commit) }, shortCommit(String(commit)))] : null],
        mark(OUTCOMES[outcome.toLowerCase()] ?? "unknown", plainCode(outcome.toLowerCase())),
        [by(one), one.rollout ? [" ", h("a", { href: rolloutPlace(String(one.rollout)) }, "rollout")] : null],
        [
          one.pr ? `#${one.pr}` : "",
          generation === undefined || generation === null ? null : ` generation ${generation}`,
          one.message ? ` ${one.message}` : null,
        ],
      ],
    };
  });
  return [h("div", { key: "list" }, table("Deploys", ["When", "What", "Outcome", "By", "More"], rows, "named"))];
}

/** @param {any} one */
function by(one) {
  return typeof one.actor === "string" ? one.actor : actorName(one.actor);
}
