// Statuses in few bytes: `["web-0001", "oddduBJSYp", 1, 1, …]`, five letters for the statuses, five
// for the reasons, `+` if the host is plain green, one for each attention, then the numbers that
// these need. Everything else is looked up where the server's tables say. The counterpart of
// `CompactStatus` in the core; nothing is judged here.

/** @import { Change, Coded, Letter, Letters, StatusView } from "./types.js" */
/** @import { State } from "./state.js" */

/**
 * The changes of a frame, one by one: compact statuses that follow one another share an array.
 * @param {Change[]} changes
 * @returns {Change[]}
 */
export function oneByOne(changes) {
  return changes.flatMap((change) => {
    const entries = change["status_updated"];
    return Array.isArray(entries) ? entries.map((entry) => ({ status_updated: entry })) : [change];
  });
}

/**
 * The change with everything filled in from the state just before it; nothing if that cannot be
 * done here.
 * @param {Change} change
 * @param {State} state
 * @param {?Letters} letters
 * @returns {?Change}
 */
export function filled(change, state, letters) {
  const entry = change["status_updated"];
  if (!Array.isArray(entry)) {
    return change;
  }
  try {
    const status = letters && new Entry(entry, state, letters).read();
    return status ? { status_updated: status } : null;
  } catch (problem) {
    if (problem instanceof NotHere) return null;
    throw problem;
  }
}

/** Something that an entry refers to is not known here. */
class NotHere extends Error {}

class Entry {
  #used = 0;

  /**
   * @param {[string, string, ...number[]]} entry
   * @param {State} state
   * @param {Letters} letters
   */
  constructor([id, text, ...numbers], state, letters) {
    this.id = id;
    this.text = text;
    this.numbers = numbers;
    this.letters = letters;
    this.before = state.statuses.get(id);
    /** @type {Record<string, unknown>} */
    this.places = {
      host: there(state.hosts.get(id)),
      desired: state.desired,
      update_pr: state.updatePr,
    };
  }

  /** @returns {StatusView} */
  read() {
    const { letters, text, before } = this;
    const s = [...text.slice(0, 5)].map((letter) => there(letters.statuses[letter]));
    const r = [...text.slice(5, 10)].map((letter, index) =>
      this.#coded(there(letters.reasons[letter]), before ? [there(before.r[index])] : []),
    );
    const green = text[10] === letters.green;
    const a = [...text.slice(green ? 11 : 10)].map((letter) =>
      this.#coded(there(letters.attentions[letter]), before?.a ?? []),
    );
    if (r.length !== 5 || this.#used !== this.numbers.length) {
      throw new NotHere();
    }
    const attentions = a.length > 0 ? { a } : {};
    return { id: this.id, s, r, ...attentions, ...(green ? { g: true } : {}) };
  }

  /**
   * @param {Letter} letter
   * @param {Coded[]} before What is replaced.
   * @returns {Coded}
   */
  #coded({ code, parameters }, before) {
    /** @type {Coded} */
    const coded = { code };
    for (const { name, told, at, before: asBefore } of parameters) {
      if (asBefore) {
        coded[name] = there(before.find((one) => one.code === code))[name];
      } else if (told && at) {
        coded[name] = this.#told(told) ? there(this.#at(at)) : null;
      } else {
        coded[name] = told ? this.#told(told) : this.#at(at ?? []);
      }
    }
    return coded;
  }

  /** @param {string} kind */
  #told(kind) {
    const number = there(this.numbers[this.#used]);
    this.#used += 1;
    if (kind === "number") {
      return number;
    }
    if (kind === "cause" && number >= this.letters.http_status_from) {
      return { "http-status": number };
    }
    const value = this.letters.numbers[kind]?.[number];
    // Neither half of a pull + switch: nothing, and told so.
    return value === null ? null : there(value);
  }

  /**
   * The first of these places where something stands.
   * @param {string[]} paths
   */
  #at(paths) {
    for (const path of paths) {
      /** @type {any} */
      let value = this.places;
      for (const name of path.split(".")) {
        value = value?.[name];
      }
      if (value !== undefined && value !== null) return value;
    }
    return null;
  }
}

/**
 * @template T
 * @param {T} value
 * @returns {NonNullable<T>}
 */
function there(value) {
  if (value === undefined || value === null) {
    throw new NotHere();
  }
  return value;
}
