// What the server sends about updates, as types for the other files. Nothing is executed here.

/**
 * @typedef {{ kind: "person" | "automation", name: string }} Actor
 * @typedef {"pass" | "fail" | "cannot-tell"} Found
 * @typedef {"pass" | "no_verdict" | "pending" | "failing"} Verdict
 * @typedef {{ short: string, at?: number }} Pin
 *
 * @typedef {object} InputMove
 * @property {string} input
 * @property {string} kind
 * @property {Pin} [old]
 * @property {Pin} [new]
 * @property {string} [compare]
 * @property {string} text
 * @property {boolean} [unexpected]
 *
 * @typedef {object} CheckView
 * @property {string} name
 * @property {boolean} required
 * @property {string[]} states
 * @property {Verdict} verdict
 * @property {string} text
 *
 * @typedef {object} ConditionView
 * @property {string} condition
 * @property {"required" | "override" | "shown"} people What it means to people who merge by hand.
 * @property {Found} finding
 * @property {string} why
 *
 * @typedef {object} PrView
 * @property {number} number
 * @property {string} title
 * @property {string} url
 * @property {string} author
 * @property {number} created
 * @property {string} head
 * @property {number} head_since
 * @property {"yes" | "no" | "not-computed"} mergeable
 * @property {Verdict} verdict
 * @property {string} verdict_why
 * @property {CheckView[]} checks
 * @property {ConditionView[]} conditions
 * @property {boolean} eligible
 * @property {number} ripe_at
 * @property {InputMove[]} inputs
 * @property {number} [more_inputs]
 * @property {string} [lock_problem]
 * @property {string[]} [unexpected]
 *
 * @typedef {object} JobView
 * @property {number} id
 * @property {string} kind
 * @property {number} number
 * @property {string} title
 * @property {Actor} actor
 * @property {string} [reason]
 * @property {"merging" | "pulling" | "switching" | "completed" | "failed"} state
 * @property {string} message
 * @property {string} [rollout]
 * @property {{ switching: boolean, targets: number, done: number, failed: number }} progress
 * @property {number} created
 * @property {number} since
 *
 * @typedef {object} MergedView
 * @property {number} number
 * @property {string} title
 * @property {string} url
 * @property {string} [commit]
 * @property {number} at
 * @property {Actor} [by]
 * @property {InputMove[]} inputs
 * @property {{ kind: string, number?: number, url?: string, commit?: string, at: number, by: Actor }} [revert]
 * @property {{ host: string, at: number }[]} [hosts] When each host got it; in the history only.
 *
 * @typedef {object} UpdatesView
 * @property {string} repo
 * @property {string} branch
 * @property {PrView[]} prs
 * @property {number} [checked]
 * @property {{ since: number, what: string, not_before?: number }} [failing]
 * @property {number} next_check
 * @property {{ on: boolean, gates: { gate: string, finding: Found, why: string }[] }} auto
 * @property {boolean} direct_revert
 * @property {JobView} [job]
 * @property {MergedView[]} merged
 */

export {};
