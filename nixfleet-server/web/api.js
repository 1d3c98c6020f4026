// Requests to the server.

/** @import { CommandView, Detail, Tables } from "./types.js" */

const PATIENCE = 30_000;

/** An answer that is not a success: an RFC 9457 document, or no answer at all. */
export class Problem extends Error {
  /**
   * @param {number} status HTTP status; 0 if the server did not answer.
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * One request. An answer that is not a success is a [`Problem`].
 * @param {"GET" | "POST" | "PUT" | "DELETE"} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function request(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method !== "GET") {
    headers["Idempotency-Key"] = randomKey();
  }
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])]),
    });
  } catch {
    throw new Problem(0, "no_answer", "The server does not answer.");
  }
  if (response.status === 401) {
    location.assign("/login");
  }
  const document = await response.json().catch(() => null);
  if (response.ok) {
    return document;
  }
  const code = document?.code ?? "unknown";
  const what = document?.detail ?? document?.title ?? `HTTP status ${response.status}`;
  throw new Problem(response.status, code, sentence(what, document?.help));
}

/** A ticket for one connection to the live feed. @returns {Promise<string>} */
export async function liveTicket() {
  return (await request("POST", "/api/v1/live/ticket")).ticket;
}

/** Sentences and catalogues. @returns {Promise<Tables>} */
export function tables() {
  return request("GET", "/api/v1/tables");
}

/**
 * Everything the server has to say about the five compartments of a host.
 * @param {string} host
 * @returns {Promise<{ compartments: Record<string, Detail> }>}
 */
export function hostDetails(host) {
  return request("GET", `/api/v1/hosts/${encodeURIComponent(host)}`);
}

/**
 * Asks for an operation on one host; a refusal is a problem.
 * @param {string} op
 * @param {string} host
 * @param {boolean} confirm Whether the person confirmed it.
 * @param {{ generation?: number, input?: string, reason?: string }} [more]
 * @returns {Promise<string>} What became of it, in one word.
 */
export async function dispatch(op, host, confirm, more = {}) {
  const order = { op, hosts: [host], ...more, ...(confirm ? { confirm } : {}) };
  const answer = await request("POST", "/api/v1/dispatch", order);
  const result = answer.results[0];
  if (result.outcome === "refused") {
    throw new Problem(409, result.code, sentence(result.message, result.help));
  }
  return result.outcome;
}

/**
 * Lines that a command printed, from a number on. The server waits a little if there is none yet.
 * @param {CommandView} command
 * @param {number} from
 * @param {AbortSignal} signal
 * @returns {Promise<{ lines: { n: number, text: string }[], next: number, more: boolean }>}
 */
export function output(command, from, signal) {
  const query = new URLSearchParams({ command: command.id, from: String(from), wait: "20" });
  const path = `/api/v1/hosts/${encodeURIComponent(command.host)}/output?${query}`;
  return request("GET", path, undefined, signal);
}

/**
 * Asks for the end of a command.
 * @param {string} command
 * @returns {Promise<void>}
 */
export async function stop(command) {
  await request("POST", `/api/v1/commands/${encodeURIComponent(command)}/stop`);
}

/**
 * What went wrong and what would help.
 * @param {string} what
 * @param {string} [help]
 */
function sentence(what, help) {
  return help ? `${what}. What would help: ${help}.` : what;
}

/** A key that lets the server recognise a request that was sent twice. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
