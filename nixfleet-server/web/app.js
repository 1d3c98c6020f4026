// The page: puts the parts together.

import { Problem, dispatch, stop, tables } from "./api.js";
import { Details } from "./details.js";
import { byId, setAttribute, setText } from "./dom.js";
import { drawConnection } from "./header.js";
import { Live } from "./live.js";
import { Renderer } from "./render.js";
import { Replica } from "./sync.js";
import { Tooltip } from "./tooltip.js";

/** How long something good is said; a refusal stays until it is dismissed. */
const NOTICE_TIME = 8_000;

const replica = new Replica();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let noticeTimer;
const rows = byId("rows", HTMLTableSectionElement);
const tooltip = new Tooltip(rows);
const details = new Details(() => replica.state, run, (command) =>
  attempt(async () => {
    await stop(command.id);
    return `asked ${command.op} to stop`;
  }, command.host),
);
const renderer = new Renderer(replica, (hosts, all) => {
  tooltip.changed(hosts, all);
  details.changed(hosts, all);
});

const live = new Live(
  loadTables,
  (message) => {
    if (replica.apply(message) === "ask") {
      live.askForState();
    }
    renderer.schedule();
  },
  drawConnection,
);

rows.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  const host = button?.closest("tr")?.dataset["host"];
  if (!button || !host) {
    return;
  }
  const { compartment, op } = button.dataset;
  if (compartment) {
    tooltip.close();
    details.open(host, compartment);
  } else if (op && button.getAttribute("aria-disabled") === "true") {
    say(`${nameOf(host)} is busy: a command is already at work there.`);
  } else if (op) {
    run(op, host);
  }
});

byId("notice-close", HTMLButtonElement).addEventListener("click", () => say(""));

live.open();

/**
 * Asks for an operation and says what came of it.
 * @param {string} op
 * @param {string} host
 * @param {boolean} [confirm]
 * @returns {Promise<?string>} The code of the refusal, if it was refused.
 */
function run(op, host, confirm = false) {
  return attempt(async () => `${op} ${await dispatch(op, host, confirm)}`, host);
}

/**
 * @param {() => Promise<string>} action
 * @param {string} host
 */
async function attempt(action, host) {
  try {
    say(`${nameOf(host)}: ${await action()}`);
    noticeTimer = setTimeout(() => say(""), NOTICE_TIME);
    return null;
  } catch (problem) {
    say(`${nameOf(host)}: ${problem instanceof Error ? problem.message : String(problem)}`);
    return problem instanceof Problem ? problem.code : "unknown";
  }
}

/**
 * Says something where people look and screen readers listen: in the dialog if one is open.
 * @param {string} text
 */
function say(text) {
  clearTimeout(noticeTimer);
  if (details.isOpen) {
    details.say(text);
    return;
  }
  setText(byId("notice-text", HTMLElement), text);
  setAttribute(byId("notice", HTMLElement), "data-shown", text === "" ? "no" : "yes");
  byId("notice-close", HTMLButtonElement).hidden = text === "";
}

/** @param {string} host */
function nameOf(host) {
  return replica.state.hosts.get(host)?.hostname ?? host;
}

/** The sentences of the server, and the letters of its statuses. */
async function loadTables() {
  const known = await tables();
  replica.useLetters(known.compact);
  renderer.useTables(known);
}
