"""Golden traces that are none, or that are not understood: refused with file, line and what is allowed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sim.conform.replay import replay
from sim.errors import InputError

HEADER: dict[str, Any] = {
    "format": 1, "mechanism": "workqueue.queue", "library": "k8s.io/client-go", "version": "v0.34.1", "seed": 1,
    "config": {}, "made_by": "by hand",
}  # fmt: skip
ADD = {"at": 0, "op": "add", "args": ["a"], "out": {"len": 1}}


def write(folder: Path, *lines: object) -> Path:
    path = folder / "t.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_an_identical_trace(tmp_path: Path) -> None:
    get = {"op": "get", "out": {"shutdown": False, "key": "a", "len": 0}, "at": 5, "args": []}
    assert replay(write(tmp_path, HEADER, ADD, get)) is None


def test_the_first_difference_says_where_and_what(tmp_path: Path) -> None:
    wrong = {"at": 7, "op": "get", "args": [], "out": {"key": "b", "shutdown": False, "len": 0}}
    path = write(tmp_path, HEADER, ADD, wrong, wrong)
    difference = replay(path)
    assert str(difference) == f'{path}:3: at 7 ns get: key is "b" there, "a" here'


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], ":1: empty"),
        (["{"], ":1: not JSON"),
        (["[1]"], ":1: [1] is not a JSON object"),
        ([HEADER | {"format": 2}], ":1: format is 2; allowed: 1"),
        ([{"format": 1}], ':1: header without "mechanism"'),
        ([HEADER | {"mechanism": "workqueue.quue"}], 'did you mean "workqueue.queue"?'),
        ([HEADER | {"mechanism": ["workqueue.queue"]}], ":1: mechanism is"),
        ([HEADER | {"version": "v9.1.0"}], "allowed for k8s.io/client-go: v0.28 to v0.37"),
        ([HEADER | {"version": None}], "allowed for k8s.io/client-go"),
        ([HEADER | {"library": "example.com/queue"}], ":1: library is"),
        ([HEADER | {"config": [1]}], ":1: config is [1]; it must be an object"),
        ([HEADER | {"config": {"limiter": {}}}], 'unknown setting "limiter"; allowed: none'),
        ([HEADER, "nonsense"], ":2: not JSON"),
        ([HEADER, ADD, ADD | {"op": "ad"}], ':3: workqueue.queue has no op "ad"; allowed: add, advance'),
        ([HEADER, ADD | {"op": "add_after", "args": ["a", 1]}], 'has no op "add_after"'),
        ([HEADER, ADD | {"args": []}], ":2: add: takes 1 arguments, not 0"),
        ([HEADER, ADD | {"args": [1]}], ":2: add: 1 is not a text"),
        ([HEADER, ADD | {"args": "a"}], 'args is "a"; it must be a list'),
        ([HEADER, ADD | {"out": 3}], "out is 3; it must be an object"),
        ([HEADER, ADD | {"out": {"length": 1}}], 'add does not answer "length"; allowed in out: len'),
        ([HEADER, ADD, {"at": 0, "op": "get", "args": [], "out": {"len": 0}}], 'get without "key" in out'),
        ([HEADER], ":1: a header without a call proves nothing"),
        ([HEADER, ADD | {"at": -1}], ":2: at is -1"),
        ([HEADER, ADD | {"at": 1.5}], ":2: at is 1.5"),
        ([HEADER, ADD | {"at": 10**400}], "it must be whole nanoseconds, 0 to 2^63 - 1"),
        ([HEADER, ADD | {"at": 9}, ADD], ":3: at is 0, before the line above (9)"),
        ([HEADER, ADD | {"why": 1}], 'unknown field "why"'),
    ],
)
def test_refused(tmp_path: Path, lines: list[object], says: str) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(InputError) as refused:
        replay(path)
    assert str(refused.value).startswith(f"{path}:")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        replay(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("mechanism", "config", "says"),
    [
        ("limiter.exponential", {"base_ns": 1}, '"max_ns" is missing'),
        ("limiter.exponential", {"base_ns": "5ms", "max_ns": 1}, "'5ms' is not a whole number of 64 bits"),
        ("limiter.max_of", {"limiters": [{"kind": "linear"}]}, 'there is no limiter of kind "linear"; allowed: exponential'),
        ("limiter.max_of", {"limiters": [{"base_ns": 1, "max_ns": 2}]}, '"kind" is missing'),
        ("ratelimit.bucket", {"rate": "fast", "burst": 1}, "'fast' is neither a number nor \"inf\""),
        ("ratelimit.bucket", {"rate": 1, "burst": 1e300}, "is not a whole number of 64 bits"),
        ("wait.backoff", {"duration_ns": 1, "jitter": 1.0}, "jitter is drawn at random; allowed: 0"),
        ("cache.delta_fifo", {"known": [{"name": "a", "namespace": "b"}]}, 'unknown field "namespace"; allowed: ns, name'),
    ],
)
def test_refused_configs(tmp_path: Path, mechanism: str, config: dict[str, object], says: str) -> None:
    path = write(tmp_path, HEADER | {"mechanism": mechanism, "config": config})
    with pytest.raises(InputError) as refused:
        replay(path)
    assert f"{path}:1: config of {mechanism}: " in str(refused.value)
    assert says in str(refused.value)


def test_other_spellings_of_a_trace_replay_too(tmp_path: Path) -> None:
    """Made elsewhere: names as Go spells them, a flat list of objects, Go's zero key at shutdown, blank lines."""
    limiter = HEADER | {"mechanism": "limiter.exponential", "config": {"BaseDelay": 5e6, "max_delay_ns": 10**12}}
    when = {"at": 0, "op": "when", "args": ["a"], "out": {"delay_ns": 5000001}}  # within 1 ns
    assert replay(write(tmp_path, limiter, "", when)) is None
    store = HEADER | {"mechanism": "cache.store", "config": None}
    replace = {"at": 0, "op": "replace", "args": [{"name": "a"}, {"ns": "n", "name": "b", "rv": "7"}]}
    get = {"at": 0, "op": "get", "args": ["n/b"], "out": {"obj": {"ns": "n", "name": "b", "rv": "7"}}}
    assert replay(write(tmp_path, store, replace, get)) is None
    ended = {"at": 0, "op": "get", "args": [], "out": {"key": "", "shutdown": True, "len": 0}}
    assert replay(write(tmp_path, HEADER, {"at": 0, "op": "shut_down", "out": {"len": 0}}, ended)) is None


def test_either_order_of_known_keys_is_accepted(tmp_path: Path) -> None:
    """A real indexer lists its keys at random, so a recorder must have fixed an order: as given, or sorted."""
    config = {"known": [{"name": "b", "rv": "1"}, {"name": "a", "rv": "2"}], "emit_replaced": True}
    header = HEADER | {"mechanism": "cache.delta_fifo", "config": config}
    replace = {"at": 0, "op": "replace", "args": [[]], "out": {"len": 2}}
    for key, rv in (("a", "2"), ("b", "1")):
        pop = {"at": 0, "op": "pop", "args": [], "out": {"key": key, "deltas": [{"type": "Deleted", "rv": rv}], "len": 1}}
        assert replay(write(tmp_path, header, replace, pop)) is None


@pytest.mark.parametrize("wrapped", ["limiter", "inner", "limiters"])
def test_what_a_wait_is_cut_of_may_have_any_of_three_names(tmp_path: Path, wrapped: str) -> None:
    bucket: object = {"kind": "bucket", "rate": 10, "burst": 1}
    config = {wrapped: [bucket] if wrapped == "limiters" else bucket, "max_ns": 50_000_000}
    header = HEADER | {"mechanism": "limiter.with_max_wait", "config": config}
    calls = [{"at": 0, "op": "when", "args": ["a"], "out": {"delay_ns": delay}} for delay in (0, 50_000_000)]
    assert replay(write(tmp_path, header, *calls)) is None
    assert replay(write(tmp_path, header, *calls, calls[0])) is not None


def test_a_compressed_trace_replays_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, ADD)
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed)
    assert replay(path) is None
    for damaged in (packed[:-9], packed[:12] + b"?" + packed[13:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read as text"):
            replay(path)
