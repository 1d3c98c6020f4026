"""Goal F2: what a single call from Python costs, beside builtins. Needs the package, built in release.

The references run in turn with the calls, and the time is that of the processor in this thread, so
that others on the machine do not count. A line of JSON for each; "MISSED" where the gate is not met.
"""

import hashlib
import json
import statistics
import time
import timeit

import nixfleet
from nixfleet._native import lib

ROUNDS = 21


def compare(name, what, subject, reference, calls, gate, target):
    """Times both in turn and prints the line."""
    values, references = [], []
    for _ in range(ROUNDS):
        references.append(reference.timeit(calls) / calls * 1e9)
        values.append(subject.timeit(calls) / calls * 1e9)
    median = statistics.median(values) / statistics.median(references)
    least = min(values) / min(references)
    ratio = max(median, least)
    result = "pass" if ratio <= target else "pass (gate; target MISSED)"
    line = {
        "id": name,
        "what": what,
        "unit": "ns",
        "value": round(statistics.median(values), 1),
        "ref": round(statistics.median(references), 1),
        "ratio": round(median, 3),
        "ratio_of_minima": round(least, 3),
        "rounds": ROUNDS,
        "gate": gate,
        "target": target,
        "result": result if ratio <= gate else "MISSED",
    }
    print(json.dumps(line))


def main():
    facts, some = nixfleet.Facts(), [1, 2, 3]
    names = {"facts": facts, "some": some, "lib": lib, "f": facts._facts, "out": facts._out}
    names.update(hash=nixfleet.lock_hash, sha=hashlib.sha256, data=b"x" * 20_000)
    timer = lambda statement: timeit.Timer(statement, timer=time.thread_time, globals=names)  # noqa: E731
    compare(
        "F2",
        "single assess from facts (one call of C) / len(list)",
        timer("lib.nixfleet_assess_facts(f, out)"),
        timer("len(some)"),
        50_000,
        4.0,
        2.5,
    )
    compare(
        "F2",
        "single assess from facts (Facts.codes) / len(list)",
        timer("facts.codes()"),
        timer("len(some)"),
        50_000,
        4.0,
        2.5,
    )
    compare(
        "F2",
        "lock_hash(20 KB) / hashlib.sha256(20 KB).hexdigest()",
        timer("hash(data)"),
        timer("sha(data).hexdigest()"),
        1_000,
        1.10,
        1.03,
    )
    many = nixfleet.FactsArray([facts] * 10_000)
    calls, count = 20, len(many)
    each = min(timeit.repeat(many.assess, timer=time.thread_time, number=calls, repeat=ROUNDS)) / calls / count * 1e9
    print(json.dumps({"id": "F2", "what": "assess in a batch of 10,000, per host", "unit": "ns",
                      "value": round(each, 1), "gate": None, "result": "for information"}))


if __name__ == "__main__":
    main()
