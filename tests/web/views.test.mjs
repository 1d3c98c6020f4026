// Run with: node --test tests/web/ (Node 20.19 or newer). Views are functions: these tests look at
// what they give for what the server says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { driftLine, driftView } from "../../nixfleet-server/web/hosts/drift.js";
import { generationsView, proposed } from "../../nixfleet-server/web/hosts/past.js";
import { rollbackView } from "../../nixfleet-server/web/hosts/rollback.js";
import { settingsOf, settingsView } from "../../nixfleet-server/web/hosts/settings.js";
import { findAll, h, outside, textOf, withTimes } from "../../nixfleet-server/web/model.js";
import { askOf } from "../../nixfleet-server/web/rollouts/ask.js";
import { concerned } from "../../nixfleet-server/web/rollouts/dialogs.js";
import { inStrip } from "../../nixfleet-server/web/rollouts/panel.js";
import { planView } from "../../nixfleet-server/web/rollouts/plan.js";
import { outcomesOf, simulatedView } from "../../nixfleet-server/web/rollouts/simulate.js";
import { rolloutView, rolloutsView } from "../../nixfleet-server/web/rollouts/view.js";
import { policyLines, skipText, waitText } from "../../nixfleet-server/web/rollouts/words.js";
import { hostPlace, placeOf } from "../../nixfleet-server/web/router.js";
import { lockDiff } from "../../nixfleet-server/web/updates/diff.js";
import { beforeMerge } from "../../nixfleet-server/web/updates/dialogs.js";
import { historyView } from "../../nixfleet-server/web/updates/history.js";
import { jobView, stages } from "../../nixfleet-server/web/updates/job.js";
import { updatesView } from "../../nixfleet-server/web/updates/view.js";
import { deliveriesView } from "../../nixfleet-server/web/upkeep/deliveries.js";
import { auditView } from "../../nixfleet-server/web/upkeep/audit.js";
import { holdsView, hostHoldView, until } from "../../nixfleet-server/web/upkeep/holds.js";
import { quarantineView } from "../../nixfleet-server/web/upkeep/quarantine.js";
import { windowFields, windowOf, windowsView } from "../../nixfleet-server/web/upkeep/windows.js";
import { clockTime, lasting, pendingText } from "../../nixfleet-server/web/words.js";
import * as fixtures from "./harness/fixtures.mjs";

/** @import { Content, Model } from "../../nixfleet-server/web/model.js" */

const name = (/** @type {string} */ host) => host;
const updates = /** @type {any} */ (fixtures.UPDATES);
const rollout = /** @type {any} */ (fixtures.ROLLOUT);
const plan = /** @type {any} */ (fixtures.PLAN);

const about = { now: fixtures.NOW, problem: "", rollouts: new Map([[rollout.id, rollout]]), nameOf: name, hostDriven: true };

/** @param {Content} content @param {string} act */
const acts = (content, act) => findAll(content, (one) => one.attributes["data-act"] === act);

/** @param {Content} content */
const verbs = (content) =>
  acts(content, "verb").filter((one) => !one.attributes["data-host"]).map((one) => one.attributes["data-verb"]);

/** The line of a host. @param {Content} content @param {string} host */
const line = (content, host) =>
  findAll(content, (one) => one.attributes["data-rollout-host"] === host).map(textOf).join("");

test("a view has no element and no attribute that runs or loads anything", () => {
  for (const tag of ["script", "img", "iframe", "style", "svg", "object", "link", "IMG"]) {
    assert.throws(() => h(tag), tag);
  }
  for (const attribute of ["onclick", "ONERROR", "style", "src", "srcdoc", "formaction"]) {
    assert.throws(() => h("a", { [attribute]: "x" }), attribute);
  }
  assert.deepEqual(h("p", { title: "t", hidden: false, id: undefined }, "x").attributes, { title: "t" });
});

test("a link leads to the web or into the page, and nowhere else", () => {
  for (const bad of ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//evil", "", undefined]) {
    const made = outside(bad, "text");
    assert.equal(made.tag, "span", String(bad));
    assert.equal(textOf(made), "text");
  }
  assert.equal(h("a", { href: "vbscript:x" }).attributes["href"], undefined);
  assert.equal(outside("https://forge.example/1", "t").attributes["href"], "https://forge.example/1");
  assert.equal(h("a", { href: hostPlace("a b/c") }).attributes["href"], "#host/a%20b%2Fc");
  assert.deepEqual(placeOf("#host/a%20b%2Fc"), { view: "host", subject: "a b/c" });
  assert.deepEqual(placeOf("#constructor/x"), { view: "fleet", subject: null });
  assert.deepEqual(placeOf("#host/%"), { view: "host", subject: null });
});

test("the update panel shows the current update with everything that is known of it", () => {
  const view = updatesView(updates, about);
  const text = textOf(view);
  for (const expected of [
    "#42 flake.lock: update nixpkgs",
    "by update-bot, opened 1 d 2 h ago",
    "mergeable",
    "No verdict: build-hosts was skipped",
    "abc1234 → def5678",
    "3 of 11 conditions of an automatic merge do not hold",
    "Other open updates",
    "3/9 hosts, 1 failed",
    "reverted with #32",
    "next check",
  ]) {
    assert.ok(text.includes(expected), `${expected} in ${text}`);
  }
  const [merge] = acts(view, "merge");
  assert.equal(merge?.attributes["class"], "primary");
  assert.equal(merge?.attributes["data-number"], "42");
  assert.equal(acts(view, "merge-and-deploy").length, 1);
  assert.equal(acts(view, "revert").length, 1, "what is reverted already offers it no more");
  const menu = findAll(view, (one) => one.attributes["class"] === "menu")[0];
  assert.ok(menu && acts(menu, "merge-and-deploy").length === 1, "deploying is in the menu");
  const rows = findAll(view, (one) => one.tag === "tr" && one.key === "home-manager");
  assert.ok(textOf(rows).includes("unexpected"));
  assert.equal(rows[0]?.attributes["data-state"], "unexpected");
});

test("every condition is shown with its finding, why, and what it means to people", () => {
  const view = updatesView(updates, about);
  for (const one of fixtures.PR.conditions) {
    const row = findAll(view, (model) => model.tag === "tr" && model.key === one.condition);
    assert.equal(row.length, 1, one.condition);
    assert.equal(row[0]?.attributes["data-state"], one.finding);
    assert.ok(textOf(row).includes(one.why), one.condition);
  }
});

test("updating inputs is offered where the strategy is on, and nowhere else", () => {
  assert.equal(acts(updatesView(updates, about), "update-inputs").length, 1);
  const off = { ...about, hostDriven: false };
  assert.equal(acts(updatesView(updates, off), "update-inputs").length, 0);
  assert.equal(acts(updatesView(null, about), "update-inputs").length, 1);
  assert.equal(acts(updatesView(null, off), "update-inputs").length, 0);
});

test("a forge that cannot be asked is told, and so is that none is configured", () => {
  const failing = { since: fixtures.NOW, what: "HTTP status 503", not_before: fixtures.NOW + 60_000 };
  const text = textOf(updatesView({ ...updates, failing }, about));
  assert.ok(text.includes(`HTTP status 503. It asked not to be called before ${clockTime(failing.not_before)}.`), text);
  assert.ok(!textOf(updatesView(updates, about)).includes("cannot be asked"));
  assert.equal(textOf(updatesView(null, { ...about, hostDriven: false, problem: "no forge is configured" })), "no forge is configured");
  assert.ok(textOf(updatesView({ ...updates, prs: [] }, about)).includes("No update is open."));
});

test("the lock diff tells what cannot be shown, and what differs otherwise", () => {
  assert.ok(textOf(lockDiff([], { problem: "not read" })).includes("not read"));
  assert.equal(textOf(lockDiff([])), "No input differs.");
  const added = { input: "x", kind: "added", text: "x is added at 1234567" };
  assert.ok(textOf(lockDiff([added], { more: 3 })).includes("x is added at 1234567"));
  assert.ok(textOf(lockDiff([added], { more: 3 })).includes("and 3 more"));
});

test("before a merge, a reason is asked for where the server takes one", () => {
  const reasons = (/** @type {Content} */ view) =>
    findAll(view, (one) => one.attributes["name"] === "reason");
  const view = beforeMerge(/** @type {any} */ (fixtures.PR), false);
  assert.equal(reasons(view).length, 1);
  assert.ok(textOf(view).includes("build-hosts was skipped"));
  assert.ok(!textOf(view).includes("allowed author"), "what only automation needs is no obstacle");
  const good = { ...fixtures.PR, conditions: fixtures.PR.conditions.filter((one) => one.finding === "pass") };
  assert.equal(reasons(beforeMerge(/** @type {any} */ (good), false)).length, 0);
  const [asked] = reasons(beforeMerge(/** @type {any} */ (good), true));
  assert.equal(asked?.attributes["required"], "", "the server asked for it");
});

test("a job shows its progress, its failures, and the rollback that the rollout offers", () => {
  const view = jobView(updates.job, rollout, name);
  const [bar] = findAll(view, (one) => one.tag === "progress");
  assert.deepEqual([bar?.attributes["max"], bar?.attributes["value"]], ["9", "4"]);
  assert.ok(textOf(view).includes("edge-2: switch: exit code 4"));
  assert.deepEqual(verbs(view), ["roll-back"]);
  assert.deepEqual(verbs(jobView(updates.job, { ...rollout, offers: [] }, name)), []);
  assert.ok(stages(rollout).includes("pull waiting: 3"), stages(rollout));
});

test("a job that failed offers to take back what it merged, once", () => {
  const ofJob = (/** @type {any} */ known) =>
    findAll(updatesView(known, about), (one) => one.attributes["class"] === "panel job").flatMap((one) => acts(one, "revert"));
  const failed = { ...updates, job: { ...updates.job, state: "failed" } };
  assert.deepEqual(ofJob(failed).map((one) => one.attributes["data-number"]), ["37"]);
  assert.equal(ofJob(updates).length, 0);
  const reverted = { ...fixtures.MERGED, revert: { kind: "pull-request", at: fixtures.NOW, by: { kind: "person", name: "a" } } };
  assert.equal(ofJob({ ...failed, merged: [reverted] }).length, 0);
});

test("a rollout offers exactly what the server offers", () => {
  for (const offers of [[], ["resume", "cancel"], ["approve"], ["retry-failed", "roll-back"]]) {
    assert.deepEqual(verbs(rolloutView({ ...rollout, offers }, name, true)), offers);
  }
  const skips = (/** @type {Content} */ view) =>
    acts(view, "verb").map((one) => one.attributes["data-host"]).filter((host) => host !== undefined);
  assert.deepEqual(skips(rolloutView(rollout, name, true)), ["mac-1", "laptop", "db-1"]);
  assert.deepEqual(skips(rolloutView({ ...rollout, offers: ["pause"] }, name, true)), []);
});

test("every host of a rollout has its wave, its stage, and the reason for its wait", () => {
  const view = rolloutView(rollout, name, true);
  const text = textOf(view);
  assert.ok(text.includes("3/10 hosts, 2 in flight, 1 failed, 1 left out, wave 2 of 3, switch, about 21 min left"), text);
  assert.ok(line(view, "mac-1").includes(`outside its maintenance window (nights), opens ${clockTime(fixtures.NOW + 18_000_000)}`));
  assert.ok(line(view, "web-3").includes("switch: running"));
  assert.ok(line(view, "edge-2").includes("exit code 4"));
  assert.ok(line(view, "nas").includes("held by operator, disks are being replaced"));
  const waves = findAll(view, (one) => one.attributes["class"] === "wave").map((one) => one.attributes["data-now"]);
  assert.deepEqual(waves, ["no", "yes", "no", undefined]);
  const brief = rolloutView(rollout, name, false);
  assert.equal(line(brief, "web-3"), "");
  assert.deepEqual(verbs(brief), rollout.offers.filter((/** @type {string} */ one) => one !== "skip-host"));
});

test("a rollout that has ended is opened, and one that is gone is told to be", () => {
  const past = /** @type {any} */ (fixtures.PAST_ROLLOUT);
  const ended = (/** @type {any} */ one) => one === past;
  const list = rolloutsView([rollout, past], ended, null, name);
  assert.equal(line(list, "web-2").length > 0, true);
  assert.equal(findAll(list, (one) => one.attributes["data-rollout"] === past.id && one.tag === "article").length, 0);
  const opened = rolloutsView([rollout, past], ended, past.id, name);
  assert.ok(line(opened, "web-1").includes("rolled back"));
  assert.ok(textOf(rolloutsView([], ended, "x", name)).includes("not known any more"));
});

test("waits and reasons to leave out are words, known or not", () => {
  assert.equal(waitText({ code: "held", subject: "by operator" }), "held (by operator)");
  assert.equal(waitText({ code: "a-new-code" }), "a new code");
  assert.equal(skipText("never-seen"), "its agent was never connected");
  assert.equal(skipText("offline", new Date(fixtures.NOW).toISOString()), `offline since ${clockTime(fixtures.NOW)}`);
});

test("a confirmation names the hosts", () => {
  const hosts = (/** @type {string} */ verb, /** @type {string} */ host = "") =>
    concerned(rollout, verb, host || undefined).map((group) => group.hosts);
  assert.deepEqual(hosts("pause"), [["mac-1", "laptop", "db-1"], ["web-3", "web-4"]]);
  assert.deepEqual(hosts("retry-failed"), [["edge-2"]]);
  assert.deepEqual(hosts("skip-host", "laptop"), [["laptop"]]);
  assert.deepEqual(hosts("approve"), [["mac-1", "laptop"]]);
  assert.deepEqual(hosts("roll-back")[0], ["web-1", "web-2", "web-3", "web-4", "edge-1", "edge-2"]);
});

test("a plan names every host, in order, and who is left out and why", () => {
  const text = textOf(planView(plan, name));
  for (const host of plan.waves.flatMap((/** @type {any} */ wave) => wave.hosts)) assert.ok(text.includes(host), host);
  assert.ok(text.indexOf("web-1") < text.indexOf("edge-1") && text.indexOf("edge-1") < text.indexOf("db-1"));
  assert.ok(text.includes("nas: held by operator, disks are being replaced"));
  assert.ok(text.includes("c0ffee120000"));
  assert.ok(policyLines(plan.policy).includes("at most 20 % in flight"));
});

test("what is asked for is only what somebody filled in", () => {
  assert.deepEqual(askOf({ hosts: [""], canaries: [""], soak_minutes: [""] }), {});
  assert.deepEqual(askOf({ hosts: ["@edge"] }), { hosts: "@edge" });
  const asked = askOf({
    hosts: ["*"],
    canaries: ["hosts"],
    canary_value: ["web-1, web-2"],
    soak_minutes: ["5"],
    max_in_flight: ["20%"],
    stages: ["pull", "switch"],
    barrier: ["yes"],
    on_failure: ["continue"],
    failures: ["2"],
    roll_back: ["failed-hosts"],
    offline: ["queue"],
    queue_until: ["2026-12-01T10:00"],
    approve_waves: ["no"],
  });
  assert.deepEqual(asked.policy, {
    canaries: { hosts: ["web-1", "web-2"] },
    soak_seconds: 300,
    max_in_flight: { percent: 20 },
    stages: ["pull", "switch"],
    barrier: true,
    on_failure: { continue_up_to: 2 },
    roll_back: "failed-hosts",
    offline: { queue_until: new Date("2026-12-01T10:00").getTime() },
    approve_waves: false,
  });
});

test("a simulation is a sequence with times and waits", () => {
  const view = simulatedView(/** @type {any} */ (fixtures.SIMULATED), name, fixtures.NOW);
  const text = textOf(view);
  assert.ok(text.includes("It would end"));
  assert.ok(text.indexOf("pull starts") < text.indexOf("switch succeeds"));
  assert.ok(text.includes("waits: the canaries are being watched"));
  assert.equal(findAll(view, (one) => one.tag === "select").length, 8, "an outcome for each host");
  assert.deepEqual(outcomesOf({ "outcome:a": ["fail"], "outcome:b": ["ok"], hosts: ["x"] }), { a: "fail" });
});

test("windows are written and read back", () => {
  const windows = /** @type {any[]} */ (fixtures.WINDOWS);
  const text = textOf(windowsView(windows));
  assert.ok(text.includes("Mon, Tue, Wed, Thu 02:00–05:00 Europe/Vienna; not open now"));
  assert.ok(text.includes("every day 22:00–06:00 UTC"));
  assert.ok(textOf(windowsView([])).includes("There is no window"));
  const { open: _, next_opening: __, ...nights } = windows[0];
  const values = Object.fromEntries(
    ["id", "selector", "zone", "effect", "from", "to"].map((field) => [field, [nights[field]]]),
  );
  assert.deepEqual(windowOf({ ...values, days: nights.days, classes: nights.classes }), nights);
  const fields = windowFields(nights);
  const checked = findAll(fields, (one) => "checked" in one.attributes).map((one) => one.attributes["value"]);
  assert.deepEqual(checked, ["mon", "tue", "wed", "thu", "routine", "reboot"]);
});

test("holds tell who, why and until when, and an end in the past is none", () => {
  const hosts = Object.values(fixtures.state().hosts);
  const text = textOf(holdsView(hosts));
  assert.ok(text.includes("nasdisks are being replacedoperator"), text);
  const released = (/** @type {string} */ act, /** @type {Content} */ view) =>
    acts(view, act).map((one) => one.attributes["data-host"] ?? one.attributes["data-id"]);
  assert.deepEqual(released("release", holdsView(hosts)), ["edge-2", "nas"], "what is held by selector alone is not released here");
  const whole = holdsView(hosts, fixtures.SELECTOR_HOLDS, name);
  assert.deepEqual(released("release-selector", whole), ["4", "4", "5"]);
  assert.ok(textOf(whole).includes("type:server,!web-*the power is worked onoperator"), textOf(whole));
  assert.ok(textOf(whole).includes("@labnot in useannreleased by a personnone"), textOf(whole));
  assert.ok(textOf(holdsView(hosts, "no answer")).includes("no answer"));
  assert.equal(until("", fixtures.NOW), undefined);
  assert.equal(until("2030-01-01T00:00:00Z", Date.parse("2029-12-31T23:00:00Z")), "3600s");
  assert.throws(() => until("2020-01-01T00:00", fixtures.NOW), /past/);
});

test("a host tells who holds it, by selector or alone, and offers what can be done about it", () => {
  const { hosts } = fixtures.state();
  const of = (/** @type {string} */ host) => hostHoldView(hosts[host]);
  assert.ok(textOf(of("edge-1")).includes("Held by selector type:server,!web-*, by operator until"), textOf(of("edge-1")));
  assert.equal(acts(of("edge-1"), "release").length, 0);
  assert.ok(textOf(of("edge-2")).includes("Beside that: held by ann until"));
  assert.equal(acts(of("edge-2"), "release").length, 1);
  assert.equal(acts(of("nas"), "release").length, 1);
  assert.equal(acts(of("web-1"), "hold").length, 1);
});

test("the audit trail tells who, what, why, and where there is more", () => {
  const view = auditView(fixtures.AUDIT, "11");
  assert.ok(textOf(view).includes("operator from 192.0.2.7hold.selectordonethe power is worked on"), textOf(view));
  assert.equal(acts(view, "older-audit").length, 1);
  assert.equal(acts(auditView(fixtures.AUDIT, null), "older-audit").length, 0);
  assert.equal(textOf(auditView([], null)), "Nothing was asked for yet.");
});

test("moments in sentences of the server are written as people here write them", () => {
  const text = `opens at ${new Date(fixtures.NOW).toISOString()}, not before 2026-02-30T99:99Z`;
  const parts = withTimes(text);
  const [time, ...more] = findAll(parts, (one) => one.tag === "time");
  assert.equal(time?.attributes["datetime"], new Date(fixtures.NOW).toISOString());
  assert.equal(more.length, 0, "what is no moment stays text");
  assert.equal(textOf(parts), `opens at ${clockTime(fixtures.NOW)}, not before 2026-02-30T99:99Z`);
  assert.equal(textOf(withTimes("nothing")), "nothing");
  const gate = findAll(updatesView({ ...updates, auto: { ...updates.auto, on: true } }, about), (one) => one.tag === "tr" && one.key === "window");
  assert.equal(findAll(gate, (one) => one.tag === "time").length, 1);
});

test("conditions are opened where they concern who merges", () => {
  const opened = (/** @type {any} */ known) =>
    findAll(updatesView(known, about), (one) => one.tag === "details" && one.key === "conditions")[0]?.attributes["open"];
  const of = (/** @type {boolean} */ on, /** @type {any[]} */ conditions) => ({
    ...updates,
    auto: { ...updates.auto, on },
    prs: [{ ...fixtures.PR, eligible: conditions.every((one) => one.finding === "pass"), conditions }],
  });
  const own = { condition: "author", people: "shown", finding: "fail", why: "x" };
  const all = { condition: "checks", people: "override", finding: "fail", why: "x" };
  assert.equal(opened(of(false, [own])), undefined, "an automation that is off bothers nobody");
  assert.equal(opened(of(true, [own])), "");
  assert.equal(opened(of(false, [own, all])), "");
  assert.equal(opened(of(true, [{ ...own, finding: "pass" }])), undefined);
});

test("beside the fleet stands what is under way, and the last one that went wrong until it is put away", () => {
  const past = /** @type {any} */ (fixtures.PAST_ROLLOUT);
  const ids = (/** @type {any[]} */ all, /** @type {?string} */ away = null) => inStrip(all, away).map((one) => one.id);
  assert.deepEqual(ids([past, rollout]), [rollout.id], "a newer one has taken its place");
  assert.deepEqual(ids([past]), [past.id]);
  assert.deepEqual(ids([past], past.id), []);
  assert.deepEqual(ids([past], "another"), [past.id]);
  assert.deepEqual(ids([{ ...past, state: "complete" }]), []);
  assert.deepEqual(ids([rollout], rollout.id), [rollout.id], "what is under way stays");
});

test("a rollout tells who was not reached, and estimates only what it can", () => {
  const past = textOf(rolloutView(/** @type {any} */ (fixtures.PAST_ROLLOUT), name, true));
  assert.match(past, /1 failed, 2 cancelled/);
  assert.match(past, /pull: not reached/);
  assert.match(textOf(rolloutView(rollout, name, false)), /about 21 min left/);
  assert.doesNotMatch(textOf(rolloutView({ ...rollout, estimate_seconds: 0 }, name, false)), /left$|about/);
});

test("the bar of a rollout shows how it ended", () => {
  const bar = (/** @type {any} */ one) => findAll(rolloutView(one, name, false), (model) => model.tag === "progress")[0]?.attributes;
  assert.deepEqual([bar(fixtures.PAST_ROLLOUT)?.["data-status"], bar(fixtures.PAST_ROLLOUT)?.["value"]], ["error", "1"], "not full: two were cancelled");
  assert.equal(bar(rollout)?.["data-status"], "outdated", "one has failed, and it goes on");
  const good = { ...rollout, totals: { ...rollout.totals, failed: 0 } };
  assert.equal(bar(good)?.["data-status"], "working");
  assert.equal(bar({ ...good, state: "complete" })?.["data-status"], "ok");
  assert.equal(bar({ ...good, state: "partial" })?.["data-status"], "outdated");
});

test("the quarantine tells what and why, and is lifted one by one", () => {
  const view = quarantineView(fixtures.QUARANTINE);
  assert.ok(textOf(view).includes("rolled back on web-1"));
  assert.equal(acts(view, "lift").length, 1);
  assert.equal(textOf(quarantineView([])), "No target is quarantined.");
});

test("deliveries tell what arrived and what did not, and why", () => {
  const text = textOf(deliveriesView([...fixtures.DELIVERIES, { kind: "host-failed", channel: "ntfy", number: 2, at: fixtures.NOW, outcome: { retry: "timed out" } }]));
  assert.ok(text.includes("edge-2 failedwebhook"), text);
  assert.ok(text.includes("503 Service Unavailable"));
  assert.ok(text.includes("host failedntfy, attempt 2"), text);
  assert.ok(text.includes("timed out"));
});

test("settings that nobody set are left to the host", () => {
  assert.deepEqual(settingsOf({ auto_update: [""], priority: [""], canary: ["no"], tests_after_switch: ["yes"], tags: ["a, b"] }), {
    auto_update: null,
    priority: null,
    canary: false,
    tests_after_switch: true,
    tags: ["a", "b"],
    runs_server: false,
  });
  assert.ok(textOf(settingsView({}, "a")).includes("Canaryas the host says"));
});

test("a rollback names generation, commit and date, and proposes the one before", () => {
  assert.equal(proposed(fixtures.GENERATIONS)?.number, 117);
  assert.equal(proposed([]), undefined);
  const marked = fixtures.GENERATIONS.map((one) => ({ ...one, previous: one.number === 116 }));
  assert.equal(proposed(marked)?.number, 116, "the one that the server names");
  const text = textOf(rollbackView(fixtures.GENERATIONS, 117, "web-1"));
  const made = clockTime(/** @type {number} */ (fixtures.GENERATIONS[1]?.created));
  assert.ok(text.includes(`web-1 goes back to generation 117, commit 1a2b3c4, made ${made}.`), text);
  const offered = acts(generationsView(fixtures.GENERATIONS, "web-1"), "rollback");
  assert.deepEqual(offered.map((one) => one.attributes["data-generation"]), ["117", "116"]);
});

test("the line of drift names who differs, and says nothing where nothing is known", () => {
  const drift = /** @type {any} */ (fixtures.DRIFT);
  const text = textOf(driftLine(drift, name));
  assert.equal(text, fixtures.DRIFT.sentence);
  const links = findAll(driftLine(drift, name), (one) => one.tag === "a").map((one) => one.attributes["href"]);
  assert.deepEqual(links, ["#host/web-2", "#host/edge-2", "#host/laptop"]);
  assert.equal(textOf(driftLine(null, name)), "");
  assert.equal(textOf(driftLine({ ...drift, most: null }, name)), "");
  const elsewhere = { ...drift, most: { ...drift.most, desired: false }, differing: [], unknown: [] };
  assert.equal(textOf(driftLine(elsewhere, name)), "7 of 10 hosts run 9f3c2ab, which is not the desired commit");
  const unread = { ...elsewhere, most: { ...drift.most, desired: null } };
  assert.equal(textOf(driftLine(unread, name)), "7 of 10 hosts run 9f3c2ab", "what is not known is not denied");
  assert.ok(textOf(driftView(unread, name)).includes("what is desired is not known"));
});

test("the history tells when each host got an update, and drift who is elsewhere", () => {
  const merged = /** @type {any} */ ({ ...fixtures.MERGED, hosts: [{ host: "web-1", at: fixtures.MERGED.at + 400_000 }] });
  assert.ok(textOf(historyView([merged], name, true)).includes("6 min 40 s"));
  const drift = driftView(/** @type {any} */ (fixtures.DRIFT), name);
  const rows = findAll(drift, (one) => one.tag === "tr" && "data-state" in one.attributes);
  assert.deepEqual(rows.map((one) => one.attributes["data-state"]), ["most", "drift", "drift", "unknown"]);
  assert.ok(textOf(drift).includes("1a2b3c4 with local changes1 hostedge-2"), textOf(drift));
});

test("text of others is text in every view", () => {
  const hostile = fixtures.HOSTILE;
  const pr = /** @type {any} */ (fixtures.HOSTILE_PR);
  const past = /** @type {any} */ (fixtures.PAST_ROLLOUT);
  const views = /** @type {[string, Content][]} */ ([
    ["updates", updatesView({ ...updates, prs: [pr], repo: hostile }, about)],
    ["merge", beforeMerge(pr, true)],
    ["rollout", rolloutView(past, () => hostile, true)],
    ["plan", planView(plan, () => hostile)],
    ["windows", windowsView([/** @type {any} */ ({ ...fixtures.WINDOWS[0], id: hostile, selector: hostile })])],
    ["holds", holdsView(Object.values(fixtures.state(true).hosts))],
    ["diff", lockDiff([{ input: hostile, kind: "added", text: hostile, compare: "javascript:alert(1)" }])],
  ]);
  for (const [view, content] of views) {
    assert.ok(textOf(content).includes(hostile), view);
    for (const one of findAll(content, () => true)) {
      assert.ok(!(one.attributes["href"] ?? "").toLowerCase().startsWith("javascript:"), view);
    }
  }
});

test("durations and pending updates are words", () => {
  assert.deepEqual([0, 59, 60, 3700, 90_000, 86_400].map(lasting), ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h", "1 d"]);
  assert.equal(pendingText(null, "x"), "x");
  assert.equal(
    pendingText({ number: 1, title: "", url: "", changes: ["nixpkgs abc1234 → def5678"] }, "x"),
    "Update PR pending: nixpkgs abc1234 → def5678",
  );
});
