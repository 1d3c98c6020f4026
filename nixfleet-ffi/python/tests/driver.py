"""Answers questions about the rules through the package; see tests/it/surface.rs."""

import json
import sys

import nixfleet

command = None


def told(answer):
    return json.dumps(answer.raw, separators=(",", ":"), ensure_ascii=False).encode()


def many(text):
    raws = [one.raw for one in nixfleet.assess_many(json.loads(text))]
    return json.dumps(raws, separators=(",", ":"), ensure_ascii=False).encode()


def in_pieces(data):
    with nixfleet.LockHasher() as hasher:
        for at in range(0, len(data), 61):
            hasher.update(memoryview(data)[at : at + 61])
        return hasher.digest()


def begin(facts, now):
    global command
    command = nixfleet.Command(facts, int(now))
    return b""


def poll():
    due = command.poll_timeout()
    return b"" if due is None else str(due).encode()


def end():
    command.close()
    return b""


ANSWERS = {
    "h": lambda data: bytes.fromhex(nixfleet.lock_hash(data)),
    "i": in_pieces,
    "r": lambda data: told(nixfleet.parse_lock(data)),
    "d": lambda old, new: told(nixfleet.diff_locks(old, new)),
    "a": lambda situation: told(nixfleet.assess(situation)),
    "m": many,
    "e": lambda situation: told(nixfleet.explain(situation)),
    "f": lambda situation: nixfleet.Facts.read(situation).codes(),
    "x": lambda request, conditions: told(nixfleet.admit(request, conditions)),
    "o": lambda facts: told(nixfleet.plan_rollout(facts)),
    "s": lambda facts: told(nixfleet.simulate_rollout(facts)),
    "n": begin,
    "v": lambda event, now: told(command.handle(event, int(now))),
    "t": lambda now: told(command.handle_timeout(int(now))),
    "p": poll,
    "z": end,
}


def main():
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := questions.readline():
        letter, *lengths = line.decode().split()
        arguments = [questions.read(int(length)) for length in lengths]
        try:
            status, text = 0, ANSWERS[letter](*arguments)
        except nixfleet.NixfleetError as error:
            status = int(error.status)
            text = f"{error.code}\0{error.place}\0{error}\0".encode()
        answers.write(f"{status} {len(text)}\n".encode() + text)
        answers.flush()


if __name__ == "__main__":
    main()
