// The update panel: a function of what the server says about updates. Nothing is judged here.

import { button, h, mark, outside, table, withTimes } from "../model.js";
import { actorName, clockTime, day, lasting, plainCode, shortCommit } from "../words.js";
import { lockDiff } from "./diff.js";
import { jobView } from "./job.js";

/** @import { Content } from "../model.js" */
/** @import { RolloutView } from "../rollouts/types.js" */
/** @import { CheckView, ConditionView, MergedView, PrView, UpdatesView } from "./types.js" */

/** @type {Record<string, { status: string, text: string }>} */
const VERDICTS = {
  pass: { status: "ok", text: "Checks passed" },
  no_verdict: { status: "unknown", text: "No verdict" },
  pending: { status: "working", text: "Checks are not done" },
  failing: { status: "error", text: "Checks failed" },
};

/** @type {Record<string, { status: string, text: string }>} */
const FINDINGS = {
  pass: { status: "ok", text: "holds" },
  fail: { status: "error", text: "does not hold" },
  "cannot-tell": { status: "unknown", text: "cannot be told" },
};

/** @type {Record<string, string>} */
const PEOPLE = {
  required: "yes",
  override: "yes, or with a reason",
  shown: "no, for automation only",
};

/** @type {Record<string, string>} */
const CONDITIONS = {
  open: "Open",
  "not-draft": "Not a draft",
  base: "Changes the tracked branch",
  "head-repo": "Branch in the same repository",
  author: "Allowed author",
  files: "Changes flake.lock only",
  "lock-change": "Changes revisions only",
  checks: "Required checks passed",
  age: "Old enough",
  "head-unchanged": "Head unchanged long enough",
  mergeable: "Mergeable",
};

/** @type {Record<string, string>} */
const MERGEABLE = {
  yes: "mergeable",
  no: "not mergeable",
  "not-computed": "mergeability not worked out yet",
};

/**
 * @param {?UpdatesView} updates
 * @param {{ now: number, problem: string, rollouts: Map<string, RolloutView>, nameOf: (host: string) => string, hostDriven: boolean }} about
 * @returns {Content[]}
 */
export function updatesView(updates, { now, problem, rollouts, nameOf, hostDriven }) {
  if (!updates) {
    return [
      h("p", { class: "note", key: "none" }, problem || "The server says nothing about updates."),
      hostDriven ? h("div", { class: "actions", key: "host-driven" }, inputsButton()) : null,
    ];
  }
  const [current, ...others] = updates.prs;
  const job = updates.job;
  return [
    checkLine(updates, hostDriven),
    job ? jobView(job, job.rollout ? rollouts.get(job.rollout) : undefined, nameOf, revertOf(updates)) : null,
    current ? prView(current, updates, now) : h("p", { key: "no-pr" }, "No update is open."),
    others.length > 0 ? otherPrs(others, now) : null,
    mergedList(updates),
  ];
}

/**
 * The revert of what a failed job merged, where it is merged and not taken back already.
 * @param {UpdatesView} updates
 */
function revertOf({ job, merged, direct_revert: direct }) {
  const one = merged.find(({ number, revert }) => number === job?.number && !revert);
  return job?.state === "failed" && one ? revertButton(one.number, direct) : null;
}

/** @param {number} number @param {boolean} direct */
function revertButton(number, direct) {
  return button("revert", "Revert …", { number, direct: direct ? "yes" : "no" });
}

function inputsButton() {
  return button("update-inputs", "Update inputs …");
}

/** @param {UpdatesView} updates @param {boolean} hostDriven */
function checkLine(updates, hostDriven) {
  const { checked, next_check: next, failing } = updates;
  const when = checked === undefined ? "never checked" : `checked ${clockTime(checked)}`;
  return h(
    "div",
    { class: "bar", key: "check" },
    h(
      "div",
      { class: "bar-text" },
      h("p", {}, `${updates.repo}, branch ${updates.branch}: ${when}, next check ${clockTime(next)}.`),
      h(
        "p",
        { class: "alert", role: "status" },
        failing
          ? [
              `The forge cannot be asked since ${clockTime(failing.since)}: `,
              ...withTimes(failing.what),
              ".",
              failing.not_before === undefined
                ? null
                : ` It asked not to be called before ${clockTime(failing.not_before)}.`,
            ]
          : null,
      ),
    ),
    h(
      "div",
      { class: "actions" },
      button("check", "Check now"),
      hostDriven ? inputsButton() : null,
    ),
  );
}

/**
 * @param {PrView} pr
 * @param {UpdatesView} updates
 * @param {number} now
 */
function prView(pr, updates, now) {
  const verdict = VERDICTS[pr.verdict] ?? { status: "unknown", text: pr.verdict };
  return h(
    "article",
    { class: "panel", key: `pr-${pr.number}`, "aria-labelledby": "current-pr" },
    h("h3", { id: "current-pr" }, outside(pr.url, `#${pr.number} ${pr.title}`)),
    h("p", { class: "note" }, prFacts(pr, now)),
    h("p", { class: "verdict" }, mark(verdict.status, verdict.text), ": ", ...withTimes(pr.verdict_why)),
    h(
      "div",
      { class: "actions" },
      button("merge", "Merge PR", { number: pr.number }, { class: "primary" }),
      h(
        "details",
        { class: "menu" },
        h("summary", {}, "More"),
        h(
          "div",
          { class: "menu-items" },
          button("merge-and-deploy", "Merge & Deploy …", { number: pr.number }),
          button("what-if", "What would happen …", { number: pr.number }),
        ),
      ),
    ),
    lockDiff(pr.inputs, about(pr)),
    checks(pr.checks),
    conditions(pr, updates.auto.on),
    auto(updates),
  );
}

/** @param {PrView} pr */
function about(pr) {
  return {
    more: pr.more_inputs ?? 0,
    ...(pr.lock_problem === undefined ? {} : { problem: pr.lock_problem }),
  };
}

/** @param {PrView} pr @param {number} now */
function prFacts(pr, now) {
  const age = lasting((now - pr.created) / 1000);
  const mergeable = MERGEABLE[pr.mergeable] ?? plainCode(pr.mergeable);
  return [
    "by ",
    h("bdi", {}, pr.author),
    `, opened ${age} ago (${clockTime(pr.created)}), head ${shortCommit(pr.head)} since ${clockTime(pr.head_since)}, ${mergeable}`,
  ];
}

/** @param {CheckView[]} list */
function checks(list) {
  if (list.length === 0) {
    return h("p", { class: "note", key: "checks" }, "No check ran on its head.");
  }
  const rows = list.map((check) => {
    const shown = VERDICTS[check.verdict]?.status ?? "unknown";
    return {
      key: check.name,
      cells: [
        check.name,
        mark(shown, check.states.length > 0 ? check.states.map(plainCode).join(", ") : "missing"),
        withTimes(check.text),
        check.required ? "required" : "not required",
      ],
    };
  });
  return h("div", { key: "checks" }, table("Checks on its head", ["Check", "State", "What it says", "For the verdict"], rows));
}

/** @param {PrView} pr @param {boolean} automatic */
function conditions(pr, automatic) {
  const rows = pr.conditions.map((one) => ({ key: one.condition, state: one.finding, cells: cells(one) }));
  const not = pr.conditions.filter((one) => one.finding !== "pass");
  const failing = not.length;
  // Who merges by hand is shown what concerns them; the rest is there to be opened.
  const concerns = automatic ? !pr.eligible : not.some((one) => one.people !== "shown");
  const say = pr.eligible
    ? "Every condition of an automatic merge holds"
    : `${failing} of ${pr.conditions.length} conditions of an automatic merge ${failing === 1 ? "does" : "do"} not hold`;
  return h(
    "details",
    { key: "conditions", open: concerns },
    h("summary", {}, say),
    table("Conditions", ["Condition", "Finding", "Why", "Needed by people"], rows),
  );
}

/** @param {ConditionView} one @returns {Content[]} */
function cells(one) {
  const found = FINDINGS[one.finding] ?? { status: "unknown", text: plainCode(one.finding) };
  return [
    CONDITIONS[one.condition] ?? plainCode(one.condition),
    mark(found.status, found.text),
    withTimes(one.why),
    PEOPLE[one.people] ?? plainCode(one.people),
  ];
}

/** @param {UpdatesView} updates */
function auto({ auto: { on, gates } }) {
  if (!on) {
    return h("p", { class: "note", key: "auto" }, "Automatic merges are switched off.");
  }
  const rows = gates.map(({ gate, finding, why }) => {
    const found = FINDINGS[finding] ?? { status: "unknown", text: plainCode(finding) };
    return { key: gate, state: finding, cells: [plainCode(gate), mark(found.status, found.text), withTimes(why)] };
  });
  return h(
    "details",
    { key: "auto", open: true },
    h("summary", {}, "Automatic merge"),
    table("What an automatic merge waits for", ["Gate", "Finding", "Why"], rows),
  );
}

/** @param {PrView[]} prs @param {number} now */
function otherPrs(prs, now) {
  return h(
    "section",
    { key: "others", "aria-labelledby": "other-prs" },
    h("h3", { id: "other-prs" }, "Other open updates"),
    h(
      "ul",
      { class: "plain" },
      ...prs.map((pr) =>
        h(
          "li",
          { key: String(pr.number) },
          outside(pr.url, `#${pr.number} ${pr.title}`),
          " ",
          h("span", { class: "note" }, prFacts(pr, now)),
        ),
      ),
    ),
  );
}

/** @param {UpdatesView} updates */
function mergedList(updates) {
  if (updates.merged.length === 0) {
    return null;
  }
  const rows = updates.merged.map((one) => ({ key: String(one.number), cells: mergedCells(one, updates.direct_revert) }));
  return h(
    "section",
    { key: "merged" },
    h("h3", {}, "Merged updates"),
    table("The last merged updates", ["Update", "Merged", "Inputs", "Revert"], rows),
  );
}

/**
 * @param {MergedView} one
 * @param {boolean} direct
 * @returns {Content[]}
 */
export function mergedCells(one, direct) {
  const commit = one.commit ? ` as ${shortCommit(one.commit)}` : "";
  return [
    outside(one.url, `#${one.number} ${one.title}`),
    `${day(one.at)}${commit}${one.by ? ` by ${actorName(one.by)}` : ""}`,
    one.inputs.map((move) => move.text).join("; ") || "not known",
    one.revert ? revertText(one.revert) : revertButton(one.number, direct),
  ];
}

/** @param {NonNullable<MergedView["revert"]>} revert @returns {Content} */
function revertText(revert) {
  const by = ` by ${actorName(revert.by)}, ${clockTime(revert.at)}`;
  if (revert.number !== undefined) {
    return ["reverted with ", outside(revert.url, `#${revert.number}`), by];
  }
  return `reverted${revert.commit ? ` with ${shortCommit(revert.commit)}` : ""}${by}`;
}

