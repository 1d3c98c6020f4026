// Requests to the server.

/** @import { Detail, Tables } from "./types.js" */

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
 * @param {"GET" | "POST"} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
async function request(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method === "POST") {
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
      signal: AbortSignal.timeout(30_000),
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
  const sentence = document?.detail ?? document?.title ?? `HTTP status ${response.status}`;
  throw Object.assign(new Problem(response.status, code, sentence), { document });
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
 * Asks for an operation on one host.
 * @param {string} op
 * @param {string} host
 * @returns {Promise<void>}
 */
export async function dispatch(op, host) {
  const answer = await request("POST", "/api/v1/dispatch", { op, hosts: [host] });
  const result = answer?.results?.find((/** @type {any} */ one) => one.host === host);
  if (result && !result.command_id) {
    const message = result.message ?? result.detail ?? "The server refused.";
    throw new Problem(409, result.code ?? "refused", message);
  }
}

/**
 * Asks for the end of a command.
 * @param {string} command
 * @returns {Promise<void>}
 */
export async function stop(command) {
  await request("POST", `/api/v1/commands/${encodeURIComponent(command)}/stop`);
}

/** A key that lets the server recognise a request that was sent twice. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
