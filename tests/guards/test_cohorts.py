"""A storm as cohorts gives the same answers as the same storm as single requests: every figure, to the last nanosecond.

Only the split of the apply tail's waits differs: of a cohort's entries one in 64 is looked at for all of them. Where requests wait
for cores, cohorts wait for none: figures agree within the bounds that a test states.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guarded_world import ETCD, OBJECTS

import sim
from sim.etcd import wal
from sim.etcd.request import Shape
from sim.scenario import from_dict

DISK = {"fdatasync": {"median": "1ms", "p99": "4ms"}, "bandwidth": "200MB/s"}
TAIL = "etcd.apply_tail_share."


def run(as_: str, horizon: str = "1s", cores: int | str = "off", etcd: Any = None, sections: Any = None, **storm: Any) -> sim.Run:
    machines = {f"m-{name}": {"cores": cores, "disks": {"ssd": {"profile": DISK}}} for name in "abc"}
    data = {
        "horizon": horizon, "machines": machines, "objects": OBJECTS, "apiservers": {},
        "background": {"nodes": 0, "leader_elections": 0},
        "etcd": {**ETCD, "members": {name: {"machine": f"m-{name}"} for name in "abc"}, **(etcd or {})},
        "workloads": {"storm": {"kind": "storm", "object": "batch", "as": as_, **storm}}, **(sections or {}),
    }  # fmt: skip
    return sim.run(from_dict(data), workers=1)["default"]


AGAIN = {"attempts": 3, "base": "50ms"}
CASES: dict[str, dict[str, Any]] = {
    "nobody is refused": {"rate": "5000/s", "for": "800ms"},
    "the gap of 5,000 refuses": {"rate": "50000/s", "for": "500ms", "retry": AGAIN},
    "answers come too late": {
        "rate": "20000/s", "for": "300ms", "retry": AGAIN,
        "etcd": {"request_timeout": "60ms", "costs": {"apply": {"constant": "100us"}}},
    },
    "a disk freezes beyond the time-out": {
        "rate": "2000/s", "for": "800ms", "retry": AGAIN, "horizon": "2s", "etcd": {"request_timeout": "200ms"},
        "sections": {"faults": {"f": {"kind": "disk_stall", "target": "machines.m-a.disks.ssd", "at": "300ms", "for": "400ms"}}},
    },
    "batches, snapshots and commits by count": {
        "rate": "30000/s", "for": "400ms", "etcd": {"snapshot_count": 3000, "batch_limit": 700},
    },
}  # fmt: skip
SHOWS = {
    "the gap of 5,000 refuses": "storm.refused",
    "answers come too late": "storm.timeouts",
    "a disk freezes beyond the time-out": "storm.timeouts",
}  # fmt: skip


def test_the_quota_refuses_cohorts_as_it_does_single_requests_but_without_an_entry_for_each() -> None:
    case = {"rate": "40000/s", "for": "500ms", "retry": AGAIN, "etcd": {"quota": "2MB"}}
    single, many = run("requests", **case), run("cohorts", **case)
    assert many.metrics["storm.no_space"] > 0
    for figure in ("storm.offered", "storm.accepted", "etcd.keys_created"):
        assert many.metrics[figure] == pytest.approx(single.metrics[figure], rel=0.05), figure
    assert [incident.kind for incident in many.incidents] == ["quota"] == [incident.kind for incident in single.incidents]


@pytest.mark.parametrize("case", CASES)
def test_cohorts_answer_as_single_requests_do(case: str) -> None:
    single, many = run("requests", **CASES[case]), run("cohorts", **CASES[case])
    assert single.metrics["storm.accepted"] > 800
    if case in SHOWS:
        assert single.metrics[SHOWS[case]] > 0
    differ = {name for name in single.metrics if single.metrics[name] != many.metrics[name]}
    assert {name for name in differ if not name.startswith(TAIL)} == set()
    for kind in ("entries", "commits"):
        assert many.metrics[f"{TAIL}{kind}"] == pytest.approx(single.metrics[f"{TAIL}{kind}"], abs=0.1)
    rows = single.series.compare(many.series)
    assert rows.empty
    assert [incident.at_seconds for incident in single.incidents] == [incident.at_seconds for incident in many.incidents]


def test_others_share_the_batches() -> None:
    """Single requests between cohorts: who awaits an answer gets it, and all is counted. In a batch they come first."""
    clients = {"clients": {"load": {"clients": 4, "think": {"constant": "3ms"}}}}
    single = run("requests", rate="10000/s", sections=clients, **{"for": "500ms"})
    many = run("cohorts", rate="10000/s", sections=clients, **{"for": "500ms"})
    assert single.writers["load"]["puts"] > 100
    assert many.writers["load"]["puts"] == pytest.approx(single.writers["load"]["puts"], rel=0.05)
    assert many.writers["storm"] == pytest.approx(single.writers["storm"], rel=0.1)
    p99 = "etcd.request_seconds.p99"
    assert many.metrics[p99] == pytest.approx(single.metrics[p99], rel=0.1)


def test_with_cores_they_agree_within_bounds() -> None:
    kept = {"etcd.puts": 0.05, "storm.refused": 0.06, "etcd.apply_seconds.p50": 0.15, "etcd.wal_bytes_written": 0.05}
    settings = {"rate": "50000/s", "for": "500ms", "retry": AGAIN}
    single, many = (run(as_, cores=8, **settings) for as_ in ("requests", "cohorts"))
    for name, within in kept.items():
        assert many.metrics[name] == pytest.approx(single.metrics[name], rel=within), name


def test_many_frames_are_those_of_one_after_the_other() -> None:
    class Entry:
        def __init__(self, shape: Shape):
            self.data, self.writer, self.shape = shape.put_data, 0, shape

    shape, other = Shape("x", 40, 100), Shape("x", 40, 100)
    one, many = wal.Segments(), wal.Segments()
    sizes = np.random.default_rng(3).integers(1, 90, 600).tolist()
    for size in sizes:
        by_writer = [0]
        assert many.append_many(size, shape.put_data, shape) == one.append([Entry(other)] * size, by_writer)
        assert by_writer[0] > 0
    assert (one.index, shape.frames, shape.entries) == (many.index, other.frames, other.entries)
    assert one.index > 128**2


def test_what_passes_only_single_requests_is_refused() -> None:
    guards = {"guards": {"limiter": {"kind": "write_limiter", "rate": 5}}}
    with pytest.raises(sim.InputError, match=r'^workloads.storm.as: "cohorts" is not allowed: guards.limiter takes single'):
        run("cohorts", rate="5/s", sections=guards, **{"for": "1s"})
