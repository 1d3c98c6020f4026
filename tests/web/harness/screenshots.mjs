// Pictures of every view, light and dark, wide and narrow, to be looked at:
// node tests/web/harness/screenshots.mjs FOLDER [part of a name]

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { found, launch } from "./chromium.mjs";
import { serve } from "./server.mjs";

/** @typedef {Awaited<ReturnType<typeof launch>>} Browser */

const main = "#sheet-actions .primary, #sheet-actions .danger";
/** @type {[string, string, (browser: Browser) => Promise<void>][]} */
const VIEWS = [
  ["fleet", "", async () => {}],
  ["lock-details", "", async (b) => b.click("[data-host='web-1'] [data-compartment='lock']")],
  ["updates", "#updates", async () => {}],
  ["menu", "#updates", async (b) => b.click("#updates .menu summary")],
  ["merge", "#updates", async (b) => b.click("#updates [data-act='merge']")],
  [
    "deploy",
    "#updates",
    async (b) => {
      await b.click("#updates .menu summary");
      await b.click("[data-act='merge-and-deploy']");
      await b.click(main);
      await b.until("document.querySelector('#sheet .plan')");
    },
  ],
  ["rollouts", "#rollouts", async () => {}],
  ["past", "#rollouts/0199aaaa-0000-7000-8000-000000000000", async () => {}],
  ["cancel", "#rollouts", async (b) => b.click("#rollouts [data-verb='cancel']")],
  [
    "new",
    "#rollouts",
    async (b) => {
      await b.click("[data-act='new']");
      await b.click("#sheet details summary");
    },
  ],
  [
    "what-if",
    "#rollouts",
    async (b) => {
      await b.click("#rollouts [data-act='what-if']");
      await b.click(main);
      await b.until("document.querySelector('#sheet .steps')");
    },
  ],
  ["upkeep", "#upkeep", async (b) => b.until("document.querySelector('#notifications table') && document.querySelector('#audit table')")],
  ["heading", "#updates", async (b) => {
    await b.click("nav [href='#fleet']");
    await b.until("document.querySelector('#drift-line:not([hidden])')");
  }],
  ["window", "#upkeep", async (b) => b.click("[data-act='edit-window']")],
  ["hold", "#upkeep", async (b) => b.click("[data-act='hold']")],
  ["held", "#host/edge-2", async (b) => b.until("document.querySelectorAll('#host-parts table').length === 2")],
  ["history", "#history", async (b) => b.until("document.querySelector('#update-history table')")],
  ["host", "#host/web-1", async (b) => b.until("document.querySelectorAll('#host-parts table').length === 2")],
  ["settings", "#host/web-1", async (b) => b.click("[data-act='settings']")],
  ["rollback", "#host/web-1", async (b) => b.click("[data-act='rollback']")],
];

const folder = process.argv[2] ?? ".";
const wanted = process.argv[3] ?? "";
const program = found();
if (!program) throw new Error("no Chromium found");
mkdirSync(folder, { recursive: true });
const server = await serve();
const browser = await launch(program);
try {
for (const [scheme, width, kind] of /** @type {[string, number, string][]} */ ([
  ["light", 1280, "wide"],
  ["dark", 1280, "wide"],
  ["light", 390, "narrow"],
])) {
  await browser.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  await browser.call("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: false });
  for (const [name, hash, prepare] of VIEWS.filter(([name]) => name.includes(wanted))) {
    await browser.open("about:blank");
    await browser.open(`${server.url}${hash}`);
    // Drawn with everything that the feed says: before that, things move under the mouse.
    await browser.until("document.querySelector('#hosts')?.getAttribute('aria-busy') === 'false'");
    await prepare(browser);
    await browser.evaluate("new Promise((done) => setTimeout(done, 250))");
    const overflow = await browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    if (overflow > 0) console.log(`${name} ${scheme} ${kind}: ${overflow} px too wide`);
    const whole = !(await browser.evaluate("document.querySelector('dialog[open]') !== null"));
    const { data } = await browser.call("Page.captureScreenshot", { captureBeyondViewport: whole });
    writeFileSync(join(folder, `${name}-${scheme}-${kind}.png`), Buffer.from(data, "base64"));
  }
}
console.log(browser.troubles.length === 0 ? "no trouble" : browser.troubles.join("\n"));
} finally {
  await browser.close();
  server.close();
}
