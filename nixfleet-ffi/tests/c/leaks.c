/* Makes one of everything a hundred times and frees it; with --lose it loses a block of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nixfleet.h>

#undef NDEBUG
#include <assert.h>

#define U8(text) ((const uint8_t *)(text)), sizeof(text) - 1

int main(int count, char **arguments) {
  static const char LOCK[] = "{\"version\": 7, \"root\": \"root\", \"nodes\": {\"root\": {}}}";
  static const char FLEET[] =
      "{\"hosts\": [{\"host\": \"a\"}, {\"host\": \"b\"}], \"desired\": {\"commit\": "
      "\"cccccccccccccccccccccccccccccccccccccccc\", \"lock\": "
      "\"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\"}}";
  static const char FACTS[] =
      "{\"command_id\": \"01939b0a-7c1e-7000-8000-000000000001\", \"request\": {\"op\": \"test\"}}";
  for (int round = 0; round < 100; round++) {
    nixfleet_handle text, hasher, command;
    uint8_t hash[32];
    assert(nixfleet_assess(U8("{}"), &text) == NIXFLEET_STATUS_OK);
    assert(nixfleet_text_free(text) == NIXFLEET_STATUS_OK);
    assert(nixfleet_lock_diff(U8(LOCK), U8("{}"), &text) == NIXFLEET_STATUS_NOT_A_LOCK);
    assert(nixfleet_lock_read(U8(LOCK), &text) == NIXFLEET_STATUS_OK);
    assert(nixfleet_text_free(text) == NIXFLEET_STATUS_OK);
    assert(nixfleet_rollout_simulate(U8(FLEET), &text) == NIXFLEET_STATUS_OK);
    assert(nixfleet_text_free(text) == NIXFLEET_STATUS_OK);
    assert(nixfleet_rollout_plan(U8("{}"), &text) == NIXFLEET_STATUS_REFUSED);
    assert(nixfleet_hasher_new(&hasher) == NIXFLEET_STATUS_OK);
    assert(nixfleet_hasher_update(hasher, U8(LOCK)) == NIXFLEET_STATUS_OK);
    assert(nixfleet_hasher_digest(hasher, &hash) == NIXFLEET_STATUS_OK);
    assert(nixfleet_hasher_free(hasher) == NIXFLEET_STATUS_OK);
    assert(nixfleet_command_new(U8(FACTS), 0, &command) == NIXFLEET_STATUS_OK);
    assert(nixfleet_command_handle(command, U8("{\"event\": \"start\"}"), 0, &text) ==
           NIXFLEET_STATUS_OK);
    assert(nixfleet_text_free(text) == NIXFLEET_STATUS_OK);
    assert(nixfleet_command_free(command) == NIXFLEET_STATUS_OK);
  }
  if (count > 1 && strcmp(arguments[1], "--lose") == 0) {
    void *volatile lost = malloc(64);
    lost = NULL;
    (void)lost;
  }
  puts("leaks: 100 rounds");
  return 0;
}
