// Run with: node --test tests/web/ (Node 20.19 or newer). The page in Chromium, under the policy of
// the server, with the fixtures of `harness/` behind it. Where there is no Chromium it says so.

import assert from "node:assert/strict";
import { test } from "node:test";

import { found, launch } from "./harness/chromium.mjs";
import { PLAN, ROLLOUT } from "./harness/fixtures.mjs";
import { serve } from "./harness/server.mjs";

/** @typedef {Awaited<ReturnType<typeof launch>>} Browser */
/** @typedef {Awaited<ReturnType<typeof serve>>} Server */
/** @typedef {NonNullable<Parameters<typeof serve>[0]>} Options */

const program = found();
const skip = !program && process.env["NIXFLEET_REQUIRE_BROWSER"] !== "1" ? "no Chromium found" : false;

const VIEWS = ["", "#updates", "#rollouts", `#rollouts/${ROLLOUT.id}`, "#upkeep", "#history", "#host/web-1"];
const LOCK = "[data-host='web-1'] [data-compartment='lock']";
const SHEET = "document.querySelector('#sheet')";

/**
 * @param {string} what
 * @param {Options} options
 * @param {(person: Person) => Promise<void>} steps
 */
function page(what, options, steps) {
  test(what, { skip, timeout: 120_000 }, async () => {
    const server = await serve(options);
    const browser = await launch(program ?? "chromium");
    try {
      await steps(new Person(browser, server));
    } finally {
      await browser.close();
      server.close();
    }
  });
}

/** Somebody at the page. */
class Person {
  /** @param {Browser} browser @param {Server} server */
  constructor(browser, server) {
    this.browser = browser;
    this.server = server;
  }

  /** @param {string} place */
  async at(place) {
    await this.browser.open("about:blank");
    await this.browser.open(`${this.server.url}${place}`);
    await this.browser.until("document.querySelector('#hosts')?.getAttribute('aria-busy') === 'false'");
  }

  /** @param {string} selector @param {string} text */
  reads(selector, text) {
    return this.browser.until(
      `document.querySelector(${JSON.stringify(selector)})?.textContent.includes(${JSON.stringify(text)})`,
    );
  }

  /** @param {string} selector @param {string} value */
  async fills(selector, value) {
    await this.browser.click(selector);
    await this.browser.evaluate(`document.querySelector(${JSON.stringify(selector)}).select?.()`);
    await this.browser.call("Input.insertText", { text: value });
  }

  /** What was asked of the server there. @param {string} method @param {string} path */
  asked(method, path) {
    return this.server.asked.filter((one) => one.method === method && one.path === path);
  }

  /** @param {RegExp} [expected] What the browser itself says of refusals. */
  hadNoTrouble(expected) {
    const troubles = this.browser.troubles.filter((one) => !expected?.test(one));
    assert.deepEqual(troubles, []);
  }
}

page("complaints of the page are noticed", {}, async (person) => {
  await person.at("");
  await person.browser
    .evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x>')")
    .then(() => assert.fail("markup from text was taken"), () => {});
  await person.browser.evaluate("setTimeout(() => { throw new Error('on purpose') }, 0)");
  await person.browser.evaluate("new Promise((done) => setTimeout(done, 50))");
  const troubles = person.browser.troubles.join("\n");
  assert.match(troubles, /policy:/);
  assert.match(troubles, /on purpose/);
});

page("every view takes hostile text as text, breaks no policy and fits its window", { hostile: true }, async (person) => {
  const { browser } = person;
  for (const width of [1280, 390]) {
    await browser.call("Emulation.setDeviceMetricsOverride", { width, height: 800, deviceScaleFactor: 1, mobile: false });
    for (const place of VIEWS) {
      await person.at(place);
      await browser.until("document.querySelector('.view:not([hidden]) h2').checkVisibility()");
      const [images, frames, overflow, title] = await browser.evaluate(
        "[document.images.length, document.querySelectorAll('iframe, object, embed, main script').length, document.documentElement.scrollWidth - document.documentElement.clientWidth, document.title]",
      );
      assert.deepEqual([images, frames, overflow], [0, 0, 0], `${place} at ${width}`);
      assert.match(title, /NixFleet$/, place);
      const bad = await browser.evaluate(
        "[...document.querySelectorAll('a')].filter((one) => !['http:', 'https:'].includes(one.protocol)).length",
      );
      assert.equal(bad, 0, place);
    }
  }
  await person.at("#updates");
  await person.reads("#updates", "<img src=x");
  await person.at("");
  await person.reads("#rows", "<img src=x");
  person.hadNoTrouble();
});

page("a lock with an update pending has its own shape, glow, name and tooltip, and offers the merge", {}, async (person) => {
  const { browser } = person;
  await person.at("");
  const look = `(() => {
    const dot = document.querySelector("${LOCK}");
    const shape = dot.querySelector(".shape");
    const { filter, animationName } = getComputedStyle(shape);
    return { shape: shape.dataset.shape, filter, animationName, name: dot.getAttribute("aria-label"), colour: getComputedStyle(dot).color };
  })()`;
  const moving = await browser.evaluate(look);
  assert.equal(moving.shape, "pending");
  assert.match(moving.filter, /drop-shadow/);
  assert.equal(moving.animationName, "breathe");
  assert.match(moving.name, /^Lock: ok, update pending: .*Update PR pending: nixpkgs abc1234 → def5678/);
  const green = await browser.evaluate(
    `getComputedStyle(document.querySelector("[data-host='web-1'] [data-compartment='git']")).color`,
  );
  assert.notEqual(moving.colour, green);
  await browser.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-reduced-motion", value: "reduce" }] });
  const still = await browser.evaluate(look);
  assert.equal(still.animationName, "none");
  assert.match(still.filter, /drop-shadow/);

  await browser.hover(LOCK);
  await person.reads("#tooltip", "Update PR pending: nixpkgs abc1234 → def5678");
  await browser.click(LOCK);
  await person.reads("#details-status", "ok, update pending");
  await browser.click("#details-actions [data-op='merge-pr']");
  await browser.until(`${SHEET}.open`);
  await person.reads("#sheet-title", "Merge #42");
  await person.fills("#sheet [name='reason']", "seen");
  await browser.click("#sheet-actions .primary");
  await browser.until(`!${SHEET}.open`);
  const [merge] = person.asked("POST", "/api/v1/updates/42/merge");
  assert.deepEqual(merge?.body, { override_reason: "seen" });
  assert.match(merge?.key ?? "", /^[0-9a-f]{32}$/);

  person.server.change({ update_pr_changed: null }, { status_updated: { id: "web-1", s: ["ok", "ok", "ok", "ok", "ok"], r: [{ code: "agent-current" }, { code: "checkout-current" }, { code: "lock-current" }, { code: "system-current" }, { code: "tests-passed" }], g: true } });
  await browser.until(`document.querySelector("${LOCK} .shape").dataset.shape === "ok"`);
  assert.equal((await browser.evaluate(look)).filter, "none");
  person.hadNoTrouble();
});

page("merge and deploy shows its plan, and confirms exactly that plan", {}, async (person) => {
  const { browser } = person;
  await person.at("#updates");
  await browser.click("#updates .menu summary");
  await browser.click("#updates [data-act='merge-and-deploy']");
  await browser.until(`${SHEET}.open`);
  assert.equal(await browser.evaluate("document.querySelector('[data-act=\"go\"]') === null"), true);
  await browser.click("#sheet-actions [data-act='plan']");
  await person.reads("#sheet .plan", "web-1");
  await person.reads("#sheet .plan", "nas: held by operator");

  await person.fills("#sheet [name='hosts']", "@edge");
  await browser.until("document.querySelector('#sheet [data-act=\"go\"]') === null");
  await browser.click("#sheet-actions [data-act='plan']");
  await browser.click("#sheet-actions [data-act='go']");
  await browser.until(`!${SHEET}.open`);
  assert.deepEqual(person.asked("POST", "/api/v1/updates/42/plan").map((one) => one.body), [{}, { hosts: "@edge" }]);
  const started = person.asked("POST", "/api/v1/updates/42/merge-and-deploy");
  assert.deepEqual(started.map((one) => one.body), [{ hosts: "@edge", confirm: PLAN.id }]);
  person.hadNoTrouble();
});

let refusals = 0;
page(
  "a refusal is said in the dialog: a reason that is needed, a plan that is another one now",
  {
    answer: ({ method, path, body }) => {
      if (method === "POST" && path.endsWith("/merge") && !body.override_reason) {
        return { status: 422, body: { code: "reason-needed", detail: "#42 is merged only with a reason: no verdict" } };
      }
      if (method === "POST" && path === "/api/v1/rollouts") {
        refusals += 1;
        return refusals === 1 ? { status: 409, body: { code: "plan-changed", detail: "the plan is another one now" } } : undefined;
      }
      return undefined;
    },
  },
  async (person) => {
    const { browser } = person;
    await person.at("#updates");
    await browser.click("#updates [data-act='merge']");
    await browser.click("#sheet-actions .primary");
    await person.reads("#sheet-said", "merged only with a reason");
    await browser.until("document.querySelector('#sheet [name=\"reason\"]').required");
    await browser.click("#sheet-actions .primary");
    assert.equal(person.asked("POST", "/api/v1/updates/42/merge").length, 1, "nothing is asked without it");
    await browser.press("Escape");
    await browser.until(`!${SHEET}.open`);
    await browser.until("document.activeElement.dataset.act === 'merge'");

    await person.at("#rollouts");
    await browser.click("#rollouts [data-act='new']");
    await browser.click("#sheet-actions [data-act='plan']");
    await browser.click("#sheet-actions [data-act='start']");
    await person.reads("#sheet-said", "the plan is another one now");
    assert.equal(person.asked("POST", "/api/v1/rollouts/plan").length, 2, "it is planned again");
    await browser.click("#sheet-actions [data-act='start']");
    await browser.until(`location.hash === "#rollouts/${ROLLOUT.id}"`);
    person.hadNoTrouble(/status of (409|422)/);
  },
);

page("a rollout is followed in place, and its buttons ask first and name the hosts", {}, async (person) => {
  const { browser } = person;
  await person.at("");
  await person.reads("#under-way", "3/10 hosts");
  await browser.until("document.querySelector('#under-way [data-verb=\"pause\"]')");
  await person.at("#rollouts");
  await person.reads("[data-rollout-host='mac-1']", "outside its maintenance window (nights)");
  await browser.evaluate("document.querySelector('#rollouts [data-verb=\"pause\"]').focus()");
  const totals = { ...ROLLOUT.totals, done: 4, in_flight: 1 };
  const hosts = ROLLOUT.hosts.map((one) => (one.host === "web-3" ? { ...one, state: "done", stage: undefined } : one));
  person.server.change({ rollout_updated: { ...ROLLOUT, totals, hosts } });
  await person.reads("#rollouts [role='status']", "4/10 hosts");
  await browser.until("document.activeElement.dataset.verb === 'pause'");

  await browser.press("Enter");
  await browser.until(`${SHEET}.open`);
  for (const host of ["mac-1", "laptop", "db-1", "web-4"]) await person.reads("#sheet-body", host);
  await browser.click("#sheet-actions [data-act='go']");
  await browser.until(`!${SHEET}.open`);
  await browser.until("document.activeElement.dataset.verb === 'pause'");
  assert.equal(person.asked("POST", `/api/v1/rollouts/${ROLLOUT.id}/pause`).length, 1);

  person.server.change({ rollout_updated: { ...ROLLOUT, state: "paused", offers: ["resume", "cancel"] } });
  await browser.until("document.querySelector('#rollouts [data-verb=\"resume\"]')");
  assert.equal(await browser.evaluate("document.querySelector('#rollouts [data-verb=\"pause\"]') === null"), true);
  person.server.change({ rollout_updated: ROLLOUT });
  await browser.click("#rollouts [data-host='laptop'][data-verb='skip-host']");
  await person.reads("#sheet-body", "laptop");
  await browser.click("#sheet-actions [data-act='go']");
  await browser.until(`!${SHEET}.open`);
  assert.deepEqual(person.asked("POST", `/api/v1/rollouts/${ROLLOUT.id}/skip`)[0]?.body, { host: "laptop" });
  person.hadNoTrouble();
});

page("what would happen is shown, with assumed outcomes", {}, async (person) => {
  const { browser } = person;
  await person.at("#rollouts");
  await browser.click("#rollouts [data-act='what-if']");
  await browser.click("#sheet-actions .primary");
  await person.reads("#sheet .steps", "switch succeeds");
  await browser.evaluate("document.querySelector('[name=\"outcome:web-1\"]').value = 'fail'");
  await browser.click("#sheet-actions .primary");
  await browser.until("document.querySelector('#sheet-said').textContent === ''");
  const bodies = person.asked("POST", "/api/v1/simulate").map((one) => one.body);
  assert.deepEqual(bodies, [{}, { outcomes: { "web-1": "fail" } }]);
  person.hadNoTrouble();
});

page(
  "a window that cannot be taken stays open with the server's reason",
  {
    answer: ({ method, path, body }) =>
      method === "PUT" && path.startsWith("/api/v1/windows/") && body.zone !== "UTC"
        ? { status: 422, body: { code: "bad_window", detail: "zone: there is no zone Mars/Olympus" } }
        : undefined,
  },
  async (person) => {
    const { browser } = person;
    await person.at("#upkeep");
    await browser.click("[data-act='add-window']");
    await person.fills("#sheet [name='id']", "weekend");
    await person.fills("#sheet [name='zone']", "Mars/Olympus");
    await browser.click("#sheet [name='days'][value='sat']");
    await browser.click("#sheet-actions .primary");
    await person.reads("#sheet-said", "there is no zone Mars/Olympus");
    await person.fills("#sheet [name='zone']", "UTC");
    await browser.click("#sheet-actions .primary");
    await browser.until(`!${SHEET}.open`);
    const sent = person.asked("PUT", "/api/v1/windows/weekend");
    assert.equal(sent.length, 2);
    assert.deepEqual(sent[1]?.body, { id: "weekend", selector: "*", zone: "UTC", classes: [], effect: "allow", days: ["sat"], from: "02:00", to: "05:00" });
    person.hadNoTrouble(/status of 422/);
  },
);

page("holds are placed and released, and a quarantine is lifted with a reason", {}, async (person) => {
  const { browser } = person;
  await person.at("#upkeep");
  await browser.until("document.querySelector('#quarantine table')");
  await browser.click("[data-act='hold']");
  await browser.click("#sheet [value='web-2']");
  await person.fills("#sheet [name='why']", "disk");
  await browser.click("#sheet-actions .primary");
  await browser.until(`!${SHEET}.open`);
  assert.deepEqual(person.asked("POST", "/api/v1/hosts/web-2/hold")[0]?.body, { why: "disk" });
  await browser.click("[data-act='hold']");
  await browser.click("#sheet-actions .primary");
  assert.equal(person.asked("POST", "/api/v1/holds").length, 0, "not without a reason");
  await person.fills("#sheet [name='why']", "power");
  await browser.click("#sheet-actions .primary");
  await person.reads("#sheet-said", "Choose at least one host, or write a selector.");
  await person.fills("#sheet [name='selector']", "type:server,!web-*");
  await browser.click("#sheet-actions .primary");
  await browser.until(`!${SHEET}.open`);
  assert.deepEqual(person.asked("POST", "/api/v1/holds")[0]?.body, { selector: "type:server,!web-*", why: "power" });
  await browser.click("#holds [data-act='release-selector'][data-id='5']");
  await browser.click("#sheet-actions .primary");
  await browser.until(`!${SHEET}.open`);
  assert.equal(person.asked("DELETE", "/api/v1/holds/5").length, 1);
  await browser.click("[data-act='release'][data-host='nas']");
  await browser.click("#sheet-actions .primary");
  await browser.until(`!${SHEET}.open`);
  assert.equal(person.asked("POST", "/api/v1/hosts/nas/release").length, 1);
  await browser.click("[data-act='lift']");
  await browser.click("#sheet-actions .danger");
  assert.equal(person.asked("POST", "/api/v1/quarantine/lift").length, 0, "not without a reason");
  await person.fills("#sheet [name='reason']", "fixed");
  await browser.click("#sheet-actions .danger");
  await browser.until(`!${SHEET}.open`);
  assert.equal(person.asked("POST", "/api/v1/quarantine/lift")[0]?.body.reason, "fixed");
  person.hadNoTrouble();
});

page("failed tests offer the way back, with generation, commit and date before it is confirmed", {}, async (person) => {
  const { browser } = person;
  await person.at("");
  await browser.click("[data-host='edge-2'] [data-compartment='tests']");
  await browser.click("#details-actions [data-op='rollback']");
  await person.reads("#sheet .target", "edge-2 goes back to generation 117, commit 1a2b3c4, made ");
  assert.equal(person.asked("POST", "/api/v1/dispatch").length, 0);
  await browser.click("#sheet-actions .danger");
  await browser.until(`!${SHEET}.open`);
  assert.deepEqual(person.asked("POST", "/api/v1/dispatch")[0]?.body, { op: "rollback", hosts: ["edge-2"], generation: 117, confirm: true });
  person.hadNoTrouble();
});

page("the settings of a host are changed on its page", {}, async (person) => {
  const { browser } = person;
  await person.at("#host/web-1");
  await browser.click("[data-act='settings']");
  await person.fills("#sheet [name='priority']", "7");
  await browser.click("#sheet-actions .primary");
  await browser.until(`!${SHEET}.open`);
  assert.deepEqual(person.asked("PUT", "/api/v1/hosts/web-1/settings")[0]?.body, {
    auto_update: true,
    priority: 7,
    canary: true,
    tests_after_switch: null,
    tags: ["edge", "critical"],
    runs_server: false,
  });
  person.hadNoTrouble();
});

page("a rollout that went wrong is put away, and stays away", {}, async (person) => {
  const { browser } = person;
  await person.at("");
  const { ROLLOUT } = await import("./harness/fixtures.mjs");
  person.server.change({ rollout_updated: { ...ROLLOUT, state: "failed", offers: [] } });
  await browser.click("#under-way [data-act='put-away']");
  await browser.until("document.querySelector('#under-way').hidden");
  await person.at("");
  await browser.until("document.querySelector('#drift-line:not([hidden])')");
  assert.equal(await browser.evaluate("localStorage.getItem('nixfleet-put-away')"), ROLLOUT.id);
  person.hadNoTrouble();
});

page("everything is reached with the keyboard, and the focus comes back", {}, async (person) => {
  const { browser } = person;
  await person.at("");
  for (const expected of ["Hosts", "Updates"]) {
    await browser.press("Tab");
    assert.equal(await browser.evaluate("document.activeElement.textContent"), expected);
  }
  await browser.press("Enter");
  await browser.until("!document.querySelector('#view-updates').hidden && document.activeElement.id === 'updates-title'");
  assert.equal(await browser.evaluate("document.querySelector('nav [aria-current]').textContent"), "Updates");
  assert.equal(await browser.evaluate("document.title"), "Updates · NixFleet");
  /** @type {string[]} */
  const reached = [];
  for (let step = 0; step < 14; step += 1) {
    await browser.press("Tab");
    reached.push(await browser.evaluate("document.activeElement.dataset.act ?? document.activeElement.textContent"));
  }
  assert.ok(reached.includes("check") && reached.includes("merge") && reached.includes("More"), reached.join());
  await browser.evaluate("document.querySelector('#updates .menu summary').focus()");
  await browser.press("Enter");
  await browser.until("document.querySelector('#updates .menu').open");
  await browser.press("Escape");
  await browser.until("!document.querySelector('#updates .menu').open && document.activeElement.tagName === 'SUMMARY'");
  const unnamed = await browser.evaluate(
    "[...document.querySelectorAll('button, a, input, select, textarea')].filter((one) => one.checkVisibility() && !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)).length",
  );
  assert.equal(unnamed, 0);
  person.hadNoTrouble();
});
