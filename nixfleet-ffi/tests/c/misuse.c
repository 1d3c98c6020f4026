/*
 * What no caller should do. Every call must come back with a status and a sentence, write nothing,
 * and leave the library as it was. To be run under AddressSanitizer.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nixfleet.h>

#undef NDEBUG
#include <assert.h>

#define U8(text) ((const uint8_t *)(text)), sizeof(text) - 1
#define POISON UINT64_C(0x5a5a5a5a5a5a5a5a)

static unsigned long calls;

static void expect_at(int line, nixfleet_status found, nixfleet_status expected) {
  calls++;
  if (found != expected) {
    fprintf(stderr, "misuse.c:%d: expected %d, found %d (%s)\n", line, (int)expected, (int)found,
            nixfleet_last_error_text());
    exit(1);
  }
  if (found != NIXFLEET_STATUS_OK) {
    nixfleet_last_error error;
    assert(nixfleet_last_error_get(&error) == NIXFLEET_STATUS_OK);
    assert(error.status == found && *error.code && *error.text);
    assert(error.text == nixfleet_last_error_text());
  }
}
#define expect(found, expected) expect_at(__LINE__, (found), NIXFLEET_STATUS_##expected)

static const char FACTS[] =
    "{\"command_id\": \"01939b0a-7c1e-7000-8000-000000000001\", \"request\": {\"op\": \"test\"},"
    " \"conditions\": {\"host\": {\"agent_version\": \"4.0.0\", \"capabilities\": [\"commands\"]}}}";
static const char LOCK[] = "{\"version\": 7, \"root\": \"root\", \"nodes\": {\"root\": {}}}";

static void null_pointers(void) {
  nixfleet_handle out = POISON;
  uint8_t hash[32], statuses[5];
  nixfleet_facts facts;
  const char *data = NULL;
  size_t len = 7;
  memset(hash, 0x5a, sizeof hash);
  memset(statuses, 0x5a, sizeof statuses);
  memset(&facts, 0, sizeof facts);
  expect(nixfleet_lock_hash(NULL, 0, &hash), NULL_POINTER);
  expect(nixfleet_lock_hash(NULL, 9, &hash), NULL_POINTER);
  expect(nixfleet_lock_hash(U8("x"), NULL), NULL_POINTER);
  expect(nixfleet_hasher_new(NULL), NULL_POINTER);
  expect(nixfleet_hasher_update(1, NULL, 0), NULL_POINTER);
  expect(nixfleet_hasher_digest(1, NULL), NULL_POINTER);
  expect(nixfleet_lock_read(NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_lock_read(U8(LOCK), NULL), NULL_POINTER);
  expect(nixfleet_lock_diff(NULL, 0, U8(LOCK), &out), NULL_POINTER);
  expect(nixfleet_lock_diff(U8(LOCK), NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_lock_diff(U8(LOCK), U8(LOCK), NULL), NULL_POINTER);
  expect(nixfleet_assess(NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_assess(U8("{}"), NULL), NULL_POINTER);
  expect(nixfleet_assess_many(NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_assess_many(U8("[]"), NULL), NULL_POINTER);
  expect(nixfleet_explain(NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_explain(U8("{}"), NULL), NULL_POINTER);
  expect(nixfleet_situation(NULL, 0, U8("{}"), NULL, 0, NULL, 0, NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_situation(U8(LOCK), NULL, 0, NULL, 0, NULL, 0, NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_situation(U8(LOCK), U8("{}"), NULL, 1, NULL, 0, NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_situation(U8(LOCK), U8("{}"), NULL, 0, NULL, 1, NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_situation(U8(LOCK), U8("{}"), NULL, 0, NULL, 0, NULL, 1, &out), NULL_POINTER);
  expect(nixfleet_situation(U8(LOCK), U8("{}"), NULL, 0, NULL, 0, NULL, 0, NULL), NULL_POINTER);
  expect(nixfleet_admit(NULL, 0, U8("{}"), &out), NULL_POINTER);
  expect(nixfleet_admit(U8("{}"), NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_admit(U8("{}"), U8("{}"), NULL), NULL_POINTER);
  expect(nixfleet_rollout_plan(NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_rollout_plan(U8("{}"), NULL), NULL_POINTER);
  expect(nixfleet_rollout_simulate(NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_rollout_simulate(U8("{}"), NULL), NULL_POINTER);
  expect(nixfleet_message(NULL, 0, &out), NULL_POINTER);
  expect(nixfleet_message(U8("{}"), NULL), NULL_POINTER);
  expect(nixfleet_facts_read(NULL, 0, &facts), NULL_POINTER);
  expect(nixfleet_facts_read(U8("{}"), NULL), NULL_POINTER);
  expect(nixfleet_assess_facts(NULL, &statuses), NULL_POINTER);
  expect(nixfleet_assess_facts(&facts, NULL), NULL_POINTER);
  expect(nixfleet_assess_facts_many(NULL, 0, &statuses), NULL_POINTER);
  expect(nixfleet_assess_facts_many(&facts, 1, NULL), NULL_POINTER);
  expect(nixfleet_tables(NULL), NULL_POINTER);
  expect(nixfleet_tables_markdown(NULL), NULL_POINTER);
  expect(nixfleet_text_view(1, NULL, &len), NULL_POINTER);
  expect(nixfleet_text_view(1, &data, NULL), NULL_POINTER);
  expect(nixfleet_command_new(NULL, 0, 0, &out), NULL_POINTER);
  expect(nixfleet_command_new(U8(FACTS), 0, NULL), NULL_POINTER);
  expect(nixfleet_command_handle(1, NULL, 0, 0, &out), NULL_POINTER);
  expect(nixfleet_command_handle(1, U8("{}"), 0, NULL), NULL_POINTER);
  expect(nixfleet_command_handle_timeout(1, 0, NULL), NULL_POINTER);
  expect(nixfleet_command_poll_timeout(1, NULL), NULL_POINTER);
  assert(nixfleet_last_error_get(NULL) == NIXFLEET_STATUS_NULL_POINTER);
  assert(out == POISON && !data && len == 7 && hash[31] == 0x5a && statuses[4] == 0x5a);
}

static void wrong_handles(void) {
  const nixfleet_handle wrong[] = {0, 1, POISON, UINT64_MAX, UINT64_C(1) << 32};
  nixfleet_handle hasher, text, command, out = POISON;
  const char *data = NULL;
  size_t len = 7;
  uint8_t hash[32];
  nixfleet_deadline deadline = {7, false};
  expect(nixfleet_hasher_new(&hasher), OK);
  expect(nixfleet_tables_markdown(&text), OK);
  expect(nixfleet_command_new(U8(FACTS), 0, &command), OK);
  for (int round = 0; round < 2; round++) {
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong + 2; at++) {
      size_t known = sizeof wrong / sizeof *wrong;
      /* Foreign ones in the first round; all are stale in the second. */
      nixfleet_handle no_text = at < known ? wrong[at] : at == known ? hasher : command;
      nixfleet_handle no_hasher = at < known ? wrong[at] : at == known ? text : command;
      nixfleet_handle no_command = at < known ? wrong[at] : at == known ? text : hasher;
      expect(nixfleet_text_view(no_text, &data, &len), BAD_HANDLE);
      expect(nixfleet_text_free(no_text), BAD_HANDLE);
      expect(nixfleet_hasher_update(no_hasher, U8("x")), BAD_HANDLE);
      expect(nixfleet_hasher_digest(no_hasher, &hash), BAD_HANDLE);
      expect(nixfleet_hasher_free(no_hasher), BAD_HANDLE);
      expect(nixfleet_command_handle(no_command, U8("{\"event\": \"start\"}"), 0, &out), BAD_HANDLE);
      expect(nixfleet_command_handle_timeout(no_command, 0, &out), BAD_HANDLE);
      expect(nixfleet_command_poll_timeout(no_command, &deadline), BAD_HANDLE);
      expect(nixfleet_command_free(no_command), BAD_HANDLE);
    }
    if (round == 0) {
      expect(nixfleet_text_free(text), OK);
      expect(nixfleet_hasher_free(hasher), OK);
      expect(nixfleet_command_free(command), OK);
    }
    expect(nixfleet_text_free(text), BAD_HANDLE);
    expect(nixfleet_hasher_free(hasher), BAD_HANDLE);
    expect(nixfleet_command_free(command), BAD_HANDLE);
  }
  assert(out == POISON && !data && len == 7 && deadline.at == 7);
}

/* Every function that reads a text, by number. */
static nixfleet_status reads(int which, const uint8_t *text, size_t len, nixfleet_handle *out,
                             nixfleet_handle command) {
  nixfleet_facts facts;
  switch (which) {
    case 0: return nixfleet_assess(text, len, out);
    case 1: return nixfleet_assess_many(text, len, out);
    case 2: return nixfleet_explain(text, len, out);
    case 3: return nixfleet_message(text, len, out);
    case 4: return nixfleet_admit(text, len, U8("{}"), out);
    case 5: return nixfleet_admit(U8("{\"op\": \"test\"}"), text, len, out);
    case 6: return nixfleet_command_new(text, len, 0, out);
    case 7: return nixfleet_command_handle(command, text, len, 0, out);
    case 8: return nixfleet_facts_read(text, len, &facts);
    case 9: return nixfleet_lock_read(text, len, out);
    case 10: return nixfleet_lock_diff(text, len, U8(LOCK), out);
    case 11: return nixfleet_situation(text, len, U8("{}"), NULL, 0, NULL, 0, NULL, 0, out);
    case 12: return nixfleet_situation(U8(LOCK), text, len, NULL, 0, NULL, 0, NULL, 0, out);
    case 13: return nixfleet_situation(U8(LOCK), U8("{}"), text, len, NULL, 0, NULL, 0, out);
    case 14: return nixfleet_situation(U8(LOCK), U8("{}"), NULL, 0, text, len, NULL, 0, out);
    case 15: return nixfleet_rollout_plan(text, len, out);
    default: return nixfleet_rollout_simulate(text, len, out);
  }
}
#define READERS 17

static void malformed_input(void) {
  nixfleet_handle out, command;
  expect(nixfleet_command_new(U8(FACTS), INT64_MIN, &command), OK);
  static const char *const TEXTS[] = {
      "", " ", "{", "[", "nonsense", "\"", "\xff\xfe", "\xc3", "nul\0l", "[[[[[[[[", "-", "1e999999",
      "{\"op\": 7}", "{\"event\": \"none\"}", "{\"host\": []}", "{\"code\": \"no-such-code\"}",
      "{\"version\": 99999999999999999999}", "{\"gitCommit\": [1]}",
      "{\"hosts\": [{\"host\": 7}]}", "{\"hosts\": [{\"host\": \"a\"}, {\"host\": \"a\"}]}",
      "{\"ask\": {\"hosts\": {\"list\": [\"nobody\"]}}, \"start\": -9223372036854775808}",
  };
  for (int which = 0; which < READERS; which++) {
    for (size_t at = 0; at < sizeof TEXTS / sizeof *TEXTS; at++) {
      /* On the heap and without a NUL, so that reading beyond the end is noticed. */
      size_t len = at == 8 ? 5 : strlen(TEXTS[at]);
      uint8_t *text = malloc(len ? len : 1);
      memcpy(text, TEXTS[at], len);
      out = POISON;
      nixfleet_status status = reads(which, text, len, &out, command);
      free(text);
      calls++;
      if (status == NIXFLEET_STATUS_OK) {
        /* Some of them are good for some. */
        if (which != 8) expect(which == 6 ? nixfleet_command_free(out) : nixfleet_text_free(out), OK);
        continue;
      }
      assert(out == POISON && status != NIXFLEET_STATUS_INTERNAL && *nixfleet_last_error_text());
    }
  }
  expect(nixfleet_assess(U8("\xff"), &out), NOT_UTF8);
  expect(nixfleet_assess(U8("{"), &out), MALFORMED);
  expect(nixfleet_assess(U8("{\"host\": {\"repo\": {\"commit\": \"main\"}}}"), &out), INVALID);
  expect(nixfleet_lock_read(U8("{\"version\": 4}"), &out), NOT_A_LOCK);
  expect(nixfleet_command_new(U8("{\"command_id\": \"01939b0a-7c1e-7000-8000-000000000001\","
                                 "\"request\": {\"op\": \"switch\", \"permitted\": false}}"),
                              0, &out), REFUSED);
  expect(nixfleet_command_free(command), OK);
  expect(nixfleet_rollout_plan(U8("{\"hosts\": [{\"host\": 7}]}"), &out), MALFORMED);
  expect(nixfleet_rollout_plan(U8("{\"hosts\": [{\"host\": \"a\"}, {\"host\": \"a\"}]}"), &out), INVALID);
  expect(nixfleet_rollout_simulate(U8("{}"), &out), REFUSED);
}

static void huge_input(void) {
  nixfleet_handle out = POISON, hasher;
  uint8_t hash[32], again[32], statuses[2][5];
  const size_t large = ((size_t)64 << 20) + 1;
  uint8_t *text = malloc(large);
  assert(text);
  /* Nesting beyond every stack, the largest text, one byte more, lengths that cannot be. */
  memset(text, '[', large);
  for (int which = 0; which < READERS; which++) {
    nixfleet_status deep = reads(which, text, 1 << 20, &out, 0);
    nixfleet_status most = reads(which, text, which < 2 ? large - 1 : 1 << 20, &out, 0);
    nixfleet_status more = reads(which, text, large, &out, 0);
    nixfleet_status lie = reads(which, text, SIZE_MAX, &out, 0);
    assert(deep && most && out == POISON && *nixfleet_last_error_text());
    assert(more == NIXFLEET_STATUS_TOO_LARGE && lie == NIXFLEET_STATUS_TOO_LARGE);
    calls += 4;
  }
  expect(nixfleet_lock_hash(text, SIZE_MAX, &hash), TOO_LARGE);
  expect(nixfleet_lock_hash(text, large, &hash), OK);
  expect(nixfleet_hasher_new(&hasher), OK);
  expect(nixfleet_hasher_update(hasher, text, SIZE_MAX), TOO_LARGE);
  expect(nixfleet_hasher_update(hasher, text, large), OK);
  expect(nixfleet_hasher_digest(hasher, &again), OK);
  assert(memcmp(hash, again, sizeof hash) == 0);
  expect(nixfleet_hasher_free(hasher), OK);
  free(text);

  nixfleet_facts facts[2];
  for (size_t at = 0; at < sizeof facts; at++) {
    memset(facts, 0, sizeof facts);
    memset(statuses, 0x5a, sizeof statuses);
    ((uint8_t *)facts)[at] = 0xff;
    expect(nixfleet_assess_facts_many(facts, 2, statuses), INVALID);
    assert(statuses[0][0] == 0x5a && statuses[1][4] == 0x5a);
  }
  expect(nixfleet_assess_facts_many(facts, SIZE_MAX, statuses), TOO_LARGE);
  expect(nixfleet_assess_facts_many(facts, SIZE_MAX / 32, statuses), TOO_LARGE);
  expect(nixfleet_assess_facts_many(facts, 0, statuses), OK);
  memset(facts, 0, sizeof facts);
  expect(nixfleet_assess_facts_many(facts, 2, statuses), OK);
  assert(statuses[1][4] == NIXFLEET_DOT_OK);
}

/*
 * All orders of calls up to a length, from nothing: what each must answer follows from what is
 * alive. A longer order contains the shorter ones as its beginnings.
 */
enum { CALLS = 8, LONGEST = 6 };

static void order_of_simple_calls(unsigned long number) {
  nixfleet_handle hasher = 0, text = 0;
  bool hashing = false, reading = false;
  uint8_t hash[32];
  const char *data;
  size_t len;
  for (int step = 0; step < LONGEST; step++, number /= CALLS) {
    switch (number % CALLS) {
      case 0:
        if (hashing) expect(nixfleet_hasher_free(hasher), OK);
        expect(nixfleet_hasher_new(&hasher), OK);
        hashing = true;
        break;
      case 1: expect_at(__LINE__, nixfleet_hasher_update(hasher, U8("x")), hashing ? 0 : NIXFLEET_STATUS_BAD_HANDLE); break;
      case 2: expect_at(__LINE__, nixfleet_hasher_digest(hasher, &hash), hashing ? 0 : NIXFLEET_STATUS_BAD_HANDLE); break;
      case 3:
        expect_at(__LINE__, nixfleet_hasher_free(hasher), hashing ? 0 : NIXFLEET_STATUS_BAD_HANDLE);
        hashing = false;
        break;
      case 4:
        if (reading) expect(nixfleet_text_free(text), OK);
        expect(nixfleet_message(U8("{\"code\": \"reboot-required\"}"), &text), OK);
        reading = true;
        break;
      case 5:
        expect_at(__LINE__, nixfleet_text_view(text, &data, &len), reading ? 0 : NIXFLEET_STATUS_BAD_HANDLE);
        if (reading) assert(strlen(data) == len);
        break;
      case 6:
        expect_at(__LINE__, nixfleet_text_free(text), reading ? 0 : NIXFLEET_STATUS_BAD_HANDLE);
        reading = false;
        break;
      default: expect(nixfleet_hasher_free(text), BAD_HANDLE); break;
    }
  }
  if (hashing) expect(nixfleet_hasher_free(hasher), OK);
  if (reading) expect(nixfleet_text_free(text), OK);
}

static void order_of_command_calls(unsigned long number) {
  static const char *const EVENTS[] = {
      "{\"event\": \"start\"}", "{\"event\": \"validate\", \"seq\": 1}", "{\"event\": \"disconnect\"}",
      "{\"event\": \"nonsense\"}", "{\"event\": \"cancel\", \"how\": \"cancelled\"}",
  };
  nixfleet_handle command = 0, text = 0;
  nixfleet_deadline deadline;
  bool alive = false;
  for (int step = 0; step < LONGEST; step++, number /= CALLS) {
    unsigned long call = number % CALLS;
    nixfleet_status fits = alive ? NIXFLEET_STATUS_OK : NIXFLEET_STATUS_BAD_HANDLE;
    if (call < 5) {
      nixfleet_status status = nixfleet_command_handle(command, (const uint8_t *)EVENTS[call],
                                                       strlen(EVENTS[call]), 1000 * step, &text);
      expect_at(__LINE__, status, call == 3 ? NIXFLEET_STATUS_MALFORMED : fits);
      if (status == NIXFLEET_STATUS_OK) expect(nixfleet_text_free(text), OK);
    } else if (call == 5) {
      if (alive) expect(nixfleet_command_free(command), OK);
      expect(nixfleet_command_new(U8(FACTS), 0, &command), OK);
      alive = true;
    } else if (call == 6) {
      expect_at(__LINE__, nixfleet_command_poll_timeout(command, &deadline), fits);
      if (alive) {
        expect(nixfleet_command_handle_timeout(command, deadline.armed ? deadline.at : 0, &text), OK);
        expect(nixfleet_text_free(text), OK);
      }
    } else {
      expect_at(__LINE__, nixfleet_command_free(command), fits);
      alive = false;
    }
  }
  if (alive) expect(nixfleet_command_free(command), OK);
}

static void too_many_handles(void) {
  const size_t most = 1 << 20;
  nixfleet_handle *all = malloc(most * sizeof *all), one = POISON;
  assert(all);
  for (size_t at = 0; at < most; at++) assert(nixfleet_hasher_new(&all[at]) == NIXFLEET_STATUS_OK);
  expect(nixfleet_hasher_new(&one), TOO_MANY_HANDLES);
  expect(nixfleet_tables(&one), TOO_MANY_HANDLES);
  assert(one == POISON);
  for (size_t at = 0; at < most; at++) assert(nixfleet_hasher_free(all[at]) == NIXFLEET_STATUS_OK);
  expect(nixfleet_hasher_new(&one), OK);
  expect(nixfleet_hasher_free(one), OK);
  free(all);
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[1], "--spoil") == 0) {
    /* What the sanitizer is for: a caller that looks at a text it has freed. */
    nixfleet_handle text;
    const char *data;
    size_t len;
    expect(nixfleet_message(U8("{\"code\": \"reboot-required\"}"), &text), OK);
    expect(nixfleet_text_view(text, &data, &len), OK);
    expect(nixfleet_text_free(text), OK);
    return data[0] == 'x';
  }
  null_pointers();
  wrong_handles();
  malformed_input();
  huge_input();
  unsigned long orders = 1;
  for (int at = 0; at < LONGEST; at++) orders *= CALLS;
  for (unsigned long number = 0; number < orders; number++) order_of_simple_calls(number);
  for (unsigned long number = 0; number < orders; number++) order_of_command_calls(number);
  too_many_handles();
  printf("misuse: %lu calls, %lu orders of length %d of hashers and texts, as many of commands\n", calls,
         orders, LONGEST);
  return 0;
}
