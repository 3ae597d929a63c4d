"""One cause is put into a run, and every name in its result is made neutral: the diagnosis comes from the figures alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import sim
from sim.cli import main
from sim.diagnosis import Diagnosis, diagnose
from sim.scenario import from_dict

DISK = {"fdatasync": {"constant": "1ms"}, "bandwidth": "200MB/s"}
SLOW = {"fdatasync": {"constant": "40ms"}, "bandwidth": "200MB/s"}
CALM: dict[str, Any] = {
    "horizon": "1m",
    "etcd": {"members": {name: {"disk": DISK} for name in "abc"}, "compaction": {"by": "apiserver", "every": "20s"}},
    "background": {"nodes": 3, "leader_elections": 1},
    "objects": {"app": {"key_bytes": 50, "value_bytes": 1000}, "junk": {"key_bytes": 50, "value_bytes": 500}},
    "workloads": {"users": {"kind": "objects", "object": "app", "count": 20, "change_every": "500ms"}},
    "controllers": {
        "operator": {
            "watches": {"apps": {"predicate": "generation_changed"}}, "workers": 4, "leader_election": False,
            "reconcile": {"duration": {"constant": "5ms"}, "writes": {"status": {"verb": "update", "sets": "generation"}}},
        }
    },
}  # fmt: skip
CAUSES: dict[str, dict[str, Any]] = {
    "disk": {"horizon": "20s", "etcd.members": {name: {"disk": SLOW} for name in "abc"}},
    "client limiter": {"controllers.operator.client": {"qps": 1, "burst": 1}, "workloads.users.change_every": "300ms"},
    "seats": {
        "apiservers": {"api": {"in_flight": {"reads": 4, "writes": 4}, "overhead": {"constant": "150ms"}}},
        "workloads.crowd": {"kind": "writers", "object": "app", "objects": 40, "clients": 40},
    },
    "workers": {
        "controllers.operator.workers": 1, "controllers.operator.reconcile.duration": {"constant": "400ms"},
        "workloads.users": {"kind": "objects", "object": "app", "count": 300, "change_every": "100ms"},
    },
    "compaction": {"etcd.preload": {"junk": 400_000}, "etcd.compaction.every": "15s"},
    "lists": {"etcd.preload": {"junk": 200_000}, "workloads.lister": {"kind": "lists", "object": "junk", "every": "2s"}},
    "rounds": {
        "horizon": "20s", "etcd.preload": {"junk": 200_000},
        "workloads.laggard": {"kind": "watches", "watchers": 1, "object": "junk", "behind": 200_000, "at": "1s"},
    },
    "database": {
        "etcd.quota": "20MB", "workloads.storm": {"kind": "storm", "object": "junk", "rate": "800/s", "for": "50s"},
    },
    "hot loop": {
        "horizon": "20s", "controllers.operator.workers": 2, "controllers.operator.reconcile.duration": {"constant": "40ms"},
        "controllers.operator.watches": {"apps": {"predicate": "none"}},
        "controllers.operator.reconcile.writes": {"status": {"verb": "update", "sets": "counter"}},
    },
    "webhook": {"webhooks": {"guard": {"match": "update apps", "latency": "700ms"}}},
    "watch": {"apiservers": {"api": {"watch_lag": {"constant": "3s"}}}},
    "errors": {"controllers.operator.reconcile.errors": "90%"},
    "applier": {
        "horizon": "5s", "etcd.costs": {"apply": {"constant": "1ms"}},
        "workloads.storm": {"kind": "storm", "object": "junk", "rate": "1500/s", "for": "4s"},
    },
}  # fmt: skip
GUILTY = {
    "client limiter": "operator", "seats": "crowd", "workers": "operator", "compaction": "preloaded", "database": "storm",
    "hot loop": "operator", "webhook": "operator", "errors": "operator", "applier": "storm",
}  # fmt: skip


def simulated(changes: Mapping[str, Any]) -> sim.Run:
    scenario = from_dict(CALM)
    for path, value in changes.items():
        scenario = scenario.with_({path: value})
    return sim.run(scenario, workers=1)["default"]


def neutral(run: sim.Run) -> tuple[sim.Run, dict[str, str]]:
    """The same run with every declared name replaced, and without its incidents. Also: new names to old ones."""
    kept = ("node-heartbeats", "leader-elections", "kube-apiserver", "etcd", "preloaded")
    declared = ["users", "operator", "crowd", "lister", "storm", "guard", "junk", "app", "api", "laggard"]
    names = {old: f"x{number}" for number, old in enumerate(declared)}

    def renamed(figure: str) -> str:
        room, _, rest = figure.partition(".")
        if room not in ("controllers", "writers", "workloads", "objects", "members", "guards"):
            return figure
        name, _, what = rest.partition(".")
        return f"{room}.{names.get(name, name)}.{what}"

    writers = {name if name in kept else names[name]: row for name, row in run.writers.items()}
    metrics = {renamed(name): value for name, value in run.metrics.items()}
    blind = replace(run, variant="x", metrics=metrics, writers=writers, incidents=[])
    return blind, {new: old for old, new in names.items()}


@cache
def diagnosed(cause: str) -> tuple[Diagnosis, dict[str, str]]:
    blind, old = neutral(simulated(CAUSES[cause]))
    return diagnose(blind), old


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_is_found_without_names(cause: str) -> None:
    found, old = diagnosed(cause)
    assert found.bottleneck is not None
    assert found.bottleneck.station == cause, [one.station for one in found.findings]
    if cause in GUILTY:
        writer = found.bottleneck.writer
        assert old.get(writer, writer) == GUILTY[cause]
    assert found.bottleneck.evidence
    assert any(value for value in found.bottleneck.evidence.values())


def test_nothing_is_saturated_in_a_calm_run() -> None:
    found = diagnose(neutral(simulated({}))[0])
    assert found.findings == found.coming == ()
    assert found.to_json()["bottleneck"] is None


def test_what_comes_first_is_said() -> None:
    full, _ = diagnosed("database")
    assert full.coming[0].in_seconds == 0
    assert "full" in full.coming[0].what
    growing, _ = diagnosed("workers")
    assert any("queue grows" in one.what for one in growing.coming)


def test_the_command_reads_a_saved_result(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = {"etcd.members": CAUSES["disk"]["etcd.members"]}
    scenario = from_dict(CALM).with_({"variants": {"calm": {}, "slow": slow}, "horizon": "10s"})
    sim.run(scenario, workers=1).save(tmp_path / "result")
    assert main(["diagnose", str(tmp_path / "result")]) == 0
    said = capsys.readouterr().out
    assert "calm: nothing is saturated" in said
    assert "slow: disk: " in said
    assert "etcd.wal_fsync_seconds.p50 = 40" in said
    assert main(["diagnose", str(tmp_path / "result"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["variants"]["calm"]["bottleneck"] is None
    assert found["variants"]["slow"]["bottleneck"]["station"] == "disk"
    assert main(["diagnose", str(tmp_path)]) == 2
    assert "is not a result of etcdsim" in capsys.readouterr().err
