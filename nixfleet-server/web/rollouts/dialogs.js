// What is asked before something is done with a rollout: it names the hosts.

import { Problem } from "../api.js";
import { h } from "../model.js";
import { act, plan, start } from "./api.js";
import { askFields, askOf, valuesOf } from "./ask.js";
import { names, planView } from "./plan.js";
import { rolloutPlace } from "../router.js";
import { VERBS } from "./words.js";
import { title } from "./view.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { Ask, Plan, RolloutHost, RolloutView } from "./types.js" */

/**
 * The hosts that a verb is about, as far as the view tells.
 * @param {RolloutView} rollout
 * @param {string} verb
 * @param {string | undefined} host
 * @returns {{ what: string, hosts: string[] }[]}
 */
export function concerned(rollout, verb, host) {
  const of = (/** @type {(one: RolloutHost) => boolean} */ fits) =>
    rollout.hosts.filter(fits).map((one) => one.host);
  const running = { what: "Goes on to its end", hosts: of((one) => one.state === "running") };
  const waiting = { what: "Does not start", hosts: of((one) => one.state === "waiting") };
  switch (verb) {
    case "pause":
    case "cancel":
      return [waiting, running];
    case "resume":
      return [{ what: "May start", hosts: waiting.hosts }];
    case "approve":
      return [{ what: "May start", hosts: of((one) => one.wave === rollout.wave && one.state === "waiting") }];
    case "retry-failed":
      return [{ what: "Tried again", hosts: of((one) => one.state === "failed") }];
    case "skip-host":
      return [{ what: "Left out", hosts: host ? [host] : [] }];
    case "roll-back":
      return [
        {
          what: "Brought back, where it was changed",
          hosts: of((one) => one.skipped === undefined && ["done", "failed", "running"].includes(one.state)),
        },
        ...(waiting.hosts.length > 0 ? [waiting] : []),
      ];
    default:
      return [{ what: "Hosts", hosts: of(() => true) }];
  }
}

/**
 * @param {Sheet} sheet
 * @param {RolloutView} rollout
 * @param {string} verb
 * @param {string | undefined} host
 * @param {(host: string) => string} nameOf
 */
export function openVerb(sheet, rollout, verb, host, nameOf) {
  const known = VERBS[verb];
  sheet.open({
    title: known?.asks ?? verb,
    body: () => [
      h("p", {}, `${title(rollout)}. ${known?.does ?? ""}`),
      ...concerned(rollout, verb, host).map((group) => hostsLine(group, nameOf)),
    ],
    actions: () => [{ act: "go", text: known?.name ?? verb, kind: known?.kind === "danger" ? "danger" : "primary" }],
    close: "Leave it",
    onAct: async () => {
      await act(rollout.id, verb, host);
      sheet.close();
    },
  });
}

/**
 * @param {{ what: string, hosts: string[] }} group
 * @param {(host: string) => string} nameOf
 * @returns {Content}
 */
function hostsLine({ what, hosts }, nameOf) {
  return h("p", { key: what }, h("b", {}, `${what}: `), hosts.length > 0 ? names(hosts, nameOf) : "no host");
}

/**
 * A new rollout: nothing starts before its plan was seen.
 * @param {Sheet} sheet
 * @param {(host: string) => string} nameOf
 * @param {{ hosts?: string }} [given]
 */
export function openNew(sheet, nameOf, given = {}) {
  /** @type {?{ ask: Ask, plan: Plan, key: string }} */
  let seen = null;
  const look = async (/** @type {HTMLFormElement} */ form) => {
    const ask = askOf(valuesOf(form));
    seen = { ask, plan: await plan(ask), key: JSON.stringify(ask) };
  };
  sheet.open({
    title: "New rollout",
    body: () => [
      h("p", { class: "note" }, "It brings hosts to the desired state, wave by wave."),
      ...askFields(given),
      seen
        ? h("section", { class: "plan", key: seen.plan.id }, h("h3", {}, "The plan"), ...planView(seen.plan, nameOf))
        : null,
    ],
    actions: () => [
      ...(seen ? [{ act: "start", text: "Start this plan", kind: "primary" }] : []),
      { act: "plan", text: seen ? "Plan again" : "Show the plan", kind: seen ? "" : "primary" },
    ],
    onInput: (form) => {
      if (seen && JSON.stringify(askOf(valuesOf(form))) !== seen.key) {
        seen = null;
        sheet.draw();
      }
    },
    onAct: async (what, form) => {
      if (what === "plan" || !seen) {
        await look(form);
        return;
      }
      try {
        const rollout = await start(seen.ask, seen.plan.id);
        sheet.close();
        if (rollout?.id) location.hash = rolloutPlace(rollout.id);
      } catch (problem) {
        // The fleet is another than it was: show what would happen now.
        if (problem instanceof Problem && problem.status === 409) await look(form).catch(() => {});
        throw problem;
      }
    },
  });
}
