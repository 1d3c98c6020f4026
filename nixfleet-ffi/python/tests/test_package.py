"""What the package promises beside the answers of the rules."""

import gc
import hashlib
import json
import pickle
import threading
import time
from enum import IntEnum

import nixfleet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nixfleet import codes
from nixfleet._native import ffi, lib

# Other work on the machine must not make a test fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
COMMIT = st.text("0123456789abcdef", min_size=40, max_size=40)
HASH = st.text("0123456789abcdef", min_size=64, max_size=64)


def test_the_numbers_are_those_of_the_header():
    compared = 0
    for name in [*codes.__all__, "Code"]:
        enum = getattr(codes, name, None) or nixfleet.Code
        assert issubclass(enum, IntEnum)
        prefix = {"Code": "STATUS"}.get(name) or _snake(name)
        names = [one for one in dir(lib) if one.startswith(f"NIXFLEET_{prefix}_")]
        names = [one for one in names if not _of_longer(prefix, one)]
        for member in enum:
            assert getattr(lib, f"NIXFLEET_{prefix}_{member.name}") == member
        assert len(names) == len(enum), name
        compared += len(enum)
    for code, status in enumerate(nixfleet.STATUSES):
        assert getattr(lib, f"NIXFLEET_DOT_{status.name}") == code
    assert compared > 60


def _of_longer(prefix, name):
    longer = [_snake(one) for one in codes.__all__ if _snake(one).startswith(f"{prefix}_")]
    return any(name.startswith(f"NIXFLEET_{one}_") for one in longer)


def _snake(name):
    return "".join("_" + one if one.isupper() and at else one for at, one in enumerate(name)).upper()


@given(st.binary(max_size=5000), st.integers(1, 100))
def test_hashes_are_those_of_hashlib(data, size):
    expected = hashlib.sha256(data).hexdigest()
    for kind in (bytes, bytearray, memoryview):
        assert nixfleet.lock_hash(kind(data)) == expected
    with nixfleet.LockHasher() as hasher:
        for at in range(0, len(data), size):
            hasher.update(data[at : at + size])
        assert hasher.hexdigest() == expected


@given(JSON)
def test_no_value_does_more_than_raise(value):
    text = json.dumps(value)
    for function in (nixfleet.assess, nixfleet.explain, nixfleet.message, nixfleet.Facts.read):
        try:
            function(text)
        except nixfleet.InputError as error:
            assert error.code and str(error)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_raise(data):
    with pytest.raises(nixfleet.LockError):
        nixfleet.parse_lock(data)
    for function in (nixfleet.assess, nixfleet.assess_many, nixfleet.explain):
        try:
            function(data)
        except nixfleet.InputError as error:
            assert error.status in (
                nixfleet.Code.NOT_UTF8,
                nixfleet.Code.MALFORMED,
                nixfleet.Code.INVALID,
            )


@given(st.dictionaries(st.sampled_from(nixfleet.facts.FIELDS), st.integers(0, 255)))
def test_facts_that_do_not_exist_are_named(values):
    facts = nixfleet.Facts(**values)
    assert facts.as_dict() == {name: values.get(name, 0) for name in nixfleet.facts.FIELDS}
    try:
        alone = facts.codes()
    except nixfleet.InputError as error:
        assert error.place in values and error.code == "out-of-range"
        with pytest.raises(nixfleet.InputError, match=r"facts\[1\]"):
            nixfleet.FactsArray([nixfleet.Facts(), facts]).assess()
    else:
        both = list(nixfleet.FactsArray([nixfleet.Facts(), facts]).codes())
        assert both == [b"\x01" * 5, alone]


@given(COMMIT, HASH, COMMIT, HASH)
def test_the_hot_call_says_what_the_report_says(commit, lock, other, other_lock):
    for host, host_lock in ((commit, lock), (other, lock), (commit, other_lock)):
        situation = {
            "host": {
                "agent_version": "4.0.0",
                "repo": {"commit": host, "dirty": False},
                "lock_hash": host_lock,
            },
            "desired": {"agent_version": "4.0.0", "commit": commit, "lock_hash": lock},
        }
        told = nixfleet.assess(situation)
        assert nixfleet.Facts.read(situation).statuses() == told.statuses
        assert (told["git"].status is nixfleet.Status.OK) == (host == commit)
        assert (told["lock"].status is nixfleet.Status.OK) == (host_lock == lock)


@settings(max_examples=20)
@given(st.lists(JSON, max_size=8))
def test_many_are_assessed_like_each_alone(values):
    many = nixfleet.assess_many(values)
    assert len(many) == len(values)
    for value, told in zip(values, many):
        try:
            assert nixfleet.assess(json.dumps(value)) == told
        except nixfleet.NixfleetError as error:
            assert (type(error), error.args, error.code) == (type(told), told.args, told.code)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), object()])
def test_what_json_has_no_word_for_raises(value):
    with pytest.raises((ValueError, TypeError)):
        nixfleet.assess_many([{}, {"host": value}])


def test_a_closed_object_raises_and_closing_twice_does_nothing():
    hasher = nixfleet.LockHasher()
    hasher.close()
    hasher.close()
    with pytest.raises(nixfleet.HandleError) as caught:
        hasher.update(b"late")
    assert caught.value.status is nixfleet.Code.BAD_HANDLE
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.code, str(again)) == (caught.value.code, str(caught.value))


def test_a_rule_that_says_no_is_an_exception_with_its_code():
    with pytest.raises(nixfleet.RefusedError) as caught:
        nixfleet.Command(
            {
                "command_id": "01939b0a-7c1e-7000-8000-000000000001",
                "request": {"op": "switch", "permitted": False},
            },
            now=0,
        )
    assert caught.value.code == "not-permitted"


HOSTS = st.lists(
    st.fixed_dictionaries(
        {"host": st.sampled_from("abcd"), "settings": st.fixed_dictionaries({"canary": st.booleans()})}
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one["host"],
)


@given(HOSTS, st.integers(1, 3), st.integers(0, 3600))
def test_a_simulation_follows_its_plan(hosts, flight, soak):
    facts = {
        "ask": {"policy": {"max_in_flight": {"count": flight}, "soak_seconds": soak}},
        "hosts": hosts,
        "desired": {"commit": "c" * 40, "lock": "d" * 64},
    }
    told = nixfleet.simulate_rollout(facts)
    assert told.plan == nixfleet.plan_rollout(facts)
    order = [host for wave in told.plan.waves for host in wave.hosts]
    assert sorted(order) == sorted(one["host"] for one in hosts)
    starts = [step for step in told.steps if step.event is nixfleet.RolloutEvent.STARTS]
    assert len(starts) == 3 * len(hosts)
    assert told.state is nixfleet.RolloutState.COMPLETE and told.complete
    assert set(told.hosts.values()) == {nixfleet.HostStage.DONE}
    canaries = {host for wave in told.plan.waves if wave.canary for host in wave.hosts}
    if canaries and soak:
        soaking = {one.host for one in told.waits if one.code is nixfleet.WaitCode.SOAKING}
        assert soaking == set(order) - canaries


@given(JSON)
def test_no_question_about_a_rollout_does_more_than_raise(value):
    for facts in (value, {"hosts": value}, {"ask": value}, {"ask": {"policy": value}}):
        for function in (nixfleet.plan_rollout, nixfleet.simulate_rollout):
            try:
                function(json.dumps(facts))
            except (nixfleet.InputError, nixfleet.RefusedError) as error:
                assert error.code and str(error)


def test_the_words_of_rollouts_are_those_of_the_library():
    tables = nixfleet.tables()["rollouts"]
    for enum, table, key in (
        (nixfleet.RolloutState, "states", "state"),
        (nixfleet.WaitCode, "waits", "code"),
        (nixfleet.SkipReason, "skips", "reason"),
    ):
        assert [one.value for one in enum] == [row[key] for row in tables[table]]


def test_errors_belong_to_their_thread():
    barrier = threading.Barrier(4)
    wrong = []

    def work(version):
        barrier.wait()
        for _ in range(200):
            try:
                nixfleet.parse_lock(b'{"version": %d}' % version)
            except nixfleet.LockError as error:
                if not str(error).endswith(f"found {version}"):
                    wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(version,)) for version in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def blocked_while(work):
    """How often another thread came to run while `work` was running once."""
    turns, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    while not turns[0]:
        time.sleep(0)
    before = turns[0]
    work()
    after = turns[0]
    stop.set()
    thread.join()
    return after - before


@pytest.mark.parametrize("name", ["hash", "hasher", "facts", "situations"])
def test_the_interpreter_is_free_while_the_library_works(name):
    data = bytes(64 << 20)
    many = nixfleet.FactsArray([nixfleet.Facts()] * 200_000)
    text = b"[" + b",".join([b"{}"] * 20_000) + b"]"
    out = ffi.new("nixfleet_handle *")
    hasher = nixfleet.LockHasher()
    works = {
        "hash": lambda: lib.nixfleet_lock_hash(data, len(data), ffi.new("uint8_t(*)[32]")),
        "hasher": lambda: hasher.update(data),
        "facts": many.assess,
        "situations": lambda: lib.nixfleet_assess_many(text, len(text), out),
    }
    # One call of C each: with the lock held, nobody else would run before it returns.
    assert blocked_while(works[name]) > 3
    if name == "situations":
        assert lib.nixfleet_text_free(out[0]) == 0


def test_nothing_is_left_behind():
    def handles():
        out = ffi.new("nixfleet_handle *")
        assert lib.nixfleet_hasher_new(out) == 0
        assert lib.nixfleet_hasher_free(out[0]) == 0
        return out[0] & 0xFFFFFF

    before = handles()
    for _ in range(100):
        nixfleet.assess({})
        nixfleet.LockHasher().update(b"x")
        with pytest.raises(nixfleet.InputError):
            nixfleet.assess("nonsense")
    gc.collect()
    # The same place of the table is free as before: nothing took it for good.
    assert handles() == before
