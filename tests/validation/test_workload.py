"""The one description that both sides read: files, fields, suites, the sequence of requests."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from sim.errors import InputError
from sim.scenario import load as load_scenario
from sim.scenario.load_test import KINDS, LoadTest
from sim.validation.workload import Request, Requests, arrivals, new_key, old_key, read_loads, suite


def a_load(**fields: Any) -> LoadTest:
    return LoadTest.model_validate({"name": "w", **fields})


def written(tmp_path: Path, content: Any, name: str = "my-load.json") -> str:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_defaults_are_those_of_the_measurements() -> None:
    """Read in the program that made the first measurements."""
    assert a_load(clients=1).model_dump(exclude={"name"}) == {
        "members": 1, "clients": 1, "rate": None, "connections": 1, "target": "leader", "think_seconds": 0.0, "think": "fixed",
        "seconds": 12.0, "warmup_seconds": 2.0, "value_bytes": 256, "key_bytes": 32, "op": "put_new", "mix": None,
        "key_space": 1000, "preload": 0, "compact_every_seconds": None, "quota_bytes": None, "lease_ttl": None, "lease_count": 0,
        "lease_at_seconds": 1.0, "watchers": 0, "pause": None, "flags": (), "seed": 1, "generators": 1, "timeout_seconds": 10.0,
        "error_backoff_seconds": 0.1, "list_limit": 500, "note": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "clients: give one of clients and rate, and not both"),
        ({"clients": 1, "rate": 2}, "clients: give one of clients and rate, and not both"),
        ({"clients": 0}, 'clients: "0" is not allowed; it must be above zero'),
        ({"clients": "many"}, 'clients: "many" is not a whole number'),
        ({"rate": True}, 'rate: "true" is not a number'),
        ({"rate": -1}, 'rate: "-1" is not allowed'),
        ({"clients": 1, "members": 2}, 'members: "2" is not allowed; one of 1, 3'),
        ({"clients": 1, "op": "putt"}, 'op: "putt" is not allowed; one of put_new'),
        ({"clients": 1, "op": "mix"}, "mix: missing; op: mix needs it"),
        ({"clients": 1, "mix": {"get": 1}}, "mix: is only used with op: mix"),
        ({"clients": 1, "op": "mix", "mix": {"gett": 1}}, 'mix.gett: "gett" is not a kind of request; did you mean "get"?'),
        ({"clients": 1, "target": "follower"}, 'target: "follower" needs members: 3'),
        ({"clients": 1, "warmup_seconds": 12}, 'warmup_seconds: "12.0" is not allowed'),
        ({"clients": 1, "key_bytes": 5}, 'key_bytes: "5" is not allowed; at least 7'),
        ({"clients": 1, "flags": ["snapshot-count=5"]}, 'flags: "snapshot-count=5" is not a flag; write --name=value'),
        ({"clients": 1, "flags": ["--data-dir=x"]}, 'flags: "--data-dir=x" is not allowed'),
        ({"clients": 1, "flags": "--x"}, 'flags: "--x" is not a list'),
        ({"clients": 1, "lease_count": 5}, "lease_ttl: missing; lease_count needs it"),
        ({"clients": 1, "pause": {"who": "me", "at_seconds": 1, "for_seconds": 1}}, 'pause.who: "me" is not allowed'),
        ({"clients": 1, "pause": {"who": "leader", "at_seconds": 1}}, "pause.for_seconds: missing; it is required"),
        ({"clients": 1, "pause": {"who": "follower", "at_seconds": 1, "for_seconds": 1}}, 'pause.who: "follower" needs members: 3'),
        ({"clients": 1, "secnds": 3}, 'secnds: unknown key; did you mean "seconds"?'),
        ({"clients": 1, "name": "a b"}, 'name: "a b" is not a name'),
    ],
)
def test_a_wrong_file_is_refused_by_field(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = written(tmp_path, fields)
    with pytest.raises(InputError) as refusal:
        read_loads(path)
    assert str(refusal.value).startswith(f"{path}: {said}")
    assert "\n" not in str(refusal.value)


def test_a_file_is_a_load_called_as_the_file(tmp_path: Path) -> None:
    found = read_loads(written(tmp_path, {"clients": 3, "rate": None}))
    assert list(found) == ["my-load"]
    assert found["my-load"].clients == 3
    assert read_loads(written(tmp_path, "{rate: 2.5e2, name: fast}", "x.yaml"))["fast"].rate == 250


def test_several_loads_and_those_of_a_scenario(tmp_path: Path) -> None:
    many = read_loads(written(tmp_path, {"validate": {"a": {"clients": 1}, "b": {"rate": 5}}}))
    assert [load.name for load in many.values()] == ["a", "b"]
    with pytest.raises(InputError, match=r"validate\.a: clients: give one"):
        read_loads(written(tmp_path, {"validate": {"a": {}}}))
    scenario = written(tmp_path, "{extends: zero-value-leak-small, validate: {mine: {clients: 2, value_bytes: 600}}}", "s.yaml")
    assert read_loads(scenario)["mine"].value_bytes == 600
    assert load_scenario(scenario).validation["mine"].clients == 2
    with pytest.raises(InputError, match=r"validate\.mine\.clients"):
        load_scenario(written(tmp_path, "{extends: zero-value-leak-small, validate: {mine: {clients: no}}}", "s.yaml"))


def test_suites_come_with_the_package() -> None:
    """Everything that a validation is to show is in the full one; the probes are nobody's held-out load."""
    probes, quick, full = suite("probe"), suite("quick"), suite("full")
    assert 10 <= len(probes) + len(quick) <= 17
    shapes = [load.model_dump(exclude={"name", "seconds", "warmup_seconds"}) for load in probes.values()]
    for load in (*quick.values(), *full.values()):
        assert load.model_dump(exclude={"name", "seconds", "warmup_seconds"}) not in shapes
    loads = list(full.values())
    assert {kind for load in loads for kind in load.shares} >= set(KINDS) - {"get_serializable"}
    assert min(load.clients for load in loads if load.clients) == 1
    assert max(load.clients for load in loads if load.clients) == 500
    assert {load.value_bytes for load in loads} >= {64, 65_536}
    assert {load.preload for load in loads if load.compact_every_seconds} >= {100_000, 600_000}
    assert {load.pause.who for load in loads if load.pause} == {"leader", "follower"}
    assert {load.target for load in loads} == {"leader", "all", "follower"}
    for wanted in ("rate", "think_seconds", "quota_bytes", "lease_count", "watchers"):
        assert any(getattr(load, wanted) for load in loads), wanted
    assert read_loads("c8-256b")["c8-256b"] == quick["c8-256b"]
    with pytest.raises(InputError, match=r'"c8-256c" is not a workload of a suite; did you mean "c8-256b"\?'):
        read_loads("c8-256c")


def test_arrivals_are_a_poisson_process_and_the_same_every_time() -> None:
    load = a_load(rate=1000, seconds=10)
    first = arrivals(load, 3)
    assert first == arrivals(load, 3) != arrivals(load, 4)
    assert first == sorted(first)
    assert len(first) == pytest.approx(10_000, rel=0.05)
    assert 0 < first[0] < first[-1] < 10**10
    both = arrivals(load, 3, 0, 2), arrivals(load, 3, 1, 2)
    assert len(both[0]) + len(both[1]) == pytest.approx(10_000, rel=0.05)
    assert both[0] != both[1]


def test_keys_have_their_length() -> None:
    load = a_load(clients=1, key_bytes=40)
    for key in (new_key, old_key):
        assert {len(key(load, number)) for number in (0, 9, 123_456, 10**9)} == {40}
    assert new_key(load, 1) != old_key(load, 1)


def test_kinds_come_in_their_shares_and_deletes_take_the_oldest_new_key() -> None:
    load = a_load(rate=1, op="mix", mix={"put_new": 3, "delete": 1, "get": 1}, key_space=7)
    found = list(islice(Requests(load, 1), 5000))
    counts = {kind: sum(request.kind == kind for request in found) for kind in load.shares}
    assert counts["put_new"] == pytest.approx(3000, rel=0.05)
    assert counts["delete"] == pytest.approx(1000, rel=0.1)
    assert [request.key for request in found if request.kind == "put_new"] == list(range(counts["put_new"]))
    deleted = [request.key for request in found if request.kind == "delete" and request.new]
    assert deleted == list(range(len(deleted)))
    assert {request.key for request in found if request.kind == "get"} == set(range(7))
    assert found == list(islice(Requests(load, 1), 5000)) != list(islice(Requests(load, 2), 5000))


def test_several_generators_never_share_a_new_key() -> None:
    load = a_load(clients=2, generators=2)
    keys = [request.key for index in (0, 1) for request in islice(Requests(load, 1, index, 2), 50)]
    assert sorted(keys) == list(range(100))
    assert next(Requests(load, 1, 1, 2)) == Request("put_new", 1, True)
