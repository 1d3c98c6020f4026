/*
 * Several threads do what the header allows: everything at the same time, also with the same handles.
 * Arguments: how often; and as a control for ThreadSanitizer, --race.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nixfleet.h>

#undef NDEBUG
#include <assert.h>

#define U8(text) ((const uint8_t *)(text)), sizeof(text) - 1
#define THREADS 4

static nixfleet_handle hasher, command, texts[THREADS];
static long rounds, unguarded;
static int race;

static const char FLEET[] =
    "{\"hosts\": [{\"host\": \"a\"}], \"desired\": {\"commit\": "
    "\"cccccccccccccccccccccccccccccccccccccccc\", \"lock\": "
    "\"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\"}}";

static void *work(void *argument) {
  const int self = *(const int *)argument;
  for (long round = 0; round < rounds; round++) {
    if (race) unguarded++;
    nixfleet_handle text, own;
    nixfleet_deadline deadline;
    nixfleet_facts facts;
    uint8_t hash[32], dots[1][5];
    const char *data;
    size_t len;
    /* The same objects as the other threads. */
    assert(nixfleet_hasher_update(hasher, U8("x")) == NIXFLEET_STATUS_OK);
    assert(nixfleet_hasher_digest(hasher, &hash) == NIXFLEET_STATUS_OK);
    assert(nixfleet_command_poll_timeout(command, &deadline) == NIXFLEET_STATUS_OK);
    assert(nixfleet_command_handle(command, U8("{\"event\": \"start\"}"), round, &text) ==
           NIXFLEET_STATUS_OK);
    assert(nixfleet_text_free(text) == NIXFLEET_STATUS_OK);
    /* Objects of its own, whose places in the table go from thread to thread. */
    assert(nixfleet_hasher_new(&own) == NIXFLEET_STATUS_OK);
    assert(nixfleet_hasher_update(own, U8("abc")) == NIXFLEET_STATUS_OK);
    assert(nixfleet_hasher_digest(own, &hash) == NIXFLEET_STATUS_OK);
    assert(hash[0] == 0xba && hash[31] == 0xad);
    assert(nixfleet_hasher_free(own) == NIXFLEET_STATUS_OK);
    assert(nixfleet_facts_read(U8("{}"), &facts) == NIXFLEET_STATUS_OK);
    assert(nixfleet_assess_facts_many(&facts, 1, dots) == NIXFLEET_STATUS_OK);
    if (round % 16 == 0) {
      assert(nixfleet_rollout_simulate(U8(FLEET), &text) == NIXFLEET_STATUS_OK);
      assert(nixfleet_text_free(text) == NIXFLEET_STATUS_OK);
    }
    /* All want to free the same text: one may. */
    nixfleet_status freed = nixfleet_text_free(texts[round % THREADS]);
    assert(freed == NIXFLEET_STATUS_OK || freed == NIXFLEET_STATUS_BAD_HANDLE);
    /* The last error is that of this thread. */
    char name[16];
    int length = snprintf(name, sizeof name, "{\"version\": %d}", self + 1);
    assert(nixfleet_lock_read((const uint8_t *)name, (size_t)length, &text) ==
           NIXFLEET_STATUS_NOT_A_LOCK);
    data = nixfleet_last_error_text();
    len = strlen(data);
    assert(data[len - 1] == '1' + self);
  }
  return NULL;
}

int main(int count, char **arguments) {
  rounds = count > 1 ? strtol(arguments[1], NULL, 10) : 100;
  race = count > 2 && strcmp(arguments[2], "--race") == 0;
  static const char FACTS[] =
      "{\"command_id\": \"01939b0a-7c1e-7000-8000-000000000001\", \"request\": {\"op\": \"test\"}}";
  assert(nixfleet_hasher_new(&hasher) == NIXFLEET_STATUS_OK);
  assert(nixfleet_command_new(U8(FACTS), 0, &command) == NIXFLEET_STATUS_OK);
  pthread_t threads[THREADS];
  int numbers[THREADS];
  for (int at = 0; at < THREADS; at++)
    assert(nixfleet_message(U8("{\"code\": \"quarantined\"}"), &texts[at]) == NIXFLEET_STATUS_OK);
  for (int at = 0; at < THREADS; at++) {
    numbers[at] = at;
    assert(pthread_create(&threads[at], NULL, work, &numbers[at]) == 0);
  }
  for (int at = 0; at < THREADS; at++) assert(pthread_join(threads[at], NULL) == 0);
  /* Every update was taken in, none got lost. */
  uint8_t shared[32], alone[32];
  size_t len = (size_t)rounds * THREADS;
  uint8_t *all = malloc(len);
  memset(all, 'x', len);
  assert(nixfleet_hasher_digest(hasher, &shared) == NIXFLEET_STATUS_OK);
  assert(nixfleet_lock_hash(all, len, &alone) == NIXFLEET_STATUS_OK);
  assert(memcmp(shared, alone, sizeof shared) == 0);
  free(all);
  for (int at = 0; at < THREADS; at++)
    assert(nixfleet_text_free(texts[at]) == NIXFLEET_STATUS_BAD_HANDLE || rounds < THREADS);
  assert(nixfleet_hasher_free(hasher) == NIXFLEET_STATUS_OK);
  assert(nixfleet_command_free(command) == NIXFLEET_STATUS_OK);
  printf("threads: %d, %ld rounds each\n", THREADS, rounds);
  return 0;
}
