/*
 * Prints the five dots of a host from files: its flake.lock, the version.json it should follow and,
 * if you have one, an observation of the host as JSON.
 *
 *   dots FLAKE_LOCK VERSION_JSON [OBSERVATION_JSON]
 *
 * The commit is asked of git in the folder of the lock. Without an observation nobody asked the host,
 * so agent, system and tests are gray. Exit codes: 0 the dots were printed, 1 a file cannot be read
 * or is not what it should be, 2 wrong use.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nixfleet.h>

static const char *const NAMES[] = {"agent", "git", "lock", "system", "tests"};
static const char *const COLOURS[] = {"gray", "green", "yellow", "red", "blue"};

struct bytes {
  uint8_t *data;
  size_t len;
};

static void give_up(const char *what, const char *why) {
  fprintf(stderr, "dots: %s: %s\n", what, why);
  exit(1);
}

/* Everything a stream has, up to 64 MiB. */
static struct bytes read_stream(FILE *stream, const char *name) {
  size_t room = 1 << 16;
  struct bytes bytes = {malloc(room), 0};
  while (bytes.data) {
    bytes.len += fread(bytes.data + bytes.len, 1, room - bytes.len, stream);
    if (ferror(stream)) give_up(name, strerror(errno));
    if (feof(stream)) return bytes;
    if (bytes.len == room) {
      room *= 2;
      if (room > (size_t)64 << 20) give_up(name, "larger than 64 MiB");
      uint8_t *more = realloc(bytes.data, room);
      if (!more) free(bytes.data);
      bytes.data = more;
    }
  }
  give_up(name, "not enough memory");
  return bytes;
}

static struct bytes read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) give_up(path, strerror(errno));
  struct bytes bytes = read_stream(file, path);
  fclose(file);
  return bytes;
}

/* The commit checked out in the folder of the lock; nothing if git cannot tell. */
static struct bytes checkout_beside(const char *lock) {
  struct bytes none = {NULL, 0};
  const char *slash = strrchr(lock, '/');
  char *folder = slash ? strdup(lock) : strdup(".");
  int ends[2];
  if (!folder || pipe(ends)) {
    free(folder);
    return none;
  }
  if (slash) folder[slash - lock + (slash == lock)] = '\0';
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execlp("git", "git", "-C", folder, "describe", "--always", "--abbrev=40", "--exclude=*",
           "--dirty", (char *)NULL);
    _exit(127);
  }
  close(ends[1]);
  free(folder);
  FILE *stream = fdopen(ends[0], "r");
  struct bytes told = stream ? read_stream(stream, "git") : none;
  if (stream) fclose(stream);
  int status = 1;
  if (child > 0) waitpid(child, &status, 0);
  while (told.len && told.data[told.len - 1] == '\n') told.len--;
  if (status == 0 && told.len) return told;
  free(told.data);
  fprintf(stderr, "dots: git knows no commit beside %s, so git and lock cannot be judged\n", lock);
  return none;
}

static void check(nixfleet_status status) {
  if (status != NIXFLEET_STATUS_OK) give_up("cannot judge", nixfleet_last_error_text());
}

int main(int count, char **arguments) {
  if (count < 3 || count > 4) {
    fprintf(stderr, "usage: dots FLAKE_LOCK VERSION_JSON [OBSERVATION_JSON]\n");
    return 2;
  }
  struct bytes lock = read_file(arguments[1]), version = read_file(arguments[2]);
  struct bytes observation = {NULL, 0}, checkout = checkout_beside(arguments[1]);
  if (count == 4) observation = read_file(arguments[3]);

  nixfleet_handle situation;
  const char *json;
  size_t len;
  nixfleet_facts facts;
  uint8_t dots[5];
  check(nixfleet_situation(lock.data, lock.len, version.data, version.len, checkout.data,
                           checkout.len, observation.data, observation.len, NULL, 0, &situation));
  check(nixfleet_text_view(situation, &json, &len));
  check(nixfleet_facts_read((const uint8_t *)json, len, &facts));
  check(nixfleet_assess_facts(&facts, &dots));
  check(nixfleet_text_free(situation));

  for (int at = 0; at < 5; at++) {
    int asked = observation.data || at == 1 || at == 2;
    printf("%s %s\n", NAMES[at], COLOURS[asked ? dots[at] : NIXFLEET_DOT_UNKNOWN]);
  }
  free(lock.data);
  free(version.data);
  free(checkout.data);
  free(observation.data);
  return 0;
}
