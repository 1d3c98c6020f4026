// Rollouts in words: what states, waits and verbs mean. The codes are those of the core's tables.

import { capital, clockTime, lasting, plainCode } from "../words.js";

/** @import { Kind, Policy, RolloutHost, RolloutView, Wait } from "./types.js" */

/** @type {Record<string, { name: string, status: string }>} */
export const STATES = {
  running: { name: "running", status: "working" },
  paused: { name: "paused", status: "outdated" },
  "awaiting-approval": { name: "waits for approval", status: "outdated" },
  "rolling-back": { name: "rolling back", status: "working" },
  complete: { name: "complete", status: "ok" },
  partial: { name: "partly done", status: "outdated" },
  failed: { name: "failed", status: "error" },
  halted: { name: "halted", status: "error" },
  cancelled: { name: "cancelled", status: "unknown" },
  superseded: { name: "superseded", status: "unknown" },
};

/** @type {Record<string, { name: string, status: string }>} */
export const HOST_STATES = {
  waiting: { name: "waiting", status: "unknown" },
  running: { name: "running", status: "working" },
  done: { name: "done", status: "ok" },
  failed: { name: "failed", status: "error" },
  skipped: { name: "left out", status: "unknown" },
  cancelled: { name: "not reached", status: "unknown" },
};

/** @type {Record<string, string>} */
export const WAITS = {
  "previous-wave": "an earlier wave is not done",
  "previous-stage": "another host has not passed the stage before",
  soaking: "the canaries are being watched",
  "outside-window": "outside its maintenance window",
  held: "held",
  offline: "offline",
  busy: "something else runs on it",
  "budget-full": "as many hosts as allowed are in flight",
  paused: "the rollout is paused",
  "awaiting-approval": "the wave has to be approved",
  quarantined: "the target is quarantined",
  "desired-not-visible": "the source does not show the target yet",
  "remote-unreadable": "the remote cannot be read",
  "checkout-not-ready": "its checkout is not seen at the target",
  "other-rollout": "another rollout is at work on it",
  stopping: "the rollout ends when what runs has ended",
  "system-not-seen": "what it runs was not told since its last command",
};

/** What the moment of a wait means, where it is not the end of it. @type {Record<string, string>} */
const UNTIL = { "outside-window": "opens", offline: "since" };

/** @type {Record<string, string>} */
const SKIPS = {
  held: "held",
  offline: "offline",
  "never-seen": "its agent was never connected",
  "auto-update-off": "its settings keep automation away",
  removed: "removed after the plan was confirmed",
};

/** @type {Record<string, { name: string, kind: string, asks: string, does: string, confirm?: string }>} */
export const VERBS = {
  pause: { name: "Pause", kind: "", asks: "Pause the rollout?", does: "Nothing new starts; what runs goes on to its end." },
  resume: { name: "Resume", kind: "primary", asks: "Go on with the rollout?", does: "What waits only for this may start at once." },
  approve: { name: "Approve next wave", kind: "primary", asks: "Let the next wave start?", does: "The hosts of the next wave may start at once." },
  "retry-failed": { name: "Retry failed", kind: "", asks: "Try the failed hosts again?", does: "The failed stage runs again on every host that failed." },
  "skip-host": { name: "Leave out", kind: "quiet", asks: "Leave the host out?", does: "The rollout goes on without it." },
  cancel: { name: "Cancel", kind: "danger", asks: "End the rollout?", does: "What runs goes on to its end; nothing else of it starts.", confirm: "Cancel the rollout" },
  "roll-back": { name: "Roll back", kind: "danger", asks: "Roll back what it changed?", does: "Every host that it changed goes back to what it ran before, and is held; the target is quarantined.", confirm: "Roll back these hosts" },
};

/** @param {string} state */
export function stateName(state) {
  return STATES[state]?.name ?? plainCode(state);
}

/** The shape that goes with a state. @param {string} state */
export function stateShape(state) {
  return STATES[state]?.status ?? "unknown";
}

/** @param {string} state */
export function hostStateName(state) {
  return HOST_STATES[state]?.name ?? plainCode(state);
}

/** @param {string} state */
export function hostStateShape(state) {
  return HOST_STATES[state]?.status ?? "unknown";
}

/** Why it waits, with what it is about and until when. @param {Wait} wait */
export function waitText(wait) {
  const what = WAITS[wait.code] ?? plainCode(wait.code);
  const about = wait.subject ? ` (${wait.subject})` : "";
  const word = UNTIL[wait.code] ?? "until";
  const until = wait.until === undefined || wait.until === null ? "" : `, ${word} ${clockTime(wait.until)}`;
  return `${what}${about}${until}`;
}

/** @param {string} code @param {string} [subject] */
export function skipText(code, subject) {
  const moment = code === "offline" && subject ? Date.parse(subject) : Number.NaN;
  const about = Number.isNaN(moment) ? subject : `since ${clockTime(moment)}`;
  return `${SKIPS[code] ?? plainCode(code)}${about ? ` ${about}` : ""}`;
}

/** @param {RolloutHost["rolled_back"]} rolledBack */
export function rolledBackText(rolledBack) {
  if (!rolledBack) return "";
  if (typeof rolledBack !== "string") {
    const [code, about] = Object.entries(rolledBack)[0] ?? ["", ""];
    return code === "running" ? "is being rolled back" : `rollback ${plainCode(code)}: ${about}`;
  }
  /** @type {Record<string, string>} */
  const words = {
    pending: "is to be rolled back",
    done: "rolled back",
    "not-needed": "nothing to roll back",
    abandoned: "rollback abandoned",
  };
  return words[rolledBack] ?? plainCode(rolledBack);
}

/** @param {Kind} kind */
export function kindName(kind) {
  return typeof kind === "string" ? capital(kind) : `Pipeline ${kind.pipeline}`;
}

/** "3/9 hosts", and what else is to be said about how far it is. @param {RolloutView} rollout */
export function progressText(rollout) {
  const { done, targets, failed, skipped, cancelled, in_flight: running } = rollout.totals;
  const parts = [
    `${done}/${targets} hosts`,
    running > 0 ? `${running} in flight` : "",
    failed > 0 ? `${failed} failed` : "",
    skipped > 0 ? `${skipped} left out` : "",
    cancelled > 0 ? `${cancelled} cancelled` : "",
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** A policy in a few sentences. @param {Policy} policy @returns {string[]} */
export function policyLines(policy) {
  const { canaries, max_in_flight: most, on_failure: failure, offline } = policy;
  const first =
    canaries === "flagged"
      ? "canaries: the hosts that are set to be canaries"
      : canaries === "none"
        ? "no canaries"
        : "count" in canaries
          ? `canaries: ${canaries.count}`
          : `canaries: ${canaries.hosts.join(", ")}`;
  return [
    canaries === "none" ? first : `${first}; watched for ${lasting(policy.soak_seconds)}`,
    `at most ${"count" in most ? most.count : `${most.percent} %`} in flight`,
    `stages: ${policy.stages.join(" → ")}${policy.barrier ? ", each on all hosts before the next" : ""}`,
    failure === "stop"
      ? "stops at the first failure"
      : `goes on up to ${failure.continue_up_to} failures`,
    `roll back by itself: ${plainCode(policy.roll_back)}`,
    typeof offline === "string"
      ? `offline hosts: ${offline}`
      : `offline hosts: queued until ${clockTime(offline.queue_until)}`,
    policy.approve_waves ? "every wave is approved by a person" : "",
    policy.class === "routine" ? "" : `counts as ${policy.class}`,
  ].filter((line) => line !== "");
}
