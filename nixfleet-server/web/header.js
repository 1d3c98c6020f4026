// The part of the page above the table: desired state, connection.

import { byId, element, setAttribute, setText } from "./dom.js";
import { isWebAddress } from "./model.js";
import { clockTime } from "./words.js";

/** @import { Connection } from "./live.js" */
/** @import { State } from "./state.js" */
/** @import { DesiredView, PendingPr } from "./types.js" */

const CONNECTIONS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting: values may be old",
};

/** @param {Connection} connection */
export function drawConnection(connection) {
  const line = byId("connection", HTMLElement);
  setText(line, CONNECTIONS[connection]);
  setAttribute(line, "data-connection", connection);
  setAttribute(document.body, "data-connection", connection);
}

/** @param {State} state */
export function drawDesired(state) {
  if (state.desired) {
    const section = byId("desired", HTMLElement);
    setAttribute(section, "data-remote", state.desired.remote.state);
    setText(byId("desired-commit", HTMLElement), commitLine(state.desired));
    setText(byId("desired-remote", HTMLElement), remoteLine(state.desired));
  }
  drawPr(state.updatePr);
}

/** @param {DesiredView} desired */
function commitLine(desired) {
  if (!desired.commit) {
    return "No commit is known";
  }
  const failed = desired.remote.state === "failed";
  const parts = [
    failed ? "last known:" : "",
    desired.commit.slice(0, 7),
    desired.subject ? `“${desired.subject}”` : "",
    desired.branch ? `on ${desired.branch}` : "",
    desired.commit_time === null ? "" : `(${clockTime(desired.commit_time)})`,
  ];
  return parts.filter((part) => part !== "").join(" ");
}

/** @param {DesiredView} desired */
function remoteLine(desired) {
  const { remote } = desired;
  if (remote.state === "failed") {
    const since = remote.since === null ? "" : ` since ${clockTime(remote.since)}`;
    return `The remote cannot be read${since}: ${remote.cause}. To do: ${remote.hint}.`;
  }
  const lock = desired.lock ? `, flake.lock ${desired.lock.slice(0, 8)}` : "";
  return `Remote verified${lock}`;
}

/** @param {?PendingPr} pr */
function drawPr(pr) {
  const line = byId("update-pr", HTMLElement);
  line.hidden = pr === null;
  const key = JSON.stringify(pr);
  if (line.dataset["key"] === key) {
    return;
  }
  line.dataset["key"] = key;
  if (pr) {
    const title = `#${pr.number} ${pr.title}`;
    const link = isWebAddress(pr.url)
      ? element("a", { href: pr.url, rel: "noreferrer noopener", target: "_blank" }, title)
      : title;
    const changes = pr.changes ?? [];
    line.replaceChildren(
      "Update PR pending: ",
      link,
      changes.length > 0 ? ` (${changes.join(", ")}) ` : " ",
      element("button", { type: "button", "data-act": "merge" }, "Merge PR …"),
      " ",
      element("a", { href: "#updates" }, "Details"),
    );
  }
}
