// The page: puts the parts together.

import { Problem, dispatch, stop, tables } from "./api.js";
import { Details } from "./details.js";
import { byId, setAttribute, setText } from "./dom.js";
import { drawConnection } from "./header.js";
import { DriftPanel } from "./hosts/drift.js";
import { HostPanel } from "./hosts/panel.js";
import { openRollback } from "./hosts/rollback.js";
import { Live } from "./live.js";
import { onAct } from "./page.js";
import { Renderer } from "./render.js";
import { RolloutPanel } from "./rollouts/panel.js";
import { Router } from "./router.js";
import { Sheet } from "./sheet.js";
import { Replica } from "./sync.js";
import { Tooltip } from "./tooltip.js";
import { HistoryPanel } from "./updates/history.js";
import { UpdatePanel } from "./updates/panel.js";
import { UpkeepPanel } from "./upkeep/panel.js";

/** @import { Page } from "./page.js" */
/** @import { Place } from "./router.js" */

/** How often ages and times are written again while nothing happens. */
const MINUTE = 60_000;

/** How long something good is said; a refusal stays until it is dismissed. */
const NOTICE_TIME = 8_000;

const replica = new Replica();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let noticeTimer;
const rows = byId("rows", HTMLTableSectionElement);
const tooltip = new Tooltip(rows);
const details = new Details(() => replica.state, offer, (command) =>
  attempt(async () => {
    await stop(command.id);
    return `asked ${command.op} to stop`;
  }, command.host),
);
const renderer = new Renderer(replica, (hosts, all) => {
  tooltip.changed(hosts, all);
  details.changed(hosts, all);
  driftPanel.changed();
  drawView(hosts);
});

/** @type {Page} */
const page = {
  state: () => replica.state,
  nameOf,
  sheet: new Sheet(),
  attempt: (subject, action) => attempt(action, subject),
  verb: (id, verb, host) => rollouts.verb(id, verb, host),
  whatIf: (given) => rollouts.whatIf(given),
  onAct,
};
const updates = new UpdatePanel(page);
const rollouts = new RolloutPanel(page);
const upkeep = new UpkeepPanel(page);
const history = new HistoryPanel(page, (data) => updates.act(data));
const hostPanel = new HostPanel(page);
const driftPanel = new DriftPanel(page);
const router = new Router(go);

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

byId("update-pr", HTMLElement).addEventListener("click", (event) => {
  const pressed = event.target instanceof Element ? event.target.closest("button") : null;
  if (pressed && !updates.merge()) location.hash = "#updates";
});

router.start();
setInterval(() => drawView(new Set()), MINUTE);
live.open();

/** @param {Place} place */
function go({ view, subject }) {
  tooltip.close();
  switch (view) {
    case "updates":
      updates.draw();
      void updates.opened();
      break;
    case "rollouts":
      void rollouts.opened(subject);
      break;
    case "upkeep":
      void upkeep.opened();
      break;
    case "history":
      void history.opened();
      break;
    case "host":
      void hostPanel.opened(subject);
      break;
  }
}

/** Only what is looked at is drawn. @param {Set<string>} hosts Those that changed. */
function drawView(hosts) {
  switch (router.place.view) {
    case "updates":
      updates.draw();
      break;
    case "rollouts":
      rollouts.draw();
      break;
    case "upkeep":
      upkeep.draw();
      break;
    case "history":
      history.draw();
      break;
    case "host":
      hostPanel.changed(hosts);
      break;
    default:
      rollouts.drawStrip();
  }
}

/**
 * What a compartment offers. A merge and a rollback show first what they would do.
 * @param {string} op
 * @param {string} host
 * @param {boolean} confirm
 * @returns {Promise<?string>}
 */
async function offer(op, host, confirm) {
  if (op === "merge-pr") {
    details.close();
    if (!updates.merge()) location.hash = "#updates";
    return null;
  }
  if (op === "rollback") {
    details.close();
    await openRollback(page.sheet, host, nameOf(host));
    return null;
  }
  return run(op, host, confirm);
}

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
