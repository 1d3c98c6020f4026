// Run with: node --test tests/web/ (Node 20.19 or newer). The test `browser` runs the same traces
// in Chromium.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { FINAL_PHASES, KEPT_EVENTS, KEPT_ROLLOUTS, State } from "../../nixfleet-server/web/state.js";
import { Replica } from "../../nixfleet-server/web/sync.js";
import { fill } from "../../nixfleet-server/web/words.js";

/** @import { Change, ServerMessage, StatePart } from "../../nixfleet-server/web/types.js" */

const host = (/** @type {string} */ id, online = true) => ({ id, hostname: id, online });

const delta = (/** @type {number} */ number, /** @type {Change[]} */ ...changes) => ({
  type: "delta",
  payload: { first: { epoch: 1, number }, changes },
});

const part = (
  /** @type {number} */ number,
  /** @type {number} */ index,
  /** @type {number} */ parts,
  /** @type {StatePart} */ state,
  type = "init",
) => ({ type, payload: { version: { epoch: 1, number }, part: index, parts, state } });

const beacon = (/** @type {number} */ number, epoch = 1) => ({
  type: "sync",
  payload: { version: { epoch, number } },
});

const plain = (/** @type {unknown} */ value) => JSON.parse(JSON.stringify(value));

function started() {
  const replica = new Replica();
  assert.equal(replica.apply(part(5, 0, 1, { hosts: { a: host("a") } })), "changed");
  replica.takeTouched();
  return replica;
}

test("a change is applied only if it is exactly the next one", () => {
  const replica = started();
  assert.equal(replica.apply(delta(6, { host_updated: host("a", false) })), "changed");
  assert.equal(replica.state.hosts.get("a")?.online, false);
  assert.deepEqual(replica.version, { epoch: 1, number: 6 });
  assert.equal(replica.apply(delta(6, { host_removed: "a" })), "unchanged", "a duplicate");
  assert.ok(replica.state.hosts.has("a"));
});

test("a frame that overlaps is applied from where it is new", () => {
  const replica = started();
  const frame = delta(5, { host_removed: "a" }, { host_added: host("b") });
  assert.equal(replica.apply(frame), "changed");
  assert.deepEqual([...replica.state.hosts.keys()], ["a", "b"]);
});

test("a gap is asked about once, and a beacon allows to ask again", () => {
  const replica = started();
  assert.equal(replica.apply(delta(7, { host_removed: "a" })), "ask");
  assert.equal(replica.apply(delta(8, { host_removed: "a" })), "unchanged");
  assert.ok(replica.state.hosts.has("a"), "nothing is applied behind a gap");
  assert.equal(replica.apply(beacon(8)), "ask");
  assert.equal(replica.apply(part(8, 0, 1, {}, "full_state")), "changed");
  assert.equal(replica.state.hosts.size, 0);
  assert.equal(replica.apply(beacon(8)), "unchanged");
});

test("another epoch is another history", () => {
  const replica = started();
  assert.equal(replica.apply(beacon(5, 2)), "ask");
  const restored = part(1, 0, 1, { hosts: { z: host("z") } }, "full_state");
  restored.payload.version.epoch = 2;
  assert.equal(replica.apply(restored), "changed");
  assert.deepEqual(replica.version, { epoch: 2, number: 1 });
});

test("a full state takes effect with its last part, and only if all parts came in order", () => {
  const replica = started();
  const parts = ["b", "c", "d"].map((id, index) =>
    part(9, index, 3, { hosts: { [id]: host(id) } }, "full_state"),
  );
  const [first, second, third] = /** @type {[ServerMessage, ServerMessage, ServerMessage]} */ (
    parts
  );
  assert.equal(replica.apply(first), "unchanged");
  assert.equal(replica.apply(third), "ask", "a part is missing");
  assert.ok(replica.state.hosts.has("a"));
  assert.equal(replica.apply(first), "unchanged");
  assert.equal(replica.apply(second), "unchanged");
  assert.equal(replica.apply(third), "changed");
  assert.deepEqual([...replica.state.hosts.keys()], ["b", "c", "d"]);
  assert.equal(replica.takeTouched().all, true);
});

test("an older full state of the same history is not gone back to", () => {
  const replica = started();
  replica.apply(delta(6, { host_added: host("b") }));
  assert.equal(replica.apply(part(5, 0, 1, {}, "full_state")), "unchanged");
  assert.equal(replica.state.hosts.size, 2);
});

test("only the rows of the hosts concerned are drawn again", () => {
  const replica = started();
  const command = { id: "1", host: "a", op: "pull", phase: "EXECUTING", seq: 1, created: 0, since: 0 };
  replica.apply(delta(6, { command_started: command }, { host_added: host("b") }));
  assert.deepEqual(replica.takeTouched(), { all: false, hosts: new Set(["a", "b"]) });
  assert.deepEqual(replica.takeTouched(), { all: false, hosts: new Set() });
});

test("messages and changes of a newer server are passed over", () => {
  const replica = started();
  assert.equal(replica.apply({ type: "weather", payload: 1 }), "unchanged");
  assert.equal(replica.apply(delta(6, { moon_updated: 1 }, { host_added: host("b") })), "changed");
  assert.deepEqual(replica.version, { epoch: 1, number: 7 });
});

test("of the ended commands of a host only the newest stays", () => {
  const state = new State();
  const command = (/** @type {string} */ id, /** @type {number} */ seq, phase = "SUCCESS") => ({
    id,
    host: "a",
    op: "pull",
    phase,
    seq,
    created: 0,
    since: 0,
  });
  state.apply({ command_finished: command("1", 1) });
  state.apply({ command_started: command("3", 3, "EXECUTING") });
  state.apply({ command_finished: command("2", 2) });
  assert.deepEqual(state.commandsOf("a").map((one) => one.id).sort(), ["2", "3"]);
  state.apply({ command_finished: command("1", 1) });
  assert.deepEqual(state.commandsOf("a").map((one) => one.id).sort(), ["2", "3"]);
  state.apply({ command_finished: command("3", 3, "ERROR") });
  assert.deepEqual(state.commandsOf("a").map((one) => one.id), ["3"]);
  state.apply({ host_removed: "a" });
  assert.deepEqual(state.commandsOf("a"), []);
});

test("events are bounded, and an old one does not come back", () => {
  const state = new State();
  for (let n = 1; n <= KEPT_EVENTS + 5; n += 1) {
    state.apply({ event: { n, at: 0, code: "x", text: "" } });
  }
  state.apply({ event: { n: 1, at: 0, code: "x", text: "" } });
  assert.equal(state.events.size, KEPT_EVENTS);
  assert.equal(Math.min(...state.events.keys()), 6);
});

test("rollouts are replaced by id, and of the ended ones only the newest stay", () => {
  const state = new State();
  const rollout = (/** @type {string} */ id, /** @type {number} */ since, ended = "complete") =>
    /** @type {any} */ ({ id, since, state: ended });
  for (let n = 1; n <= KEPT_ROLLOUTS; n += 1) {
    assert.equal(state.apply({ rollout_updated: rollout(`r${n}`, n) }), null);
  }
  state.apply({ rollout_updated: rollout("open", 0, "paused") });
  assert.equal(state.rollouts.size, KEPT_ROLLOUTS + 1);
  state.apply({ rollout_updated: rollout("open", 0, "running") });
  assert.equal(state.rollouts.get("open")?.state, "running");
  state.apply({ rollout_updated: rollout("later", KEPT_ROLLOUTS + 1) });
  assert.equal(state.rollouts.size, KEPT_ROLLOUTS + 1);
  assert.ok(!state.rollouts.has("r1"), "the oldest of the ended ones went");
  assert.ok(state.rollouts.has("open"), "one that has not ended stays");
  state.apply({ rollout_updated: rollout("same", 2) });
  assert.ok(!state.rollouts.has("r2"), "of the same moment, the order is that of the ids");
  assert.deepEqual(new Set(Object.keys(plain(state).rollouts)), new Set(state.rollouts.keys()));
});

test("updates come whole, in a full state and as a change", () => {
  const replica = started();
  assert.ok(replica.state.updates === null);
  const updates = /** @type {any} */ ({ repo: "o/r", prs: [] });
  assert.equal(replica.apply(part(6, 0, 1, { updates, rollouts: {} }, "full_state")), "changed");
  assert.deepEqual(plain(replica.state), { updates });
  assert.equal(replica.apply(delta(7, { updates_changed: { ...updates, prs: [1] } })), "changed");
  assert.deepEqual(plain(replica.state).updates.prs, [1]);
  assert.equal(replica.apply(delta(8, { updates_changed: null })), "changed");
  assert.deepEqual(plain(replica.state), {});
});

test("another pending update changes what every row says", () => {
  const replica = started();
  replica.apply(delta(6, { update_pr_changed: { number: 1, title: "t", url: "u" } }));
  assert.equal(replica.takeTouched().all, true);
});

test("templates are filled in like in the core", () => {
  const parameters = {
    a: "0123456789",
    n: 1,
    m: 2,
    c: "timed-out",
    h: { "http-status": 503 },
    none: null,
  };
  assert.equal(fill("{a|commit} {a|lock} {a}", parameters), "0123456 01234567 0123456789");
  assert.equal(fill("{n|count:commit}, {m|count:commit}", parameters), "1 commit, 2 commits");
  assert.equal(fill("{c|code}; {h|code}", parameters), "timed out; http status 503");
  assert.equal(fill("{none|commit} {absent} {constructor}", parameters), "? ? ?");
  assert.equal(fill("no placeholder", parameters), "no placeholder");
});

const { compact } = JSON.parse(
  readFileSync(new URL("../golden/tables/tables.json", import.meta.url), "utf8"),
);

/** A replica that knows the letters, a host, and what is desired. */
function lettered() {
  const replica = new Replica();
  replica.useLetters(compact);
  const facts = { commit: "a".repeat(40), lock: { hash: "b".repeat(64) } };
  const desired = { commit: "c".repeat(40), lock: "d".repeat(64) };
  const state = plain({ hosts: { a: { ...host("a"), ...facts } }, desired });
  assert.equal(replica.apply(part(5, 0, 1, state)), "changed");
  return replica;
}

test("what an entry leaves out is looked up", () => {
  const replica = lettered();
  const entry = ["a", "oddouBJSsk+wt", 3, 1, 2];
  assert.equal(replica.apply(delta(6, { status_updated: [entry] })), "changed");
  assert.deepEqual(replica.state.statuses.get("a"), {
    id: "a",
    s: ["ok", "outdated", "outdated", "ok", "unknown"],
    r: [
      { code: "agent-current" },
      { code: "checkout-behind", host: "a".repeat(40), desired: "c".repeat(40), commits: 3 },
      { code: "lock-behind", host: "b".repeat(64), desired: "d".repeat(64), versions: 1 },
      { code: "tests-not-run", commit: "c".repeat(40) },
      { code: "tests-disabled" },
    ],
    a: [{ code: "worktree-dirty" }, { code: "last-tests-failed", failed: 2 }],
    g: true,
  });
});

test("every entry of an array is a change with a version of its own", () => {
  const replica = lettered();
  const entries = [
    ["a", "ooooeBGQin"],
    ["a", "eooooFGQin", 503],
    ["a", "eooooFGQin", 1],
  ];
  const frame = delta(6, { status_updated: entries }, { host_updated: host("a", false) });
  assert.equal(replica.apply(frame), "changed");
  assert.deepEqual(replica.version, { epoch: 1, number: 9 });
  const cause = () => replica.state.statuses.get("a")?.r[0]?.["cause"];
  assert.equal(cause(), "not-read-yet");
  assert.equal(replica.apply(delta(10, { status_updated: [entries[1]] })), "changed");
  assert.deepEqual(cause(), { "http-status": 503 });
  assert.equal(replica.apply(frame), "unchanged", "a duplicate");
});

test("an entry that cannot be read is asked about, and nothing is guessed", () => {
  for (const entry of [
    ["b", "oooooBGQin"],
    ["a", "oooooBGQi"],
    ["a", "xooooBGQin"],
    ["a", "ooooo!GQin"],
    ["a", "oooooBGQin!"],
    ["a", "oooooBGQin", 1],
    ["a", "oooooBGQYn", 1],
    ["a", "oooooBGQYn", 1, 2],
    ["a", "oooooBGQbn"],
    ["a", "oooooBGQing"],
  ]) {
    const replica = lettered();
    const frame = delta(6, { status_updated: [entry] }, { host_removed: "a" });
    assert.equal(replica.apply(frame), "ask", JSON.stringify(entry));
    assert.deepEqual(replica.version, { epoch: 1, number: 5 });
    assert.equal(replica.state.statuses.size, 0);
    assert.ok(replica.state.hosts.has("a"));
  }
  const unlettered = started();
  assert.equal(unlettered.apply(delta(6, { status_updated: [["a", "oooooBGQin"]] })), "ask");
});

const traces = new URL("../golden/sync_traces.json", import.meta.url);

test("every recorded trace of the core is followed step by step", () => {
  const recorded = JSON.parse(readFileSync(traces, "utf8"));
  assert.deepEqual([...FINAL_PHASES].sort(), recorded.final_phases.toSorted());
  assert.ok(recorded.traces.length > 0);
  for (const [index, trace] of recorded.traces.entries()) {
    const replica = new Replica();
    replica.useLetters(compact);
    for (const [at, { message, step, version }] of trace.steps.entries()) {
      const where = `trace ${index}, step ${at}`;
      assert.equal(replica.apply(message), step, where);
      assert.deepEqual(replica.version, version, where);
    }
    assert.deepEqual(plain(replica.state), trace.state, `state at the end of trace ${index}`);
  }
});
