/*
 * NixFleet for C: the decisions of a fleet manager as a library. Made by cbindgen; do not edit.
 *
 * Conventions
 *
 * - Every function that can fail gives a nixfleet_status. Out-parameters come last and are written
 *   only if it is NIXFLEET_STATUS_OK. What was wrong is then told by nixfleet_last_error_text and
 *   nixfleet_last_error_get, for the calling thread alone. A call that works leaves that as it is.
 * - No input aborts or unwinds into the caller: pointers are checked for NULL and alignment, lengths
 *   for sense, texts for UTF-8 and size (at most 64 MiB; bytes that are only hashed may be more).
 *   No pointer may be NULL unless its function says so, also if the length is 0.
 * - What is passed in stays the caller's and is only read, and only until the call returns.
 * - What is made is a handle: a number that is released once by the function ending in _free. A
 *   number that was freed, is of another kind or was made up is NIXFLEET_STATUS_BAD_HANDLE; 0 is
 *   never a handle. Handles belong to the process, not to a thread.
 * - A text is a handle; look at its bytes with nixfleet_text_view. They belong to the text and are
 *   valid until nixfleet_text_free.
 * - Texts are UTF-8 with a length and, on their way out, a NUL behind it. JSON fields may be added
 *   with a new minor version of the interface; ignore those that you do not know.
 *
 * Threads
 *
 * Every function may be called from every thread at any time. Calls that use the same handle wait
 * for each other. One thread may free a handle that another one is using: the call that comes later
 * is told NIXFLEET_STATUS_BAD_HANDLE. Only the bytes of nixfleet_text_view are looked at without
 * the library: whoever frees a text must know that nobody does. After fork, a child may use the
 * library only if no other thread was in it at that moment.
 */

#ifndef NIXFLEET_H
#define NIXFLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Version of this interface: the major number in the upper 16 bits, the minor one in the lower.
 * Functions are added with a new minor number; with a new major number nothing need stay.
 */
#define NIXFLEET_ABI_VERSION 65537

/**
 * How a call ended. Only with `NIXFLEET_STATUS_OK` something was written to out-parameters.
 */
enum nixfleet_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It worked.
   */
  NIXFLEET_STATUS_OK = 0,
  /**
   * A pointer that must not be NULL is NULL, or is not aligned for its type.
   */
  NIXFLEET_STATUS_NULL_POINTER = 1,
  /**
   * A text is not UTF-8.
   */
  NIXFLEET_STATUS_NOT_UTF8 = 2,
  /**
   * Something is larger than what is read: a text has at most 64 MiB.
   */
  NIXFLEET_STATUS_TOO_LARGE = 3,
  /**
   * A text is not JSON, or a field of it has the wrong type.
   */
  NIXFLEET_STATUS_MALFORMED = 4,
  /**
   * A field has a value that it may not have.
   */
  NIXFLEET_STATUS_INVALID = 5,
  /**
   * Bytes are not a flake.lock; the code says what is wrong, the place says where.
   */
  NIXFLEET_STATUS_NOT_A_LOCK = 6,
  /**
   * A number is no handle, not one of this kind, or was freed.
   */
  NIXFLEET_STATUS_BAD_HANDLE = 7,
  /**
   * The command may not even wait, or no rollout can be planned; the code says which rule refused
   * it.
   */
  NIXFLEET_STATUS_REFUSED = 8,
  /**
   * There are too many handles.
   */
  NIXFLEET_STATUS_TOO_MANY_HANDLES = 9,
  /**
   * A mistake in this library. Please report it.
   */
  NIXFLEET_STATUS_INTERNAL = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_status nixfleet_status;
#else
typedef int32_t nixfleet_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The status of a compartment, as it is shown.
 */
enum nixfleet_dot
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Gray: the host has not told us yet.
   */
  NIXFLEET_DOT_UNKNOWN = 0,
  /**
   * Green: current against the remote, and proven so.
   */
  NIXFLEET_DOT_OK = 1,
  /**
   * Yellow: act, or it cannot be verified.
   */
  NIXFLEET_DOT_OUTDATED = 2,
  /**
   * Red: a real problem; also: the remote cannot be read.
   */
  NIXFLEET_DOT_ERROR = 3,
  /**
   * Blue: a command is at work.
   */
  NIXFLEET_DOT_WORKING = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_dot nixfleet_dot;
#else
typedef uint8_t nixfleet_dot;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The reported agent version beside the expected one.
 */
enum nixfleet_agent
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The same after normalisation.
   */
  NIXFLEET_AGENT_EQUAL = 0,
  /**
   * Older than expected.
   */
  NIXFLEET_AGENT_OLDER = 1,
  /**
   * Newer than expected.
   */
  NIXFLEET_AGENT_NEWER = 2,
  /**
   * Different, and not comparable.
   */
  NIXFLEET_AGENT_INCOMPATIBLE = 3,
  /**
   * The agent never said.
   */
  NIXFLEET_AGENT_NOT_REPORTED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_agent nixfleet_agent;
#else
typedef uint8_t nixfleet_agent;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether one half of the desired state is known.
 */
enum nixfleet_desired
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Known and in force.
   */
  NIXFLEET_DESIRED_KNOWN = 0,
  /**
   * Not known: the remote failed, or this half of it.
   */
  NIXFLEET_DESIRED_UNAVAILABLE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_desired nixfleet_desired;
#else
typedef uint8_t nixfleet_desired;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The commit checked out beside the desired one.
 */
enum nixfleet_commit
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The desired commit.
   */
  NIXFLEET_COMMIT_CURRENT = 0,
  /**
   * An ancestor of the desired commit.
   */
  NIXFLEET_COMMIT_BEHIND = 1,
  /**
   * On the branch, but after the desired commit.
   */
  NIXFLEET_COMMIT_AHEAD = 2,
  /**
   * Known, but neither before nor after the desired commit.
   */
  NIXFLEET_COMMIT_DIVERGED = 3,
  /**
   * The history is known and does not have it.
   */
  NIXFLEET_COMMIT_NOT_ON_BRANCH = 4,
  /**
   * Another commit; the history is not known (or the desired commit is not).
   */
  NIXFLEET_COMMIT_DIFFERENT = 5,
  /**
   * The host did not say.
   */
  NIXFLEET_COMMIT_NOT_REPORTED = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_commit nixfleet_commit;
#else
typedef uint8_t nixfleet_commit;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether the checkout has local changes.
 */
enum nixfleet_tree
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * No local changes.
   */
  NIXFLEET_TREE_CLEAN = 0,
  /**
   * Local changes.
   */
  NIXFLEET_TREE_DIRTY = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_tree nixfleet_tree;
#else
typedef uint8_t nixfleet_tree;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The lock checked out beside the desired one.
 */
enum nixfleet_lock
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The desired lock, byte for byte.
   */
  NIXFLEET_LOCK_CURRENT = 0,
  /**
   * An earlier version of the branch.
   */
  NIXFLEET_LOCK_BEHIND = 1,
  /**
   * A later version of the branch than the desired one.
   */
  NIXFLEET_LOCK_AHEAD = 2,
  /**
   * The history is known and does not have it.
   */
  NIXFLEET_LOCK_NOT_ON_BRANCH = 3,
  /**
   * Another lock; the history is not known (or the desired lock is not).
   */
  NIXFLEET_LOCK_DIFFERENT = 4,
  /**
   * The checkout has no lock file.
   */
  NIXFLEET_LOCK_MISSING = 5,
  /**
   * The host did not say.
   */
  NIXFLEET_LOCK_NOT_REPORTED = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_lock nixfleet_lock;
#else
typedef uint8_t nixfleet_lock;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Outcome of the last deploy-class command.
 */
enum nixfleet_outcome
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It worked.
   */
  NIXFLEET_OUTCOME_OK = 0,
  /**
   * Nothing was ever deployed through us.
   */
  NIXFLEET_OUTCOME_NEVER = 1,
  /**
   * It failed or was stopped.
   */
  NIXFLEET_OUTCOME_FAILED = 2,
  /**
   * Nobody knows.
   */
  NIXFLEET_OUTCOME_UNKNOWN = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_outcome nixfleet_outcome;
#else
typedef uint8_t nixfleet_outcome;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether an unknown outcome waits to be settled.
 */
enum nixfleet_reconcile
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Nothing is open.
   */
  NIXFLEET_RECONCILE_SETTLED = 0,
  /**
   * A deploy-class command ended with an unknown outcome.
   */
  NIXFLEET_RECONCILE_NEEDED = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_reconcile nixfleet_reconcile;
#else
typedef uint8_t nixfleet_reconcile;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The agent's record of the last deployment beside the checkout.
 */
enum nixfleet_record
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Built from exactly what is checked out.
   */
  NIXFLEET_RECORD_SAME_AS_CHECKOUT = 0,
  /**
   * Built from something else.
   */
  NIXFLEET_RECORD_DIFFERS = 1,
  /**
   * There is a record, but its inputs are not known (dirty tree, changed during the build).
   */
  NIXFLEET_RECORD_INPUTS_UNKNOWN = 2,
  /**
   * Its inputs are known, but the checkout is not.
   */
  NIXFLEET_RECORD_NO_CHECKOUT = 3,
  /**
   * There is no record.
   */
  NIXFLEET_RECORD_NONE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_record nixfleet_record;
#else
typedef uint8_t nixfleet_record;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The revision the running system claims, beside the deployed commit or, without a record,
 * beside the desired one.
 */
enum nixfleet_claim
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The expected one.
   */
  NIXFLEET_CLAIM_AS_EXPECTED = 0,
  /**
   * It claims nothing.
   */
  NIXFLEET_CLAIM_SILENT = 1,
  /**
   * It claims a revision, but there is nothing to compare it with.
   */
  NIXFLEET_CLAIM_UNJUDGED = 2,
  /**
   * Another one.
   */
  NIXFLEET_CLAIM_OTHER = 3,
  /**
   * It claims something that is no commit, for example local changes on top of one.
   */
  NIXFLEET_CLAIM_NO_COMMIT = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_claim nixfleet_claim;
#else
typedef uint8_t nixfleet_claim;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The running store path beside the deployed one.
 */
enum nixfleet_path
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The same.
   */
  NIXFLEET_PATH_SAME = 0,
  /**
   * The record tells none.
   */
  NIXFLEET_PATH_UNJUDGED = 1,
  /**
   * Another one: switched by hand, or booted into an old generation; or nobody sees which.
   */
  NIXFLEET_PATH_OTHER = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_path nixfleet_path;
#else
typedef uint8_t nixfleet_path;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether tests are switched on for the host.
 */
enum nixfleet_tests_switch
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * On.
   */
  NIXFLEET_TESTS_SWITCH_ON = 0,
  /**
   * Off.
   */
  NIXFLEET_TESTS_SWITCH_OFF = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_tests_switch nixfleet_tests_switch;
#else
typedef uint8_t nixfleet_tests_switch;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The last test result.
 */
enum nixfleet_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Passed: at least one test, every script's own exit code seen, none failed.
   */
  NIXFLEET_RESULT_PASSED = 0,
  /**
   * An existing agent reports a pass; it counts only its last script.
   */
  NIXFLEET_RESULT_PASSED_UNVERIFIED = 1,
  /**
   * At least one failed.
   */
  NIXFLEET_RESULT_FAILED = 2,
  /**
   * The run was stopped.
   */
  NIXFLEET_RESULT_STOPPED = 3,
  /**
   * Nothing was executed.
   */
  NIXFLEET_RESULT_EMPTY = 4,
  /**
   * What was tested changed during the run.
   */
  NIXFLEET_RESULT_VOID = 5,
  /**
   * Tests never ran.
   */
  NIXFLEET_RESULT_NEVER = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_result nixfleet_result;
#else
typedef uint8_t nixfleet_result;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What was tested beside what is deployed.
 */
enum nixfleet_key
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The deployed commit, lock and store path.
   */
  NIXFLEET_KEY_CURRENT = 0,
  /**
   * Something else, usually an earlier revision.
   */
  NIXFLEET_KEY_OTHER = 1,
  /**
   * One of the two is not known.
   */
  NIXFLEET_KEY_UNJUDGED = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_key nixfleet_key;
#else
typedef uint8_t nixfleet_key;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The active command of a host, in [`RawFacts::working_op`](crate::facts::RawFacts::working_op).
 */
enum nixfleet_working_op
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * There is none.
   */
  NIXFLEET_WORKING_OP_NONE = 0,
  /**
   * Bring the config checkout to the desired commit.
   */
  NIXFLEET_WORKING_OP_PULL = 1,
  /**
   * Build and activate the checked-out configuration.
   */
  NIXFLEET_WORKING_OP_SWITCH = 2,
  /**
   * Pull, then switch.
   */
  NIXFLEET_WORKING_OP_PULL_SWITCH = 3,
  /**
   * Run the host's test scripts (not `nixos-rebuild test`).
   */
  NIXFLEET_WORKING_OP_TEST = 4,
  /**
   * Activate the previous or a named generation.
   */
  NIXFLEET_WORKING_OP_ROLLBACK = 5,
  /**
   * Restart the agent.
   */
  NIXFLEET_WORKING_OP_RESTART = 6,
  /**
   * Reboot the host.
   */
  NIXFLEET_WORKING_OP_REBOOT = 7,
  /**
   * Compare the agent's version.
   */
  NIXFLEET_WORKING_OP_CHECK_VERSION = 8,
  /**
   * Fetch the desired commit again.
   */
  NIXFLEET_WORKING_OP_REFRESH_GIT = 9,
  /**
   * Fetch the desired lock again.
   */
  NIXFLEET_WORKING_OP_REFRESH_LOCK = 10,
  /**
   * Fetch everything again.
   */
  NIXFLEET_WORKING_OP_REFRESH_ALL = 11,
  /**
   * Dry build, on request only.
   */
  NIXFLEET_WORKING_OP_REFRESH_SYSTEM = 12,
  /**
   * `nix flake update` on this host, commit and push (host-driven strategy).
   */
  NIXFLEET_WORKING_OP_UPDATE_INPUTS = 13,
  /**
   * Rebuild from scratch so that the agent itself is fresh.
   */
  NIXFLEET_WORKING_OP_FORCE_REBUILD = 14,
  /**
   * Merge the update pull request.
   */
  NIXFLEET_WORKING_OP_MERGE_PR = 15,
  /**
   * Revert a merged update.
   */
  NIXFLEET_WORKING_OP_REVERT_PR = 16,
  /**
   * Change the colour of a host on the page.
   */
  NIXFLEET_WORKING_OP_SET_COLOR = 17,
  /**
   * Remove a host.
   */
  NIXFLEET_WORKING_OP_REMOVE = 18,
  /**
   * Keep every automation away from a host.
   */
  NIXFLEET_WORKING_OP_HOLD = 19,
  /**
   * End a hold.
   */
  NIXFLEET_WORKING_OP_RELEASE = 20,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_working_op nixfleet_working_op;
#else
typedef uint8_t nixfleet_working_op;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which half of a `pull-switch` is running.
 */
enum nixfleet_working_half
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Not known, or another operation.
   */
  NIXFLEET_WORKING_HALF_NOT_KNOWN = 0,
  /**
   * Bringing the checkout to the desired commit.
   */
  NIXFLEET_WORKING_HALF_PULL = 1,
  /**
   * Building and activating.
   */
  NIXFLEET_WORKING_HALF_SWITCH = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum nixfleet_working_half nixfleet_working_half;
#else
typedef uint8_t nixfleet_working_half;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A handle, or 0, which is none. Copying it copies no object.
 */
typedef uint64_t nixfleet_handle;

/**
 * The next moment at which a command wants to be called.
 */
typedef struct nixfleet_deadline {
  /**
   * That moment, in milliseconds since 1970; 0 if there is none.
   */
  int64_t at;
  /**
   * Whether there is one. A command that has ended has none.
   */
  bool armed;
} nixfleet_deadline;

/**
 * The last error of a thread. The pointers belong to the library; they are valid until the next
 * call on the same thread that fails, and until the thread ends.
 */
typedef struct nixfleet_last_error {
  /**
   * How the call ended; `NIXFLEET_STATUS_OK` if none has failed on this thread.
   */
  nixfleet_status status;
  /**
   * What is wrong in one stable word, for programs: for example `null-pointer`, `dangling-node`
   * or `never-seen`. Never NULL.
   */
  const char *code;
  /**
   * The field or the input it is about, for example `nodes.nixpkgs.locked`; empty if there is
   * none. Never NULL.
   */
  const char *place;
  /**
   * A sentence for people. Never NULL.
   */
  const char *text;
} nixfleet_last_error;

/**
 * Everything the statuses of one host depend on, each as one byte with a value of the enumeration
 * named beside it. With all bytes 0 the host is green.
 */
typedef struct nixfleet_facts {
  /**
   * `nixfleet_agent`: the reported agent version beside the expected one.
   */
  uint8_t agent;
  /**
   * `nixfleet_desired`: whether the desired commit is known.
   */
  uint8_t desired_commit;
  /**
   * `nixfleet_desired`: whether the desired lock is known.
   */
  uint8_t desired_lock;
  /**
   * `nixfleet_commit`: the commit checked out beside the desired one.
   */
  uint8_t commit;
  /**
   * `nixfleet_tree`: whether the checkout has local changes.
   */
  uint8_t tree;
  /**
   * `nixfleet_lock`: the lock checked out beside the desired one.
   */
  uint8_t lock;
  /**
   * `nixfleet_outcome`: outcome of the last deploy-class command.
   */
  uint8_t outcome;
  /**
   * `nixfleet_reconcile`: whether that outcome waits to be settled.
   */
  uint8_t reconcile;
  /**
   * `nixfleet_record`: the record of the last deployment beside the checkout.
   */
  uint8_t record;
  /**
   * `nixfleet_claim`: the revision the running system claims beside the expected one.
   */
  uint8_t claim;
  /**
   * `nixfleet_path`: the running store path beside the deployed one.
   */
  uint8_t path;
  /**
   * `nixfleet_tests_switch`: whether tests are switched on.
   */
  uint8_t tests_switch;
  /**
   * `nixfleet_result`: the last test result.
   */
  uint8_t result;
  /**
   * `nixfleet_key`: what was tested beside what is deployed.
   */
  uint8_t key;
  /**
   * `nixfleet_working_op`: the active command.
   */
  uint8_t working_op;
  /**
   * `nixfleet_working_half`: which half of a pull-switch is running.
   */
  uint8_t working_half;
  /**
   * 1 if the operation took the agent down and its return is awaited, else 0.
   */
  uint8_t awaiting_reconnect;
} nixfleet_facts;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Assesses one host.
 *
 * `situation`, `len`: JSON: the host, what is desired of it, and what is remembered of it.
 * `out`: receives a text the caller owns: JSON with the five `compartments` by name, each with
 * `status`, `reason`, `message` and more, `attentions`, `current`, `green`.
 */
nixfleet_status nixfleet_assess(const uint8_t *situation, size_t len, nixfleet_handle *out);

/**
 * Assesses many hosts in one call.
 *
 * `situations`, `len`: JSON: an array of what `nixfleet_assess` takes.
 * `out`: receives a text the caller owns: JSON, an array of as many objects in the same order, each
 * what `nixfleet_assess` tells, or `{"error": {"status", "code", "place", "text"}}` for a host
 * whose situation cannot be read. It does not spoil the others.
 */
nixfleet_status nixfleet_assess_many(const uint8_t *situations, size_t len, nixfleet_handle *out);

/**
 * Explains the five colours of one host.
 *
 * `situation`, `len`: as for `nixfleet_assess`.
 * `out`: receives a text the caller owns: JSON with `compartments`, each with the `rule` that
 * decided, the facts it `looked_at`, the `first_failing` one and what makes it `green_when`.
 */
nixfleet_status nixfleet_explain(const uint8_t *situation, size_t len, nixfleet_handle *out);

/**
 * Makes a situation of files, for `nixfleet_assess` and its like. What no file tells is not known.
 *
 * `flake_lock`, `flake_lock_len`: the bytes of the flake.lock of the host.
 * `version_json`, `version_json_len`: the bytes of the published page with `gitCommit` and
 * `lockHash`.
 * `checkout`, `checkout_len`: the commit checked out, as printed by
 * `git describe --always --abbrev=40 --exclude='*' --dirty`; NULL and 0 if it is not known.
 * `observation`, `observation_len`: JSON, a situation with what else is known, of which at least
 * `host` must be there; NULL and 0 if there is none.
 * `agent_version`, `agent_version_len`: the version expected of the agent; NULL and 0 for that of
 * the library.
 * `out`: receives a text the caller owns: JSON.
 */
nixfleet_status nixfleet_situation(const uint8_t *flake_lock,
                                   size_t flake_lock_len,
                                   const uint8_t *version_json,
                                   size_t version_json_len,
                                   const uint8_t *checkout,
                                   size_t checkout_len,
                                   const uint8_t *observation,
                                   size_t observation_len,
                                   const uint8_t *agent_version,
                                   size_t agent_version_len,
                                   nixfleet_handle *out);

/**
 * Tells whether an operation may run on a host now, and if not, everything that says no.
 *
 * `request`, `request_len`: JSON: `op` and the rest of what somebody wants.
 * `conditions`, `conditions_len`: JSON: a situation, and what stands beside it.
 * `out`: receives a text the caller owns: JSON with `admitted`, `may_wait`, `refusals`.
 */
nixfleet_status nixfleet_admit(const uint8_t *request,
                               size_t request_len,
                               const uint8_t *conditions,
                               size_t conditions_len,
                               nixfleet_handle *out);

/**
 * Tells the short sentence of a reason or of an attention.
 *
 * `said`, `len`: JSON: an object with a `code` and its parameters, as servers send it to browsers.
 * `out`: receives a text the caller owns: the sentence.
 */
nixfleet_status nixfleet_message(const uint8_t *said, size_t len, nixfleet_handle *out);

/**
 * Begins a command: it waits in the queue.
 *
 * `facts`, `len`: JSON with `command_id` (a UUID), `request` and `conditions` as for
 * `nixfleet_admit`. `now`: milliseconds since 1970.
 * `command`: receives a handle that the caller owns; free it with `nixfleet_command_free`.
 */
nixfleet_status nixfleet_command_new(const uint8_t *facts, size_t len, int64_t now, nixfleet_handle *command);

/**
 * Takes in what happened. Deadlines that are due fire first. If it fails, nothing has changed.
 *
 * `command`: stays the caller's.
 * `event`, `len`: JSON with `event` and what belongs to it; what an agent said is
 * `{"event": "agent", "frame": …}` with its frame as it travels. `now`: milliseconds since 1970.
 * `out`: receives a text the caller owns: JSON with `phase`, `deadline`, `ending`, `message`,
 * `effects` (to be done in order) and `rows` of the transition table.
 */
nixfleet_status nixfleet_command_handle(nixfleet_handle command,
                                        const uint8_t *event,
                                        size_t len,
                                        int64_t now,
                                        nixfleet_handle *out);

/**
 * Lets time pass: fires every deadline that is due. A spurious call does nothing.
 *
 * `command`: stays the caller's. `now`: milliseconds since 1970.
 * `out`: receives a text the caller owns: as for `nixfleet_command_handle`.
 */
nixfleet_status nixfleet_command_handle_timeout(nixfleet_handle command,
                                                int64_t now,
                                                nixfleet_handle *out);

/**
 * Tells the next moment at which the command wants to be called.
 *
 * `command`: stays the caller's. `deadline`: receives the moment.
 */
nixfleet_status nixfleet_command_poll_timeout(nixfleet_handle command, struct nixfleet_deadline *deadline);

/**
 * Frees a command.
 *
 * `command`: afterwards it is none.
 */
nixfleet_status nixfleet_command_free(nixfleet_handle command);

/**
 * Tells the last error of the calling thread. A call that works leaves it as it is.
 *
 * `error`: receives it; the pointers in it belong to the library (see `nixfleet_last_error`).
 */
nixfleet_status nixfleet_last_error_get(struct nixfleet_last_error *error);

/**
 * The sentence of the last error of the calling thread, NUL-terminated; empty if there is none.
 * Never NULL. It belongs to the library and is valid as the pointers in `nixfleet_last_error` are.
 */
const char *nixfleet_last_error_text(void);

/**
 * Compares the values of a situation; what comes out is all that its statuses depend on.
 *
 * `situation`, `len`: JSON, as for `nixfleet_assess`. `facts`: receives the facts.
 */
nixfleet_status nixfleet_facts_read(const uint8_t *situation, size_t len, struct nixfleet_facts *facts);

/**
 * Assesses one host from facts.
 *
 * `facts`: the facts.
 * `statuses`: receives five bytes, each a `nixfleet_dot`: agent, git, lock, system, tests.
 */
nixfleet_status nixfleet_assess_facts(const struct nixfleet_facts *facts, uint8_t (*statuses)[5]);

/**
 * Assesses many hosts from facts. If one value is out of range, nothing is written.
 *
 * `facts`, `count`: an array of facts.
 * `statuses`: receives five bytes for each, in the same order.
 */
nixfleet_status nixfleet_assess_facts_many(const struct nixfleet_facts *facts,
                                           size_t count,
                                           uint8_t (*statuses)[5]);

/**
 * SHA-256 of a whole flake.lock, byte for byte.
 *
 * `bytes`, `len`: the bytes, of any number; not NULL even if there are none.
 * `hash`: receives 32 bytes.
 */
nixfleet_status nixfleet_lock_hash(const uint8_t *bytes, size_t len, uint8_t (*hash)[32]);

/**
 * Begins a hash that is fed piece by piece.
 *
 * `hasher`: receives a handle that the caller owns; free it with `nixfleet_hasher_free`.
 */
nixfleet_status nixfleet_hasher_new(nixfleet_handle *hasher);

/**
 * Takes in more bytes.
 *
 * `hasher`: stays the caller's. `bytes`, `len`: as for `nixfleet_lock_hash`.
 */
nixfleet_status nixfleet_hasher_update(nixfleet_handle hasher, const uint8_t *bytes, size_t len);

/**
 * Tells the hash of everything taken in so far. More can be taken in afterwards.
 *
 * `hasher`: stays the caller's. `hash`: receives 32 bytes.
 */
nixfleet_status nixfleet_hasher_digest(nixfleet_handle hasher, uint8_t (*hash)[32]);

/**
 * Frees a hasher.
 *
 * `hasher`: afterwards it is none.
 */
nixfleet_status nixfleet_hasher_free(nixfleet_handle hasher);

/**
 * Reads a flake.lock: its hash, the version of its format, and what its inputs are pinned to.
 *
 * `bytes`, `len`: the bytes of the file.
 * `out`: receives a text the caller owns: JSON with `lock_hash`, `version`, `nodes`, `inputs`.
 */
nixfleet_status nixfleet_lock_read(const uint8_t *bytes, size_t len, nixfleet_handle *out);

/**
 * Compares two flake.lock files: as bytes, then as inputs.
 *
 * `old_bytes`, `old_len`, `new_bytes`, `new_len`: the bytes of the files.
 * `out`: receives a text the caller owns: JSON with `result` (`same-bytes`, `same-inputs`,
 * `differ`), `revisions_only`, `changes`, `fields`, `format`, `truncated`.
 */
nixfleet_status nixfleet_lock_diff(const uint8_t *old_bytes,
                                   size_t old_len,
                                   const uint8_t *new_bytes,
                                   size_t new_len,
                                   nixfleet_handle *out);

/**
 * Tells who would take part in a rollout, in which order. Nothing is started.
 *
 * `facts`, `len`: JSON: what is asked for in `ask`, the `hosts`, and what is `desired`.
 * `out`: receives a text the caller owns: JSON with the `id` of the plan, `target`, `policy`, `ops`,
 * `waves` and who is `skipped`. If nothing can be planned it is `NIXFLEET_STATUS_REFUSED`, and the
 * code of the last error says why, for example `unknown-host` or `no-canary`.
 */
nixfleet_status nixfleet_rollout_plan(const uint8_t *facts,
                                      size_t len,
                                      nixfleet_handle *out);

/**
 * Tells everything that a rollout would do, if nothing else happens and commands end as assumed.
 * Nothing is started.
 *
 * `facts`, `len`: as for `nixfleet_rollout_plan`; beside it `windows` and their `zones`,
 * `assumptions` about commands, what the inputs are `updated` to, and the moment of the `start`.
 * `out`: receives a text the caller owns: JSON with the `plan`, the `steps` with their moments, the
 * `waits` of hosts with their reasons, the rollout at its `end`, and whether it is `complete`.
 */
nixfleet_status nixfleet_rollout_simulate(const uint8_t *facts, size_t len, nixfleet_handle *out);

/**
 * Every table of the rules: compartments, statuses, reasons, operations, transitions and more.
 *
 * `out`: receives a text the caller owns: JSON.
 */
nixfleet_status nixfleet_tables(nixfleet_handle *out);

/**
 * The same for people.
 *
 * `out`: receives a text the caller owns: Markdown.
 */
nixfleet_status nixfleet_tables_markdown(nixfleet_handle *out);

/**
 * The version of the interface that the library has: `NIXFLEET_ABI_VERSION` of its own header.
 */
uint32_t nixfleet_abi_version(void);

/**
 * The version of the library, for people, NUL-terminated: for example `4.0.0`. Never NULL, never
 * to be freed.
 */
const char *nixfleet_version(void);

/**
 * Looks at a text, UTF-8 and NUL-terminated.
 *
 * `text`: a text that another function gave; it stays the caller's.
 * `data`: receives where it is; the bytes belong to the text and are valid until it is freed.
 * `len`: receives its length in bytes, the NUL not counted.
 */
nixfleet_status nixfleet_text_view(nixfleet_handle text, const char **data, size_t *len);

/**
 * Frees a text. Whoever still looks at its bytes must be done with them.
 *
 * `text`: a text that another function gave; afterwards it is none.
 */
nixfleet_status nixfleet_text_free(nixfleet_handle text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NIXFLEET_H */
