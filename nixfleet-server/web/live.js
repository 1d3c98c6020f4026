// The connection to the live feed: opens it, keeps it, opens it again.

import { liveTicket } from "./api.js";

/** @import { ServerMessage } from "./types.js" */

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
/** The beacon comes every 30 s: this long without anything means that the line is dead. */
export const SILENCE = 40_000;

/** @typedef {"connecting" | "live" | "reconnecting"} Connection */

export class Live {
  #delay = FIRST_DELAY;
  /** @type {?WebSocket} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;
  #wasLive = false;

  /**
   * @param {() => Promise<void>} prepare What is needed to understand messages, before each
   *   connection: another version of the server may answer now.
   * @param {(message: ServerMessage) => void} onMessage
   * @param {(connection: Connection) => void} onConnection
   */
  constructor(prepare, onMessage, onConnection) {
    this.prepare = prepare;
    this.onMessage = onMessage;
    this.onConnection = onConnection;
    window.addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#retryNow();
    });
  }

  /** Connects, now and whenever the connection is lost. */
  async open() {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.onConnection(this.#wasLive ? "reconnecting" : "connecting");
    try {
      const [ticket] = await Promise.all([liveTicket(), this.prepare()]);
      const url = new URL("/api/v1/live", location.href);
      url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      url.searchParams.set("ticket", ticket);
      this.#listen(new WebSocket(url));
    } catch {
      this.#retryLater();
    }
  }

  /** Asks for the full state. */
  askForState() {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type: "get_state" }));
    }
  }

  /** @param {WebSocket} socket */
  #listen(socket) {
    this.#socket = socket;
    socket.addEventListener("message", (event) => {
      if (this.#socket !== socket) {
        return;
      }
      this.#watch(socket);
      const message = parse(event.data);
      if (!message) {
        socket.close();
        return;
      }
      this.onMessage(message);
      this.#delay = FIRST_DELAY;
      this.#wasLive = true;
      this.onConnection("live");
    });
    socket.addEventListener("close", () => this.#lost(socket));
    this.#watch(socket);
  }

  /** @param {WebSocket} socket */
  #watch(socket) {
    if (this.#socket !== socket) {
      return;
    }
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      // Nobody may be there to answer the close: what is shown is old from now on, not from then on.
      this.#lost(socket);
      socket.close();
    }, SILENCE);
  }

  /** @param {WebSocket} socket */
  #lost(socket) {
    if (this.#socket === socket) {
      this.#socket = null;
      clearTimeout(this.#watchdog);
      this.#retryLater();
    }
  }

  #retryLater() {
    this.onConnection(this.#wasLive ? "reconnecting" : "connecting");
    // Spread, so that a server that comes back is not met by all pages at once.
    const wait = this.#delay * (0.5 + Math.random());
    this.#delay = Math.min(this.#delay * 2, LONGEST_DELAY);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.open(), wait);
  }

  #retryNow() {
    if (this.#retry !== undefined) {
      this.open();
    }
  }
}

/**
 * @param {unknown} text
 * @returns {?ServerMessage}
 */
function parse(text) {
  try {
    const message = JSON.parse(String(text));
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}
