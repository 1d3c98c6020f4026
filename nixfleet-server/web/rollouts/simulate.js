// What would happen: the same planner and the same machine, with assumed outcomes. Nothing starts.

import { field, h, mark, select, table } from "../model.js";
import { clockTime, lasting, plainCode } from "../words.js";
import { simulate } from "./api.js";
import { askFields, askOf, one, valuesOf } from "./ask.js";
import { planView } from "./plan.js";
import { stateName, stateShape, waitText } from "./words.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { Simulated, Step } from "./types.js" */

const OUTCOME = "outcome:";
/** @type {[string, string][]} */
const OUTCOMES = [
  ["ok", "succeeds"],
  ["fail", "fails"],
  ["timeout", "does not answer in time"],
  ["lost", "is lost on the way"],
];

/**
 * What is assumed of each host, as far as it is not that it succeeds.
 * @param {Record<string, string[]>} values
 * @returns {Record<string, string>}
 */
export function outcomesOf(values) {
  const named = Object.keys(values).filter((name) => name.startsWith(OUTCOME));
  const assumed = named.map((name) => [name.slice(OUTCOME.length), one(values, name)]);
  return Object.fromEntries(assumed.filter(([, outcome]) => outcome !== "ok"));
}

/**
 * @param {Simulated} simulated
 * @param {(host: string) => string} nameOf
 * @param {number} now
 * @returns {Content[]}
 */
export function simulatedView(simulated, nameOf, now) {
  const hosts = simulated.plan.waves.flatMap((wave) => wave.hosts);
  return [
    resultLine(simulated.result),
    table(
      "What would happen, in order",
      ["After", "At", "Host", "What"],
      simulated.steps.map((step, index) => ({ key: String(index), cells: stepCells(step, nameOf, now) })),
      "steps",
    ),
    h(
      "details",
      { key: "assumed", open: true },
      h("summary", {}, "What is assumed of each host"),
      h(
        "div",
        { class: "fields" },
        ...hosts.map((host) => field(nameOf(host), select(`${OUTCOME}${host}`, OUTCOMES))),
      ),
    ),
    h("details", { key: "plan" }, h("summary", {}, "The plan"), ...planView(simulated.plan, nameOf)),
  ];
}

/**
 * @param {Step} step
 * @param {(host: string) => string} nameOf
 * @param {number} now
 * @returns {Content[]}
 */
function stepCells({ at_seconds: at, host, what, wait }, nameOf, now) {
  const why = !wait ? "" : typeof wait === "string" ? plainCode(wait) : waitText(wait);
  return [
    lasting(at),
    clockTime(now + at * 1000),
    host ? nameOf(host) : "",
    why === "" ? plainCode(what) : `${plainCode(what)}: ${why}`,
  ];
}

/** @param {any} result A word, or a rollout at its end. */
function resultLine(result) {
  const state = typeof result === "string" ? result : String(result?.state ?? "");
  const reason = typeof result === "object" && result?.reason ? `: ${result.reason}` : "";
  return h("p", { key: "result" }, "It would end ", mark(stateShape(state), stateName(state)), reason);
}

/**
 * @param {Sheet} sheet
 * @param {(host: string) => string} nameOf
 * @param {{ pr?: number, hosts?: string }} given
 */
export function openWhatIf(sheet, nameOf, given) {
  /** @type {?{ simulated: Simulated, now: number }} */
  let seen = null;
  sheet.open({
    title: given.pr === undefined ? "What would happen" : `What would happen with #${given.pr}`,
    body: () => [
      h(
        "p",
        { class: "note" },
        given.pr === undefined
          ? "A rollout of the desired state, as it would go. Nothing is started."
          : "The update is merged and rolled out, as it would go. Nothing is merged or started.",
      ),
      ...askFields(given.hosts === undefined ? {} : { hosts: given.hosts }),
      seen
        ? h("section", { class: "plan", key: "simulated" }, ...simulatedView(seen.simulated, nameOf, seen.now))
        : null,
    ],
    actions: () => [{ act: "run", text: seen ? "Run it again" : "Show what would happen", kind: "primary" }],
    close: "Close",
    onAct: async (_, form) => {
      const values = valuesOf(form);
      const outcomes = outcomesOf(values);
      const simulated = await simulate({
        ...askOf(values),
        ...(given.pr === undefined ? {} : { pr: given.pr }),
        ...(Object.keys(outcomes).length === 0 ? {} : { outcomes }),
      });
      seen = { simulated, now: Date.now() };
    },
  });
}
