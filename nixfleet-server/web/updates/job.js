// The job that is under way, or the last one: how far it is, on which hosts, and what is offered
// when it went wrong.

import { apart, button, h, mark, withTimes } from "../model.js";
import { progressText, rolledBackText } from "../rollouts/words.js";
import { rolloutPlace } from "../router.js";
import { actorName, capital, clockTime } from "../words.js";

/** @import { Content } from "../model.js" */
/** @import { RolloutView } from "../rollouts/types.js" */
/** @import { JobView } from "./types.js" */

/** @type {Record<string, string>} */
const SHAPES = {
  merging: "working",
  pulling: "working",
  switching: "working",
  completed: "ok",
  failed: "error",
};

/**
 * @param {JobView} job
 * @param {RolloutView | undefined} rollout The rollout that follows, if it is known.
 * @param {(host: string) => string} nameOf
 * @param {Content} [revert] What takes the merge back, where that is offered.
 */
export function jobView(job, rollout, nameOf, revert = null) {
  const { targets, done, failed } = job.progress;
  return h(
    "section",
    { class: "panel job", key: `job-${job.id}`, "data-state": job.state, "aria-labelledby": "job-title" },
    h("h3", { id: "job-title" }, `${capital(job.kind)} of #${job.number} ${job.title}`),
    h(
      "p",
      { role: "status", class: "job-state" },
      mark(SHAPES[job.state] ?? "unknown", job.state),
      ": ",
      ...withTimes(job.message),
    ),
    targets > 0
      ? h(
          "p",
          { class: "job-progress" },
          h("progress", {
            max: targets,
            value: done + failed,
            "data-status": job.state !== "failed" && failed > 0 ? "outdated" : (SHAPES[job.state] ?? "unknown"),
            "aria-label": "Hosts that are through",
          }),
          ` ${done}/${targets} hosts${failed > 0 ? `, ${failed} failed` : ""}`,
        )
      : null,
    rollout ? h("p", { class: "note" }, stages(rollout)) : null,
    rollout ? failures(rollout, nameOf) : null,
    h("p", { class: "note" }, asked(job)),
    h(
      "div",
      { class: "actions" },
      job.rollout ? h("a", { href: rolloutPlace(job.rollout) }, "Rollout, with every host") : null,
      rollout?.offers.includes("roll-back")
        ? button("verb", "Roll back …", { rollout: rollout.id, verb: "roll-back" }, { class: "danger" })
        : null,
      revert,
    ),
  );
}

/** @param {JobView} job */
function asked(job) {
  const reason = job.reason ? `: “${job.reason}”` : "";
  return `asked by ${actorName(job.actor)} ${clockTime(job.created)}${reason}; last step ${clockTime(job.since)}`;
}

/**
 * Hosts by the stage that they are at.
 * @param {RolloutView} rollout
 */
export function stages(rollout) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { stage, state } of rollout.hosts) {
    if (state !== "waiting" && state !== "running") continue;
    const name = `${stage ?? "?"} ${state}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const open = [...counts].map(([name, count]) => `${name}: ${count}`);
  return [progressText(rollout), ...open].join(" · ");
}

/**
 * @param {RolloutView} rollout
 * @param {(host: string) => string} nameOf
 * @returns {Content}
 */
function failures(rollout, nameOf) {
  const failed = rollout.hosts.filter((one) => one.state === "failed");
  if (failed.length === 0) {
    return null;
  }
  return h(
    "ul",
    { class: "plain alert" },
    ...failed.map((one) => {
      const back = rolledBackText(one.rolled_back);
      const why = [one.message ?? "failed", back].filter((part) => part !== "");
      return h("li", { key: one.host }, h("b", {}, nameOf(one.host)), ": ", apart(why));
    }),
  );
}
