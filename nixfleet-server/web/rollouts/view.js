// Rollouts: the list, and one with its waves, its hosts and the reason for every wait.

import { apart, button, h, mark } from "../model.js";
import { hostPlace, rolloutPlace } from "../router.js";
import { actorName, clockTime, lasting, plainCode, shortCommit } from "../words.js";
import { ENDED_ROLLOUTS } from "../state.js";
import { fact } from "./plan.js";
import {
  VERBS,
  hostStateName,
  hostStateShape,
  kindName,
  progressText,
  rolledBackText,
  skipText,
  stateName,
  stateShape,
  waitText,
} from "./words.js";

/** @import { Content } from "../model.js" */
/** @import { RolloutHost, RolloutView } from "./types.js" */

/**
 * Every rollout, those that have not ended first, then the newest.
 * @param {Iterable<RolloutView>} rollouts
 * @param {(rollout: RolloutView) => boolean} hasEnded
 * @param {?string} opened
 * @param {(host: string) => string} nameOf
 * @returns {Content[]}
 */
export function rolloutsView(rollouts, hasEnded, opened, nameOf) {
  const all = [...rollouts].sort((one, other) => other.created - one.created);
  const active = all.filter((one) => !hasEnded(one));
  const ended = all.filter(hasEnded);
  const shown = opened === null ? undefined : all.find((one) => one.id === opened);
  return [
    h(
      "div",
      { class: "actions", key: "new" },
      button("new", "New rollout …", {}, { class: "primary" }),
      button("what-if", "What would happen …"),
    ),
    opened !== null && !shown
      ? h("p", { class: "alert", key: "unknown" }, "This rollout is not known any more.")
      : null,
    ...active.map((one) => rolloutView(one, nameOf, true)),
    shown && hasEnded(shown) ? rolloutView(shown, nameOf, true) : null,
    h("h3", { key: "recent-title" }, "Recent rollouts"),
    ended.length > 0
      ? h("ul", { class: "plain recent", key: "recent" }, ...ended.map(entry))
      : h("p", { class: "note", key: "no-recent" }, "None has ended yet."),
  ];
}

/** @param {RolloutView} rollout */
function entry(rollout) {
  return h(
    "li",
    { key: rollout.id },
    h("a", { href: rolloutPlace(rollout.id) }, title(rollout)),
    " ",
    mark(stateShape(rollout.state), stateName(rollout.state)),
    h("span", { class: "note" }, ` ${progressText(rollout)}, ${clockTime(rollout.since)}`),
  );
}

/** @param {RolloutView} rollout */
export function title(rollout) {
  const to = rollout.target ? ` to ${shortCommit(rollout.target.commit)}` : "";
  return `${kindName(rollout.kind)}${to}`;
}

/**
 * @param {RolloutView} rollout
 * @param {(host: string) => string} nameOf
 * @param {boolean} whole With its hosts, or only how far it is.
 * @param {Content} [more] What else can be done with it here.
 */
export function rolloutView(rollout, nameOf, whole, more = null) {
  const id = `rollout-${rollout.id}`;
  return h(
    "article",
    { class: "panel rollout", key: id, id, "data-rollout": rollout.id, "data-state": rollout.state, "aria-labelledby": `${id}-title` },
    h("h3", { id: `${id}-title` }, h("a", { href: rolloutPlace(rollout.id) }, title(rollout))),
    h(
      "p",
      { role: "status", class: "rollout-state" },
      mark(stateShape(rollout.state), stateName(rollout.state)),
      `: ${progressText(rollout)}${remaining(rollout)}`,
    ),
    progress(rollout),
    verbs(rollout),
    more,
    whole ? facts(rollout) : null,
    whole ? waves(rollout, nameOf) : null,
  );
}

/** @param {RolloutView} rollout */
function progress({ totals, state }) {
  const through = totals.done + totals.failed + totals.skipped + totals.cancelled;
  const ended = ENDED_ROLLOUTS.has(state);
  return h("progress", {
    max: Math.max(1, totals.targets),
    // What has ended has no way to go: it is as long as what was reached, in the colour of its end.
    value: ended ? totals.done + totals.failed : through,
    "data-status": ended ? stateShape(state) : totals.failed > 0 ? "outdated" : "working",
    "aria-label": totals.failed > 0 ? "Hosts that are through, some of them failed" : "Hosts that are through",
  });
}

/** @param {RolloutView} rollout */
function remaining(rollout) {
  const wave = rollout.waves > 1 ? `, wave ${rollout.wave + 1} of ${rollout.waves}` : "";
  const stage = rollout.stage_now ? `, ${rollout.stage_now}` : "";
  // What takes longer than it did on average so far has no estimate.
  const left =
    !rollout.estimate_seconds ? "" : `, about ${lasting(rollout.estimate_seconds)} left`;
  return `${wave}${stage}${left}`;
}

/** What can be done now, as the server says. @param {RolloutView} rollout */
function verbs(rollout) {
  const offered = rollout.offers.filter((verb) => verb !== "skip-host");
  if (offered.length === 0) {
    return null;
  }
  return h(
    "div",
    { class: "actions", role: "group", "aria-label": "What can be done now" },
    ...offered.map((verb) => {
      const known = VERBS[verb];
      const text = known?.name ?? plainCode(verb);
      return button("verb", text, { rollout: rollout.id, verb }, { key: verb, class: known?.kind || null });
    }),
  );
}

/** @param {RolloutView} rollout */
function facts(rollout) {
  const { target } = rollout;
  return h(
    "dl",
    { class: "facts" },
    fact("Started", `${clockTime(rollout.created)} by ${actorName(rollout.actor)}`),
    fact("In this state since", clockTime(rollout.since)),
    rollout.reason ? fact("Reason", rollout.reason) : null,
    target
      ? fact("Target", [h("code", {}, shortCommit(target.commit)), target.lock ? [", flake.lock ", h("code", {}, target.lock.slice(0, 8))] : null])
      : null,
    fact("Plan", h("code", { title: rollout.plan }, rollout.plan.slice(0, 12))),
  );
}

/**
 * @param {RolloutView} rollout
 * @param {(host: string) => string} nameOf
 */
function waves(rollout, nameOf) {
  /** @type {Map<number, RolloutHost[]>} */
  const byWave = new Map();
  const leftOut = rollout.hosts.filter((one) => one.wave === undefined);
  for (const one of rollout.hosts) {
    if (one.wave !== undefined) byWave.set(one.wave, [...(byWave.get(one.wave) ?? []), one]);
  }
  const skipping = rollout.offers.includes("skip-host");
  return h(
    "div",
    { class: "waves-of" },
    ...[...byWave].map(([number, hosts]) => {
      const canary = hosts[0]?.canary ?? false;
      const name = canary ? `Wave ${number + 1}: canaries` : `Wave ${number + 1}`;
      const now = number === rollout.wave && !ENDED_ROLLOUTS.has(rollout.state) ? "yes" : "no";
      return h(
        "section",
        { key: String(number), class: "wave", "data-now": now },
        h("h4", {}, now === "yes" && rollout.waves > 1 ? `${name} (current)` : name),
        h(
          "ul",
          { class: "plain hosts-of" },
          ...hosts.map((one) => hostLine(one, rollout, nameOf, skipping)),
        ),
      );
    }),
    leftOut.length > 0
      ? h(
          "section",
          { key: "left-out", class: "wave" },
          h("h4", {}, "Left out from the beginning"),
          h("ul", { class: "plain hosts-of" }, ...leftOut.map((one) => hostLine(one, rollout, nameOf, false))),
        )
      : null,
  );
}

/**
 * @param {RolloutHost} one
 * @param {RolloutView} rollout
 * @param {(host: string) => string} nameOf
 * @param {boolean} skipping
 */
function hostLine(one, rollout, nameOf, skipping) {
  const stage = one.stage ? `${one.stage}: ` : "";
  const said = [
    one.wait ? waitText(one.wait) : "",
    one.skipped ? skipText(one.skipped, one.message) : (one.message ?? ""),
    rolledBackText(one.rolled_back),
  ].filter((part) => part !== "");
  return h(
    "li",
    { key: one.host, "data-rollout-host": one.host, "data-state": one.state },
    h("a", { class: "name", href: hostPlace(one.host) }, nameOf(one.host)),
    h("span", { class: "host-state" }, mark(hostStateShape(one.state), `${stage}${hostStateName(one.state)}`)),
    h("span", { class: "why" }, apart(said)),
    skipping && one.state === "waiting" && !one.canary
      ? button("verb", "Leave out", { rollout: rollout.id, verb: "skip-host", host: one.host }, { class: "quiet", "aria-label": `Leave out ${nameOf(one.host)}` })
      : h("span", {}),
  );
}
