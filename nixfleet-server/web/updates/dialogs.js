// What is asked before an update is merged, deployed or reverted: exactly what will happen.

import { Problem, dispatch } from "../api.js";
import { field, h, mark, select } from "../model.js";
import { askFields, askOf, one, valuesOf } from "../rollouts/ask.js";
import { planView } from "../rollouts/plan.js";
import { capital, plainCode, shortCommit } from "../words.js";
import { merge, mergeAndDeploy, deployPlan, revert } from "./api.js";
import { lockDiff } from "./diff.js";

/** @import { Content } from "../model.js" */
/** @import { Ask, Plan } from "../rollouts/types.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { PrView } from "./types.js" */

/**
 * The conditions that do not hold, as people who merge by hand should know, and the reason that
 * the server asks for where it takes one.
 * @param {PrView} pr
 * @param {boolean} asked Whether the server asked for a reason.
 * @returns {Content[]}
 */
export function beforeMerge(pr, asked) {
  const open = pr.conditions.filter((one) => one.finding !== "pass" && one.people !== "shown");
  return [
    h("p", {}, `It merges #${pr.number} ${pr.title} at head `, h("code", {}, shortCommit(pr.head)), "; if the head moves, nothing is merged."),
    open.length > 0
      ? h(
          "ul",
          { class: "plain" },
          ...open.map((one) =>
            h(
              "li",
              { key: one.condition },
              mark(one.finding === "fail" ? "error" : "unknown", capital(plainCode(one.condition))),
              `: ${one.why}`,
            ),
          ),
        )
      : null,
    open.some((one) => one.people === "override") || asked
      ? field(
          "Reason for merging it all the same",
          h("textarea", { name: "reason", rows: 2, maxlength: 500, required: asked }),
          "It is kept in the audit trail.",
        )
      : null,
  ];
}

/**
 * @param {Sheet} sheet
 * @param {PrView} pr
 */
export function openMerge(sheet, pr) {
  let asked = false;
  sheet.open({
    title: `Merge #${pr.number}`,
    body: () => [
      ...beforeMerge(pr, asked),
      h("p", { class: "note" }, "It merges only: nothing is started on any host. Every lock compartment turns yellow by itself."),
      lockDiff(pr.inputs),
    ],
    actions: () => [{ act: "merge", text: "Merge PR", kind: "primary" }],
    onAct: async (_, form) => {
      try {
        await merge(pr.number, one(valuesOf(form), "reason"));
      } catch (problem) {
        asked ||= needsReason(problem);
        throw problem;
      }
      sheet.close();
    },
  });
}

/**
 * Merge and deploy: first what it would do, then the confirmation of exactly that.
 * @param {Sheet} sheet
 * @param {PrView} pr
 * @param {(host: string) => string} nameOf
 */
export function openMergeAndDeploy(sheet, pr, nameOf) {
  let asked = false;
  /** @type {?{ ask: Ask, plan: Plan, key: string }} */
  let seen = null;
  const look = async (/** @type {HTMLFormElement} */ form) => {
    const ask = askOf(valuesOf(form));
    seen = { ask, plan: await deployPlan(pr.number, ask), key: JSON.stringify(ask) };
  };
  sheet.open({
    title: `Merge & Deploy #${pr.number}`,
    body: () => [
      ...beforeMerge(pr, asked),
      ...askFields(),
      seen
        ? h("section", { class: "plan", key: seen.plan.id }, h("h3", {}, "The plan"), ...planView(seen.plan, nameOf))
        : h("p", { class: "note", key: "no-plan" }, "Look at the plan first: it names every host."),
    ],
    actions: () => [
      ...(seen ? [{ act: "go", text: "Merge and deploy this plan", kind: "primary" }] : []),
      { act: "plan", text: seen ? "Plan again" : "Show the plan", kind: seen ? "" : "primary" },
    ],
    onInput: (form) => {
      if (seen && JSON.stringify(askOf(valuesOf(form))) !== seen.key) {
        seen = null;
        sheet.draw();
      }
    },
    onAct: async (act, form) => {
      if (act === "plan" || !seen) {
        await look(form);
        return;
      }
      try {
        const reason = one(valuesOf(form), "reason");
        const answer = await mergeAndDeploy(pr.number, seen.ask, seen.plan.id, reason);
        sheet.close();
        if (answer?.rollout) location.hash = "#updates";
      } catch (problem) {
        asked ||= needsReason(problem);
        if (problem instanceof Problem && problem.status === 409) await look(form).catch(() => {});
        throw problem;
      }
    },
  });
}

/**
 * @param {Sheet} sheet
 * @param {number} number
 * @param {string} title
 * @param {boolean} direct Whether a commit straight on the branch is allowed.
 */
export function openRevert(sheet, number, title, direct) {
  sheet.open({
    title: `Revert #${number}`,
    body: () => [
      h("p", {}, `It takes back ${title}. Hosts that have it are then behind, and roll forward to the revert like to any commit.`),
      direct
        ? field(
            "How",
            select("kind", [
              ["pull-request", "with a pull request that people merge"],
              ["commit", "with a commit on the branch at once"],
            ]),
          )
        : h("p", { class: "note" }, "It opens a pull request that people merge."),
    ],
    actions: () => [{ act: "revert", text: "Revert", kind: "danger" }],
    onAct: async (_, form) => {
      await revert(number, one(valuesOf(form), "kind"));
      sheet.close();
    },
  });
}

/**
 * Updating inputs on a host.
 * @param {Sheet} sheet
 * @param {string[]} hosts
 * @param {(host: string) => string} nameOf
 */
export function openUpdateInputs(sheet, hosts, nameOf) {
  sheet.open({
    title: "Update inputs",
    body: () => [
      h("p", {}, "One host runs nix flake update, commits and pushes. Nothing is deployed by it."),
      field("On host", select("host", hosts.map((host) => [host, nameOf(host)]), hosts[0])),
      field("Input", h("input", { name: "input", autocomplete: "off" }), "Empty: all of them."),
    ],
    actions: () => [{ act: "go", text: "Update inputs", kind: "primary" }],
    onAct: async (_, form) => {
      const values = valuesOf(form);
      const input = one(values, "input");
      await dispatch("update-inputs", one(values, "host"), false, input === "" ? {} : { input });
      sheet.close();
    },
  });
}

/** @param {unknown} problem */
function needsReason(problem) {
  return problem instanceof Problem && ["reason-needed", "reason_needed"].includes(problem.code);
}
