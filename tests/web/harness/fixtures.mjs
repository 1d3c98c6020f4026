// A fleet with everything in it that the page has a view for. The shapes are those that the core's
// views serialise to.

export const NOW = Date.now();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const HOSTILE = "<img src=x onerror=\"document.title='ran'\"> javascript:alert(1) \u202e{x}";

const commit = (/** @type {string} */ start) => start.padEnd(40, "0");
const lock = (/** @type {string} */ start) => start.padEnd(64, "0");
const person = { kind: "person", name: "operator" };
const target = { commit: commit("9f3c2ab"), lock: lock("def56780") };

const move = (/** @type {string} */ input, /** @type {string} */ old, /** @type {string} */ now, more = {}) => ({
  input,
  kind: "changed",
  old: { short: old, at: NOW - 9 * DAY },
  new: { short: now, at: NOW - DAY },
  compare: `https://forge.example/NixOS/${input}/compare/${old}...${now}`,
  text: `${input} ${old} → ${now}`,
  ...more,
});

const condition = (/** @type {string} */ name, /** @type {string} */ people, /** @type {string} */ finding, /** @type {string} */ why) => ({
  condition: name,
  people,
  finding,
  why,
});

export const PR = {
  number: 42,
  title: "flake.lock: update nixpkgs",
  url: "https://forge.example/fleet/config/pull/42",
  author: "update-bot",
  created: NOW - 26 * HOUR,
  head: commit("5ab01cd"),
  head_since: NOW - 25 * MINUTE,
  mergeable: "yes",
  verdict: "no_verdict",
  verdict_why: "build-hosts was skipped: it says nothing about this head",
  checks: [
    { name: "eval", required: true, states: ["success"], verdict: "pass", text: "succeeded" },
    { name: "build-hosts", required: true, states: ["skipped"], verdict: "no_verdict", text: "was skipped: it says nothing about this head" },
    { name: "lint", required: false, states: [], verdict: "no_verdict", text: "did not run" },
  ],
  conditions: [
    condition("open", "required", "pass", "it is open"),
    condition("not-draft", "required", "pass", "it is ready for review"),
    condition("base", "required", "pass", "it would change main of fleet/config"),
    condition("head-repo", "override", "pass", "its branch is in the same repository"),
    condition("author", "shown", "fail", '"update-bot" is not an allowed author'),
    condition("files", "override", "pass", "it changes flake.lock only"),
    condition("lock-change", "override", "pass", "2 inputs get another revision, nothing else differs"),
    condition("checks", "override", "cannot-tell", "build-hosts was skipped: it says nothing about this head"),
    condition("age", "shown", "pass", "it has been open since yesterday"),
    condition("head-unchanged", "shown", "fail", "it must be unchanged for 1h: until later"),
    condition("mergeable", "required", "pass", "the forge could merge it"),
  ],
  eligible: false,
  ripe_at: NOW + 35 * MINUTE,
  inputs: [
    move("nixpkgs", "abc1234", "def5678"),
    move("home-manager", "1111aaa", "2222bbb", { unexpected: true }),
  ],
  unexpected: ["home-manager"],
};

export const HOSTILE_PR = {
  ...PR,
  number: 41,
  title: HOSTILE,
  url: "javascript:alert(1)",
  author: HOSTILE,
  created: NOW - 3 * DAY,
};

export const MERGED = {
  number: 37,
  title: "flake.lock: update nixpkgs and disko",
  url: "https://forge.example/fleet/config/pull/37",
  commit: commit("9f3c2ab"),
  at: NOW - 3 * DAY,
  by: person,
  inputs: [move("nixpkgs", "99988aa", "abc1234"), move("disko", "7654321", "1234567")],
};

export const UPDATES = {
  repo: "fleet/config",
  branch: "main",
  prs: [PR, HOSTILE_PR],
  checked: NOW - 4 * MINUTE,
  failing: undefined,
  next_check: NOW + 56 * MINUTE,
  auto: {
    on: true,
    gates: [
      { gate: "switched-on", finding: "pass", why: "automatic merges are switched on" },
      { gate: "conditions", finding: "fail", why: "author: \"update-bot\" is not an allowed author" },
      { gate: "window", finding: "fail", why: `the window nights opens at ${new Date(NOW + 5 * HOUR).toISOString()}` },
    ],
  },
  direct_revert: true,
  job: {
    id: 7,
    kind: "merge",
    number: 37,
    title: "flake.lock: update nixpkgs and disko",
    actor: person,
    reason: "the checks are known to be flaky today",
    state: "switching",
    message: "switching to 9f3c2ab: 3 of 9 hosts",
    rollout: "0199aaaa-0000-7000-8000-000000000001",
    progress: { switching: true, targets: 9, done: 3, failed: 1 },
    created: NOW - 22 * MINUTE,
    since: NOW - MINUTE,
  },
  merged: [
    MERGED,
    {
      ...MERGED,
      number: 31,
      title: HOSTILE,
      at: NOW - 12 * DAY,
      by: undefined,
      revert: { kind: "pull-request", number: 32, url: "https://forge.example/fleet/config/pull/32", at: NOW - 11 * DAY, by: person },
    },
  ],
};

const HOSTS = ["db-1", "edge-1", "edge-2", "laptop", "mac-1", "web-1", "web-2", "web-3", "web-4"];

export const ROLLOUT = {
  id: "0199aaaa-0000-7000-8000-000000000001",
  kind: "rollout",
  actor: person,
  state: "running",
  created: NOW - 20 * MINUTE,
  since: NOW - 20 * MINUTE,
  target,
  plan: lock("c0ffee12"),
  wave: 1,
  waves: 3,
  totals: { targets: 10, done: 3, failed: 1, skipped: 1, cancelled: 0, in_flight: 2 },
  stage_now: "switch",
  estimate_seconds: 1260,
  hosts: [
    { host: "web-1", wave: 0, canary: true, state: "done" },
    { host: "web-2", wave: 0, canary: true, state: "done" },
    { host: "web-3", wave: 1, stage: "switch", state: "running", command: "c1" },
    { host: "web-4", wave: 1, stage: "test", state: "running", command: "c2" },
    { host: "edge-1", wave: 1, state: "done" },
    { host: "edge-2", wave: 1, stage: "switch", state: "failed", message: "switch: exit code 4, unit nginx.service failed" },
    { host: "mac-1", wave: 1, stage: "pull", state: "waiting", wait: { code: "outside-window", subject: "nights", until: NOW + 5 * HOUR } },
    { host: "laptop", wave: 1, stage: "pull", state: "waiting", wait: { code: "offline", until: NOW - 2 * HOUR } },
    { host: "db-1", wave: 2, stage: "pull", state: "waiting", wait: { code: "previous-wave" } },
    { host: "nas", state: "skipped", skipped: "held", message: "by operator, disks are being replaced" },
  ],
  offers: ["pause", "cancel", "retry-failed", "skip-host", "roll-back"],
};

export const PAST_ROLLOUT = {
  ...ROLLOUT,
  id: "0199aaaa-0000-7000-8000-000000000000",
  state: "halted",
  reason: "the canary web-1 failed",
  created: NOW - 2 * DAY,
  since: NOW - 2 * DAY + HOUR,
  wave: 0,
  totals: { targets: 3, done: 0, failed: 1, skipped: 0, cancelled: 2, in_flight: 0 },
  stage_now: undefined,
  estimate_seconds: undefined,
  hosts: [
    { host: "web-1", wave: 0, canary: true, stage: "switch", state: "failed", message: HOSTILE, rolled_back: "done" },
    { host: "web-2", wave: 1, stage: "pull", state: "cancelled" },
    { host: "web-3", wave: 1, stage: "pull", state: "cancelled" },
  ],
  offers: [],
};

const POLICY = {
  canaries: { count: 2 },
  soak_seconds: 600,
  max_in_flight: { percent: 20 },
  stages: ["pull", "switch", "test"],
  barrier: true,
  on_failure: "stop",
  roll_back: "none",
  offline: "skip",
  approve_waves: false,
  class: "routine",
};

export const PLAN = {
  id: lock("c0ffee12"),
  kind: "rollout",
  target,
  policy: POLICY,
  ops: ["pull", "switch", "test"],
  waves: [
    { hosts: ["web-1", "web-2"], canary: true },
    { hosts: ["edge-1", "edge-2", "mac-1", "web-3", "web-4"], canary: false },
    { hosts: ["db-1"], canary: false },
  ],
  skipped: [
    { host: "nas", reason: "held", subject: "by operator, disks are being replaced" },
    { host: "laptop", reason: "offline", subject: new Date(NOW - 2 * HOUR).toISOString() },
  ],
};

export const SIMULATED = {
  plan: PLAN,
  steps: [
    { at_seconds: 0, host: "web-1", what: "pull starts" },
    { at_seconds: 0, host: "mac-1", what: "waits", wait: { code: "outside-window", subject: "nights", until: NOW + 5 * HOUR } },
    { at_seconds: 22, host: "web-1", what: "pull succeeds" },
    { at_seconds: 22, host: "web-1", what: "switch starts" },
    { at_seconds: 190, host: "web-1", what: "switch succeeds" },
    { at_seconds: 200, host: "db-1", what: "waits", wait: { code: "soaking", until: NOW + 13 * MINUTE } },
    { at_seconds: 4000, what: "enters complete" },
  ],
  result: { state: "complete" },
};

export const WINDOWS = [
  { id: "nights", selector: "*,!@critical", zone: "Europe/Vienna", classes: ["routine", "reboot"], effect: "allow", days: ["mon", "tue", "wed", "thu"], from: "02:00", to: "05:00", open: false, next_opening: NOW + 5 * HOUR },
  { id: "month-end", selector: "db-*", zone: "UTC", classes: [], effect: "deny", days: [], from: "22:00", to: "06:00" },
];

export const SELECTOR_HOLDS = [
  { id: 4, selector: "type:server,!web-*", by: "operator", why: "the power is worked on", since: NOW - HOUR, until: NOW + 40 * HOUR, hosts: ["edge-1", "edge-2"] },
  { id: 5, selector: "@lab", by: "ann", why: "not in use", since: NOW - DAY, until: null, hosts: [] },
];

export const AUDIT = [
  { n: 12, at: NOW - MINUTE, actor: person, action: "hold.selector", host: null, command: null, reason: "the power is worked on", outcome: "done", before: null, after: SELECTOR_HOLDS[0], peer: "192.0.2.7" },
  { n: 11, at: NOW - HOUR, actor: { kind: "automation", name: "rollout 0199aaaa" }, action: "dispatch.switch", host: "web-1", command: "c9", reason: null, outcome: "accepted", before: null, after: null, peer: null },
];

export const DRIFT = {
  hosts: 10,
  most: { revision: commit("9f3c2ab"), hosts: 7, desired: true },
  differing: [
    { host: "web-2", revision: commit("1a2b3c4") },
    { host: "edge-2", revision: `${commit("1a2b3c4")}-dirty` },
  ],
  unknown: ["laptop"],
  sentence: "7 of 10 hosts run 9f3c2ab; differing: web-2, edge-2; not known: laptop",
};

export const QUARANTINE = [
  { target: { commit: commit("badc0de"), lock: lock("0bad0bad") }, since: NOW - 2 * DAY, by: "rollout 0199aaaa", why: "rolled back on web-1" },
];

export const GENERATIONS = [
  { number: 118, path: "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-web-1", commit: commit("9f3c2ab"), created: NOW - 3 * DAY, current: true },
  { number: 117, path: "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nixos-system-web-1", commit: commit("1a2b3c4"), created: NOW - 10 * DAY, current: false },
  { number: 116, path: null, commit: null, created: null, current: false },
];

export const DEPLOYS = [
  { command: "c9", op: "switch", target, actor: person, outcome: "ok", generation: 118, pr: 37, at: NOW - 3 * DAY, rollout: ROLLOUT.id },
  { command: "c8", op: "switch", target, actor: { kind: "automation", name: "rollout 0199aaaa" }, outcome: "failed", at: NOW - 4 * DAY, message: "exit code 4" },
];

export const DELIVERIES = [
  { id: 1, title: "New update #42", channel: "ntfy", state: "delivered", at: NOW - 26 * HOUR },
  { id: 2, title: "edge-2 failed", channel: "webhook", state: "retrying", at: NOW - 5 * MINUTE, error: "503 Service Unavailable" },
];

const REASONS = [
  { code: "agent-current" },
  { code: "checkout-current", commit: target.commit },
  { code: "lock-current", lock: target.lock },
  { code: "system-current", commit: target.commit },
  { code: "tests-passed", commit: target.commit },
];

/** The whole state that the live feed sends. @param {boolean} hostile */
export function state(hostile = false) {
  /** @type {Record<string, any>} */
  const hosts = {};
  /** @type {Record<string, any>} */
  const statuses = {};
  for (const [index, id] of [...HOSTS, "nas"].entries()) {
    const online = id !== "laptop";
    hosts[id] = {
      id,
      hostname: hostile && id === "web-2" ? HOSTILE : id,
      online,
      ...(online ? {} : { offline_since: NOW - 2 * HOUR }),
      host_type: id === "mac-1" ? "macos" : "nixos",
      location: index % 2 ? "home" : "cloud",
      device_type: "server",
      deployed: { commit: index % 4 === 1 ? commit("1a2b3c4") : target.commit },
      hold: id === "nas" ? { by: "operator", why: hostile ? HOSTILE : "disks are being replaced", until: NOW + 30 * HOUR } : null,
      ...(id.startsWith("edge-")
        ? { hold: { by: "selector type:server,!web-*, by operator", why: "the power is worked on", until: NOW + 40 * HOUR }, held_by_selector: 4 }
        : {}),
      ...(id === "edge-2" ? { own_hold: { by: "ann", why: "a fan is broken", until: NOW + HOUR } } : {}),
    };
    const s = ["ok", "ok", "ok", "ok", "ok"];
    if (id === "edge-2") s.splice(3, 2, "error", "outdated");
    if (id === "web-3") s.splice(3, 2, "working", "outdated");
    if (id === "db-1") s.splice(1, 4, "outdated", "outdated", "outdated", "outdated");
    statuses[id] = {
      id,
      s,
      r: REASONS,
      a: [
        { code: "update-pending", pr: 42 },
        ...(id === "nas" ? [{ code: "held", by: "operator", why: "disks are being replaced", until: null }] : []),
        ...(id.startsWith("edge-") ? [{ code: "held", by: "selector type:server,!web-*, by operator", why: "the power is worked on", until: NOW + 40 * HOUR }] : []),
        ...(online ? [] : [{ code: "offline", since: NOW - 2 * HOUR }]),
      ],
    };
  }
  return {
    desired: { agent_version: "0.1.0", remote: { state: "verified" }, commit: target.commit, lock: target.lock, subject: "flake.lock: update nixpkgs and disko", commit_time: NOW - 3 * DAY, branch: "main", host_driven: true },
    update_pr: { number: 42, title: PR.title, url: PR.url, created_at: PR.created, changes: ["nixpkgs abc1234 → def5678", "home-manager 1111aaa → 2222bbb"] },
    hosts,
    statuses,
    updates: UPDATES,
    rollouts: { [ROLLOUT.id]: ROLLOUT, [PAST_ROLLOUT.id]: PAST_ROLLOUT },
  };
}

/** What a host's own document says. @param {string} id */
export function report(id) {
  const detail = (/** @type {string} */ status, /** @type {string} */ message, /** @type {string[]} */ offers, details = /** @type {string[]} */ ([])) => ({
    status,
    reason: { code: "x" },
    message,
    details,
    click: { offers, stop: false, log: false },
  });
  return {
    id,
    settings: { auto_update: true, priority: 50, canary: id === "web-1", tests_after_switch: null, tags: ["edge", "critical"], runs_server: false },
    compartments: {
      agent: detail("ok", "the expected version", []),
      git: detail("ok", "at the desired commit", []),
      lock: detail("ok", "the desired lock", ["merge-pr"], ["Update PR pending: nixpkgs abc1234 → def5678", "Merge PR #42 to update"]),
      system: detail("ok", "runs the desired revision", []),
      tests: detail("error", "2 tests failed", ["test", "rollback"], ["roll back to: generation 117 (1a2b3c4)"]),
    },
  };
}
