"""A run is a pure function of scenario, seed and version, and two variants meet the same world."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_process import COMMAND, OwnProcess

import sim
import sim.assembly
from sim.processes.churn import PodChurn
from sim.streams import Stream

# Calendars and times that are drawn, compactions, and a client limiter: everything that could come in another order.
SCENARIO = """
extends: zero-value-leak-small
horizon: 4m
etcd: {compaction: {every: 45s}}
objects: {event: {ttl: 1m}}
workloads: {pod-churn: {every: exp(3s)}}
controllers: {zero-pod-writer: {client: {qps: 20, burst: 5}, watches: {pods: {}}}}
"""

Made = tuple[dict[str, Any], dict[str, bytes]]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "mine.yaml"
    path.write_text(SCENARIO)
    return path


def made(scenario: Path, directory: Path, hash_seed: int | None, *options: str) -> Made:
    """What a process of its own prints and leaves behind: the object without wall_seconds, and every file.

    hash_seed: of a new interpreter; None where it has this one's.
    """
    arguments = ["run", str(scenario), "--json", "--out", str(directory), *options]
    if hash_seed is None:
        process = OwnProcess(*arguments)
        out, err = process.communicate()
        assert process.returncode == 0, err
    else:
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        command = [*COMMAND, *arguments]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    printed = json.loads(out)
    assert printed.pop("wall_seconds") > 0
    return printed, {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def first(scenario: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(scenario, tmp_path_factory.mktemp("out") / "first", 0, "--workers", "1")


def test_the_same_bytes_in_another_process(scenario: Path, first: Made, tmp_path: Path) -> None:
    """With another hash seed and another number of workers."""
    again = made(scenario, tmp_path / "again", 123_456, "--workers", "2")
    assert again[0] == first[0]
    assert sorted(again[1]) == sorted(first[1])
    assert [name for name in first[1] if again[1][name] != first[1][name]] == []
    assert {"summary.json", "scenario.yaml", "overview.png", "variants/leaking/series.parquet"} <= set(first[1])


@pytest.mark.parametrize("variant", ["leaking", "fixed"])
def test_a_variant_is_the_same_without_its_sibling(scenario: Path, first: Made, variant: str, tmp_path: Path) -> None:
    printed, files = made(scenario, tmp_path / "alone", None, "--variant", variant)
    assert printed["variants"] == {variant: first[0]["variants"][variant]}
    own = {name: content for name, content in first[1].items() if name.startswith(f"variants/{variant}/")}
    assert len(own) == 2
    assert {name: files[name] for name in own} == own
    assert not any(name.startswith("variants/") for name in files.keys() - own.keys())


def test_nothing_of_this_machine_or_this_moment_is_in_the_files(scenario: Path, first: Made) -> None:
    """Two runs on one machine cannot show it: where the files lie is not in them."""
    for name, content in first[1].items():
        assert str(scenario.parent).encode() not in content, name
        assert os.uname().nodename.encode() not in content or len(os.uname().nodename) < 4, name
    assert "wall_seconds" not in json.loads(first[1]["summary.json"])


def test_another_seed_is_another_world(scenario: Path, first: Made, tmp_path: Path) -> None:
    printed, files = made(scenario, tmp_path / "other", None, "--seed", "2")
    for variant, run in first[0]["variants"].items():
        other = printed["variants"][variant]["metrics"]
        assert run["metrics"].keys() == other.keys()
        for figure in ("etcd.puts", "etcd.apply_seconds.mean", "etcd.commit_seconds.mean", "watch.lag_seconds.mean"):
            assert run["metrics"][figure] != other[figure], (variant, figure)
        for name in ("series", "distributions"):
            path = f"variants/{variant}/{name}.parquet"
            assert files[path] != first[1][path], path


def test_an_api_call_makes_what_the_command_makes(scenario: Path, first: Made) -> None:
    """Also when something else was simulated before in the same process."""
    loaded = sim.load(scenario)
    sim.run(loaded, seed=5, horizon=10**10, workers=1)
    runs = sim.run(loaded, workers=1)
    document = json.loads(json.dumps(runs.to_json()))
    document.pop("wall_seconds")
    assert document == first[0]


# ---- common random numbers


def replacements(scenario: sim.Scenario, seed: int, until: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Which pod the world replaces when."""
    seen: list[tuple[int, str]] = []
    replace = PodChurn._replace

    def watched(self: PodChurn, old: Any) -> Any:
        seen.append((self._env._now, old.name))
        return replace(self, old)

    with monkeypatch.context() as patch:
        patch.setattr(PodChurn, "_replace", watched)
        sim.assembly.build(scenario, seed).env.advance(until)
    return seen


ORDER = "churn.py: a pod joins the line of the living when its create is answered, so latency decides who is the oldest"


@pytest.mark.parametrize(
    "every", ["exp(2s)", pytest.param("exp(50ms)", marks=pytest.mark.xfail(reason=ORDER, strict=True))]
)
def test_both_variants_meet_the_same_churn(every: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = sim.load("zero-value-leak-small").with_({"workloads.pod-churn.every": every})
    horizon = 300 * 10**9 if every == "exp(2s)" else 30 * 10**9
    leaking, fixed = (replacements(scenario.variant(name), 1, horizon, monkeypatch) for name in ("leaking", "fixed"))
    assert len(leaking) > 100
    assert leaking == fixed
    assert len(set(leaking)) == len(leaking)
    slow = scenario.with_({"apiservers.api.admission": "50ms", "controllers.zero-pod-writer.client.qps": 5})
    assert replacements(slow.variant("leaking"), 1, horizon, monkeypatch) == leaking
    other = replacements(scenario.variant("leaking"), 2, horizon, monkeypatch)
    assert {at for at, _ in other}.isdisjoint(at for at, _ in leaking)


def draws(scenario: sim.Scenario, seed: int, until: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """What each named stream of a run has given."""
    given: dict[str, list[float]] = defaultdict(list)
    begin, uniform, block = Stream.__init__, Stream.uniform, Stream.block

    def named(self: Any, seed: int, name: str, size: int = 4096) -> None:
        begin(self, seed, name, size)
        assert name not in given, f"two components share the stream {name}"
        self.name, given[name] = name, []

    def one(self: Any) -> float:
        value = uniform(self)
        given[self.name].append(value)
        return value

    def many(self: Any, size: int) -> Any:
        values = block(self, size)
        given[self.name] += values.tolist()
        return values

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "__init__", named)
        patch.setattr(Stream, "uniform", one)
        patch.setattr(Stream, "block", many)
        sim.assembly.build(scenario, seed).env.advance(until)
    return given


OTHERS: dict[str, dict[str, Any]] = {
    "a workload": {"workloads.a-second": {"kind": "pod_churn", "every": "exp(5s)", "labels": "app=other"}},
    "a controller": {"controllers.a-second": {"workers": 3, "watches": {"pods": {}}, "reconcile": {"every": "1s"}}},
    "clients": {"clients.a-second": {"clients": 2, "think": {"mean": "50ms", "sd": "20ms"}}},
    "a fault": {"faults.a-second": {"kind": "disk_stall", "target": "members.b", "at": "5s", "for": "1s"}},
    "heartbeats": {"background.nodes": 9},
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_component_shifts_nobodys_draws(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream gives what it gave before, as far as it is used; only how far may change."""
    scenario = sim.load("zero-value-leak-small").with_({"workloads.pod-churn.every": "exp(2s)"}).variant("leaking")
    horizon = 30 * 10**9
    before = draws(scenario, 1, horizon, monkeypatch)
    after = draws(scenario.with_(OTHERS[other]), 1, horizon, monkeypatch)
    assert before.keys() <= after.keys()
    for name, values in before.items():
        common = min(len(values), len(after[name]))
        assert values[:common] == after[name][:common], name
        assert common > 0 or not values, name
    different = [tuple(values[:8]) for values in after.values() if len(values) >= 8]
    assert len(set(different)) == len(different), "two streams give the same numbers"
    calendar = replacements(scenario.with_(OTHERS[other]), 1, horizon, monkeypatch)
    assert [row for row in calendar if not row[1].startswith("a-second")] == replacements(scenario, 1, horizon, monkeypatch)


def test_who_only_reads_changes_nothing_else() -> None:
    """A list outside of a compaction takes nothing from anybody but for its walk over the index: all other figures are the same."""
    alone = {"horizon": "2m", "etcd.compaction.by": "never", "etcd.costs.index_key": "0s"}
    scenario = sim.load("zero-value-leak-small").variant("leaking").with_(alone)
    listed = scenario.with_({"workloads.lists": {"kind": "lists", "every": "exp(2s)", "object": "junk-pod"}})
    (before,), (after,) = (sim.run(one, workers=1).values() for one in (scenario, listed))
    assert after.metrics["etcd.list_seconds.count"] > 20
    changed = {name for name, value in before.metrics.items() if after.metrics[name] != value}
    assert {name for name in changed if not name.startswith(("etcd.list_seconds.", "etcd.read"))} == set()
    assert before.writers == after.writers
    np.testing.assert_array_equal(before.series.to_numpy(), after.series.to_numpy())
