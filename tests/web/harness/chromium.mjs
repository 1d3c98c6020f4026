// A headless Chromium over the DevTools protocol, for tests of the page without the real server.

import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--no-default-browser-check",
  "--hide-scrollbars",
  "--remote-debugging-pipe",
];
const PATIENCE = 30_000;
const PAUSE = 25;

/** Where a Chromium is, if there is one. @returns {string | undefined} */
export function found() {
  const named = process.env["NIXFLEET_CHROMIUM"];
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const all = named ? [named] : folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return all.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @param {string} program */
export async function launch(program) {
  const profile = mkdtempSync(join(tmpdir(), "nixfleet-page-"));
  const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    env: { ...process.env, HOME: profile },
    detached: true,
  });
  const [, , , writing, reading] = child.stdio;
  /** @type {Map<number, { done: (value: any) => void, failed: (error: Error) => void }>} */
  const open = new Map();
  /** @type {string[]} */
  const troubles = [];
  let id = 0;
  let rest = "";
  let session = "";
  /** @type {any} */ (reading).setEncoding("utf8").on("data", (/** @type {string} */ text) => {
    const pieces = (rest + text).split("\0");
    rest = pieces.pop() ?? "";
    for (const piece of pieces) {
      const message = JSON.parse(piece);
      const waiting = open.get(message.id);
      open.delete(message.id);
      if (!waiting) troubles.push(...trouble(message));
      else if (message.error) waiting.failed(new Error(JSON.stringify(message.error)));
      else waiting.done(message.result);
    }
  });
  const call = (/** @type {string} */ method, /** @type {any} */ params = {}) =>
    new Promise((/** @type {(value: any) => void} */ done, failed) => {
      id += 1;
      open.set(id, { done, failed });
      const request = { id, method, params, ...(session ? { sessionId: session } : {}) };
      /** @type {any} */ (writing).write(`${JSON.stringify(request)}\0`);
    });
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  session = (await call("Target.attachToTarget", { targetId, flatten: true })).sessionId;
  for (const domain of ["Page", "Runtime", "Log", "Audits"]) await call(`${domain}.enable`);

  const browser = {
    call,
    /** What the page complained about. */
    troubles,
    /** @param {string} expression */
    async evaluate(expression) {
      const answer = await call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
      if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails));
      return answer.result.value;
    },
    /** @param {string} condition */
    async until(condition) {
      const deadline = Date.now() + PATIENCE;
      while (!(await browser.evaluate(`Boolean(${condition})`).catch(() => false))) {
        if (Date.now() > deadline) {
          throw new Error(`waited in vain for ${condition}; the page shows ${await browser.evaluate("(document.querySelector('dialog[open]') ?? document.body).innerText")}`);
        }
        await new Promise((done) => setTimeout(done, PAUSE));
      }
    },
    /** @param {string} url */
    async open(url) {
      await call("Page.navigate", { url });
      await browser.until("document.readyState === 'complete'");
    },
    /** Clicks with the mouse on the middle of an element. @param {string} selector */
    async click(selector) {
      await browser.until(`document.querySelector(${JSON.stringify(selector)})`);
      const [x, y] = await browser.evaluate(`(() => {
        const found = document.querySelector(${JSON.stringify(selector)});
        found.scrollIntoView({ block: "center", behavior: "instant" });
        const box = found.getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2];
      })()`);
      for (const type of ["mouseMoved", "mousePressed", "mouseReleased"]) {
        await call("Input.dispatchMouseEvent", { type, x, y, button: type === "mouseMoved" ? "none" : "left", clickCount: 1 });
      }
    },
    /** Moves the mouse onto an element. @param {string} selector */
    async hover(selector) {
      const named = JSON.stringify(selector);
      // What scrolls closes what is shown beside it: first the one, then the other.
      await browser.evaluate(`new Promise((done) => {
        document.querySelector(${named}).scrollIntoView({ block: "center", behavior: "instant" });
        requestAnimationFrame(() => requestAnimationFrame(done));
      })`);
      const [x, y] = await browser.evaluate(`(() => {
        const box = document.querySelector(${named}).getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2];
      })()`);
      await call("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
    },
    /** @param {string} key */
    async press(key) {
      const code = /** @type {Record<string, number>} */ ({ Tab: 9, Enter: 13, Escape: 27 })[key] ?? 0;
      for (const type of ["keyDown", "keyUp"]) {
        await call("Input.dispatchKeyEvent", { type, key, code: key, windowsVirtualKeyCode: code, text: key === "Enter" ? "\r" : "" });
      }
    },
    async close() {
      const ended = new Promise((done) => child.once("exit", done));
      if (child.pid) process.kill(-child.pid, "SIGKILL");
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
  return browser;
}

/** @param {any} message @returns {string[]} */
function trouble({ method, params }) {
  switch (method) {
    case "Runtime.exceptionThrown":
      return [`uncaught: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`];
    case "Runtime.consoleAPICalled":
      return params.type === "error" ? [`console: ${JSON.stringify(params.args)}`] : [];
    case "Log.entryAdded":
      return params.entry.level === "error" ? [`${params.entry.text} (${params.entry.url ?? ""})`] : [];
    case "Audits.issueAdded": {
      const details = params.issue.details.contentSecurityPolicyIssueDetails;
      return details ? [`policy: ${JSON.stringify(details)}`] : [];
    }
    default:
      return [];
  }
}
