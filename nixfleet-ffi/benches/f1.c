/* Goal F1: assessing 10,000 hosts by one call for each, beside one call for all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nixfleet.h>

enum { HOSTS = 10000, ROUNDS = 41 };

static nixfleet_facts facts[HOSTS];
static uint8_t one_by_one[HOSTS][5], at_once[HOSTS][5];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* 30 % behind, 3 % not heard of, 5 % failed. */
static void fill(void) {
  uint32_t random = 7;
  for (int at = 0; at < HOSTS; at++) {
    random = random * 1664525u + 1013904223u;
    uint32_t percent = (random >> 8) % 100;
    if (percent < 30) {
      facts[at].commit = NIXFLEET_COMMIT_BEHIND;
      facts[at].lock = NIXFLEET_LOCK_BEHIND;
    } else if (percent < 33) {
      facts[at].agent = NIXFLEET_AGENT_NOT_REPORTED;
      facts[at].commit = NIXFLEET_COMMIT_NOT_REPORTED;
      facts[at].lock = NIXFLEET_LOCK_NOT_REPORTED;
      facts[at].record = NIXFLEET_RECORD_NONE;
    } else if (percent < 38) {
      facts[at].outcome = NIXFLEET_OUTCOME_FAILED;
    }
  }
}

int main(void) {
  static double single[ROUNDS], batch[ROUNDS];
  fill();
  for (int round = -3; round < ROUNDS; round++) {
    double start = now();
    for (int at = 0; at < HOSTS; at++)
      if (nixfleet_assess_facts(&facts[at], &one_by_one[at]) != NIXFLEET_STATUS_OK) return 1;
    double middle = now();
    if (nixfleet_assess_facts_many(facts, HOSTS, at_once) != NIXFLEET_STATUS_OK) return 1;
    double end = now();
    if (memcmp(one_by_one, at_once, sizeof at_once) != 0) return 1;
    if (round < 0) continue;
    single[round] = (middle - start) / HOSTS;
    batch[round] = (end - middle) / HOSTS;
  }
  qsort(single, ROUNDS, sizeof *single, ascending);
  qsort(batch, ROUNDS, sizeof *batch, ascending);
  double least = single[0] / batch[0], median = single[ROUNDS / 2] / batch[ROUNDS / 2];
  double ratio = least > median ? least : median;
  printf("{\"id\": \"F1\", \"what\": \"10,000 single calls per host / one batch call per host\", "
         "\"unit\": \"ns\", \"value\": %.1f, \"ref\": %.1f, \"ratio\": %.3f, \"ratio_of_minima\": %.3f, "
         "\"rounds\": %d, \"gate\": 1.20, \"target\": 1.10, \"result\": \"%s\"}\n",
         single[ROUNDS / 2], batch[ROUNDS / 2], median, least, ROUNDS,
         ratio <= 1.10 ? "pass" : ratio <= 1.20 ? "pass (gate; target MISSED)" : "MISSED");
  return 0;
}
