// Serves the page under the policy of the server, with a stubbed API and a live feed of fixtures.
// Started by itself (`node tests/web/harness/server.mjs [port]`), it is there to be looked at.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import * as fixtures from "./fixtures.mjs";

const ROOT = new URL("../../../", import.meta.url);
const WEB = new URL("nixfleet-server/web/", ROOT);
const MEDIA = /** @type {Record<string, string>} */ ({
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
});

/** The policy as the server has it. */
async function policy() {
  const source = await readFile(new URL("nixfleet-server/src/net/stack.rs", ROOT), "utf8");
  const written = /CONTENT_SECURITY_POLICY: &str = "([^"]*)"/.exec(source)?.[1];
  if (!written) throw new Error("the server's policy is not where it was");
  return written.replace(/\\\s+/g, "");
}

/** @typedef {{ method: string, path: string, body: any, key: string | undefined }} Asked */
/** @typedef {{ status?: number, body?: any }} Answer */

/**
 * @param {{ hostile?: boolean, port?: number, answer?: (asked: Asked) => Answer | undefined }} [options]
 */
export async function serve({ hostile = false, port = 0, answer } = {}) {
  const csp = await policy();
  const tables = JSON.parse(await readFile(new URL("tests/golden/tables/tables.json", ROOT), "utf8"));
  const state = fixtures.state(hostile);
  /** @type {Asked[]} */
  const asked = [];
  /** @type {Set<import("node:stream").Duplex>} */
  const sockets = new Set();
  let number = 1;

  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? "/", "http://page").pathname;
    const send = (/** @type {number} */ status, /** @type {string} */ media, /** @type {any} */ body) => {
      response.writeHead(status, { "Content-Type": `${media}; charset=utf-8`, "Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff" });
      response.end(body);
    };
    if (path === "/" || path.startsWith("/assets/")) {
      const name = path === "/" ? "index.html" : normalize(path.slice("/assets/".length));
      const file = await readFile(new URL(name, WEB)).catch(() => null);
      if (file) send(200, MEDIA[extname(name)] ?? "text/plain", file);
      else send(404, "text/plain", "");
      return;
    }
    let text = "";
    for await (const chunk of request) text += chunk;
    const one = {
      method: request.method ?? "GET",
      path,
      body: text === "" ? undefined : JSON.parse(text),
      key: request.headers["idempotency-key"]?.toString(),
    };
    asked.push(one);
    const { status = 200, body = {} } = answer?.(one) ?? known(one, tables);
    send(status, status >= 400 ? "application/problem+json" : "application/json", JSON.stringify(body));
  });

  server.on("upgrade", (request, socket) => {
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => sockets.delete(socket));
    socket.write(frame({ type: "init", payload: { version: { epoch: 1, number }, part: 0, parts: 1, state } }));
  });

  await new Promise((done) => server.listen(port, "127.0.0.1", () => done(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}/`,
    asked,
    /** Sends changes over the feed. @param {...any} changes */
    change(...changes) {
      const first = { epoch: 1, number: number + 1 };
      number += changes.length;
      for (const socket of sockets) socket.write(frame({ type: "delta", payload: { first, changes } }));
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
    },
  };
}

/**
 * @param {Asked} asked
 * @param {any} tables
 * @returns {Answer}
 */
function known({ method, path }, tables) {
  const host = /^\/api\/v1\/hosts\/([^/]+)(?:\/(\w+))?$/.exec(path);
  if (host && method === "GET") {
    if (host[2] === "generations") return { body: { generations: fixtures.GENERATIONS } };
    if (host[2] === "deploys") return { body: { deploys: fixtures.DEPLOYS } };
    return { body: fixtures.report(decodeURIComponent(host[1] ?? "")) };
  }
  const rows = /** @type {Record<string, Answer>} */ ({
    "POST /api/v1/live/ticket": { body: { ticket: "t" } },
    "GET /api/v1/tables": { body: tables },
    [`GET /api/v1/rollouts/${fixtures.ROLLOUT.id}`]: { body: fixtures.ROLLOUT },
    [`GET /api/v1/rollouts/${fixtures.PAST_ROLLOUT.id}`]: { body: fixtures.PAST_ROLLOUT },
    "GET /api/v1/updates": { body: fixtures.UPDATES },
    "GET /api/v1/updates/history": {
      body: { updates: fixtures.UPDATES.merged.map((one) => ({ ...one, hosts: [{ host: "web-1", at: one.at + 400_000 }, { host: "db-1", at: one.at + 7_400_000 }] })) },
    },
    "POST /api/v1/updates/42/plan": { body: fixtures.PLAN },
    "POST /api/v1/rollouts/plan": { body: fixtures.PLAN },
    "POST /api/v1/rollouts": { status: 201, body: fixtures.ROLLOUT },
    "POST /api/v1/simulate": { body: fixtures.SIMULATED },
    "GET /api/v1/windows": { body: { windows: fixtures.WINDOWS } },
    "GET /api/v1/holds": { body: { holds: fixtures.SELECTOR_HOLDS } },
    "GET /api/v1/audit": { body: { audit: fixtures.AUDIT, next_before: "11" } },
    "GET /api/v1/drift": { body: fixtures.DRIFT },
    "GET /api/v1/quarantine": { body: { quarantine: fixtures.QUARANTINE } },
    "GET /api/v1/notifications": { body: { notifications: fixtures.DELIVERIES } },
    "POST /api/v1/dispatch": { body: { results: [{ outcome: "started" }] } },
  });
  return rows[`${method} ${path}`] ?? (method === "GET" ? { status: 404, body: { code: "not_found", title: "not here" } } : { status: 202, body: {} });
}

/** A text frame of a web socket. @param {any} message */
function frame(message) {
  const text = Buffer.from(JSON.stringify(message));
  const head = text.length < 126 ? Buffer.from([0x81, text.length]) : Buffer.alloc(text.length < 65_536 ? 4 : 10);
  if (text.length >= 126 && text.length < 65_536) {
    head.set([0x81, 126]);
    head.writeUInt16BE(text.length, 2);
  } else if (text.length >= 65_536) {
    head.set([0x81, 127]);
    head.writeBigUInt64BE(BigInt(text.length), 2);
  }
  return Buffer.concat([head, text]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve({ port: Number(process.argv[2] ?? 8090) });
  console.log(url);
}
