// Run with: node --test tests/web/ (Node 20.19 or newer).

import assert from "node:assert/strict";
import { test } from "node:test";

import { Live, SILENCE } from "../../nixfleet-server/web/live.js";

/** A socket whose other end may be silent for ever: `close` is asked for, and never happens. */
class SilentSocket extends EventTarget {
  static OPEN = 1;
  /** @type {SilentSocket[]} */
  static all = [];
  readyState = 1;
  closeAsked = false;
  constructor() {
    super();
    SilentSocket.all.push(this);
  }
  close() {
    this.closeAsked = true;
  }
  /** @param {unknown} message */
  hear(message) {
    const event = new Event("message");
    Object.assign(event, { data: JSON.stringify(message) });
    this.dispatchEvent(event);
  }
}

/** @param {import("node:test").TestContext} context */
async function connected(context) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  SilentSocket.all = [];
  const page = {
    window: new EventTarget(),
    document: new EventTarget(),
    location: new URL("http://fleet.example/"),
    WebSocket: SilentSocket,
    fetch: async () => new Response(JSON.stringify({ ticket: "one" })),
  };
  Object.assign(globalThis, page);
  /** @type {string[]} */
  const shown = [];
  /** @type {unknown[]} */
  const heard = [];
  const live = new Live(
    async () => {},
    (message) => heard.push(message),
    (connection) => shown.push(connection),
  );
  await live.open();
  const [socket] = SilentSocket.all;
  assert.ok(socket);
  socket.hear({ type: "init" });
  assert.equal(shown.at(-1), "live");
  return { socket, shown, heard };
}

test("a connection that is silent for longer than the beacon allows is lost, whoever answers", async (context) => {
  const { socket, shown } = await connected(context);
  context.mock.timers.tick(SILENCE);
  assert.equal(shown.at(-1), "reconnecting");
  assert.ok(socket.closeAsked);
});

test("beacons keep a connection", async (context) => {
  const { socket, shown } = await connected(context);
  for (let i = 0; i < 10; i += 1) {
    context.mock.timers.tick(SILENCE - 1);
    socket.hear({ type: "sync" });
  }
  assert.equal(shown.at(-1), "live");
  assert.ok(!socket.closeAsked);
});

test("a connection that was given up is not believed any more", async (context) => {
  const { socket, shown, heard } = await connected(context);
  context.mock.timers.tick(SILENCE);
  socket.hear({ type: "delta" });
  assert.equal(shown.at(-1), "reconnecting");
  assert.deepEqual(heard, [{ type: "init" }]);
});
