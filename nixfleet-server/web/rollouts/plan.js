// A plan as people see it before they confirm it: who, in which order, who not, and how.

import { h } from "../model.js";
import { shortCommit } from "../words.js";
import { policyLines, skipText } from "./words.js";

/** @import { Content } from "../model.js" */
/** @import { Plan } from "./types.js" */

/**
 * @param {Plan} plan
 * @param {(host: string) => string} nameOf
 * @returns {Content[]}
 */
export function planView(plan, nameOf) {
  const hosts = plan.waves.reduce((sum, wave) => sum + wave.hosts.length, 0);
  const target = plan.target
    ? [
        h("code", {}, shortCommit(plan.target.commit)),
        plan.target.lock ? [", flake.lock ", h("code", {}, plan.target.lock.slice(0, 8))] : null,
      ]
    : plan.ops[0] === "update-inputs"
      ? "made by the first operation"
      : "the merge commit";
  return [
    h(
      "dl",
      { class: "facts", key: "plan-facts" },
      fact("Target", target),
      fact("Operations", plan.ops.join(" → ")),
      fact("Hosts", String(hosts)),
      fact("Plan", h("code", { class: "plan-id", title: plan.id }, plan.id.slice(0, 12))),
    ),
    h(
      "ol",
      { class: "waves", key: "plan-waves" },
      ...plan.waves.map((wave, index) =>
        h(
          "li",
          {},
          h("b", {}, wave.canary ? "Canaries" : `Wave ${index + 1}`),
          " ",
          names(wave.hosts, nameOf),
        ),
      ),
    ),
    plan.skipped.length > 0
      ? h(
          "div",
          { key: "plan-skipped" },
          h("h4", {}, "Left out"),
          h(
            "ul",
            { class: "plain" },
            ...plan.skipped.map(({ host, reason, subject }) =>
              h("li", {}, h("b", {}, nameOf(host)), ": ", skipText(reason, subject)),
            ),
          ),
        )
      : null,
    h(
      "details",
      { key: "plan-policy" },
      h("summary", {}, "Policy"),
      h("ul", { class: "plain" }, ...policyLines(plan.policy).map((line) => h("li", {}, line))),
    ),
  ];
}

/** The names of hosts, one after the other. @param {string[]} hosts @param {(host: string) => string} nameOf */
export function names(hosts, nameOf) {
  return h(
    "span",
    { class: "names" },
    ...hosts.map((host) => h("span", { class: "name" }, nameOf(host))),
  );
}

/** @param {string} term @param {Content} value */
export function fact(term, value) {
  return h("div", {}, h("dt", {}, term), h("dd", {}, value));
}
