/* Answers questions about the rules through the C interface; see tests/it/surface.rs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nixfleet.h>

#define MAX_ARGUMENTS 4

static char *arguments[MAX_ARGUMENTS];
static size_t lengths[MAX_ARGUMENTS];
static nixfleet_handle command;

static void answer(nixfleet_status status, const void *data, size_t len) {
  printf("%d %zu\n", (int)status, len);
  fwrite(data, 1, len, stdout);
  fflush(stdout);
}

static void fail(nixfleet_status status) {
  nixfleet_last_error error;
  if (nixfleet_last_error_get(&error) != NIXFLEET_STATUS_OK || error.status != status) abort();
  size_t code = strlen(error.code) + 1, place = strlen(error.place) + 1, text = strlen(error.text) + 1;
  char *all = malloc(code + place + text);
  memcpy(all, error.code, code);
  memcpy(all + code, error.place, place);
  memcpy(all + code + place, error.text, text);
  answer(status, all, code + place + text);
  free(all);
}

/* The text is freed; whoever made it made it for this. */
static void answer_text(nixfleet_status status, nixfleet_handle text) {
  const char *data;
  size_t len;
  if (status != NIXFLEET_STATUS_OK) {
    fail(status);
    return;
  }
  if (nixfleet_text_view(text, &data, &len) != NIXFLEET_STATUS_OK || data[len] != '\0') abort();
  answer(status, data, len);
  if (nixfleet_text_free(text) != NIXFLEET_STATUS_OK) abort();
}

static void answer_bytes(nixfleet_status status, const void *data, size_t len) {
  if (status != NIXFLEET_STATUS_OK)
    fail(status);
  else
    answer(status, data, len);
}

static const uint8_t *bytes(int at) { return (const uint8_t *)arguments[at]; }

static nixfleet_status hash_in_pieces(uint8_t (*hash)[32]) {
  nixfleet_handle hasher;
  nixfleet_status status = nixfleet_hasher_new(&hasher);
  if (status != NIXFLEET_STATUS_OK) return status;
  for (size_t at = 0; at < lengths[0] && status == NIXFLEET_STATUS_OK; at += 61) {
    size_t rest = lengths[0] - at;
    status = nixfleet_hasher_update(hasher, bytes(0) + at, rest < 61 ? rest : 61);
  }
  if (status == NIXFLEET_STATUS_OK) status = nixfleet_hasher_digest(hasher, hash);
  if (nixfleet_hasher_free(hasher) != NIXFLEET_STATUS_OK) abort();
  return status;
}

static void ask(char letter) {
  nixfleet_handle text = 0;
  nixfleet_status status;
  uint8_t hash[32], statuses[1][5];
  nixfleet_facts facts;
  nixfleet_deadline deadline;
  char number[32];
  switch (letter) {
    case 'h':
      status = nixfleet_lock_hash(bytes(0), lengths[0], &hash);
      answer_bytes(status, hash, sizeof hash);
      break;
    case 'i':
      status = hash_in_pieces(&hash);
      answer_bytes(status, hash, sizeof hash);
      break;
    case 'r':
      status = nixfleet_lock_read(bytes(0), lengths[0], &text);
      answer_text(status, text);
      break;
    case 'd':
      status = nixfleet_lock_diff(bytes(0), lengths[0], bytes(1), lengths[1], &text);
      answer_text(status, text);
      break;
    case 'a':
      status = nixfleet_assess(bytes(0), lengths[0], &text);
      answer_text(status, text);
      break;
    case 'm':
      status = nixfleet_assess_many(bytes(0), lengths[0], &text);
      answer_text(status, text);
      break;
    case 'e':
      status = nixfleet_explain(bytes(0), lengths[0], &text);
      answer_text(status, text);
      break;
    case 'f':
      status = nixfleet_facts_read(bytes(0), lengths[0], &facts);
      if (status == NIXFLEET_STATUS_OK) status = nixfleet_assess_facts_many(&facts, 1, statuses);
      answer_bytes(status, statuses, sizeof statuses);
      break;
    case 'x':
      status = nixfleet_admit(bytes(0), lengths[0], bytes(1), lengths[1], &text);
      answer_text(status, text);
      break;
    case 'o':
      status = nixfleet_rollout_plan(bytes(0), lengths[0], &text);
      answer_text(status, text);
      break;
    case 's':
      status = nixfleet_rollout_simulate(bytes(0), lengths[0], &text);
      answer_text(status, text);
      break;
    case 'n':
      status = nixfleet_command_new(bytes(0), lengths[0], strtoll(arguments[1], NULL, 10), &command);
      answer_bytes(status, "", 0);
      break;
    case 'v':
      status = nixfleet_command_handle(command, bytes(0), lengths[0],
                                       strtoll(arguments[1], NULL, 10), &text);
      answer_text(status, text);
      break;
    case 't':
      status = nixfleet_command_handle_timeout(command, strtoll(arguments[0], NULL, 10), &text);
      answer_text(status, text);
      break;
    case 'p':
      status = nixfleet_command_poll_timeout(command, &deadline);
      if (status == NIXFLEET_STATUS_OK && deadline.armed)
        answer_bytes(status, number, (size_t)sprintf(number, "%" PRId64, deadline.at));
      else
        answer_bytes(status, "", 0);
      break;
    case 'z':
      status = nixfleet_command_free(command);
      answer_bytes(status, "", 0);
      break;
    default:
      abort();
  }
}

int main(void) {
  char line[256];
  if (nixfleet_abi_version() >> 16 != NIXFLEET_ABI_VERSION >> 16) return 2;
  while (fgets(line, sizeof line, stdin)) {
    int count = 0;
    for (char *word = strtok(line + 1, " \n"); word; word = strtok(NULL, " \n")) {
      if (count == MAX_ARGUMENTS) return 2;
      lengths[count] = strtoul(word, NULL, 10);
      arguments[count] = malloc(lengths[count] + 1);
      count++;
    }
    for (int at = 0; at < count; at++) {
      if (fread(arguments[at], 1, lengths[at], stdin) != lengths[at]) return 2;
      arguments[at][lengths[at]] = '\0';
    }
    ask(line[0]);
    while (count > 0) free(arguments[--count]);
  }
  return 0;
}
