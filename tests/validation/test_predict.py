"""The simulated half: clients that send what the generator sends, as many and when."""

from __future__ import annotations

import pytest
from validation.test_compare import inputs

from sim.etcd import wal
from sim.validation.predict import Predicted, predict
from sim.validation.workload import LEASE_TTL, Workload


def figures(predicted: Predicted) -> dict[str, float]:
    return {name: value for name, value in predicted.figures.items() if value is not None}


def frames(data: int, first: int, count: int) -> int:
    """Bytes of `count` entries of the same data from a raft index on."""
    return sum(wal.entry_frame(data, index) for index in range(first, first + count))


def test_a_closed_loop_has_the_counts_of_as_many_requests_as_were_measured() -> None:
    workload = Workload("w", clients=3, key_bytes=32, value_bytes=500)
    found = figures(predict("3.5.1", workload, inputs(), 1.0, 1, 1234, {}))
    assert (found["etcd.keys_live"], found["etcd.revision"], found["etcd.wal_entries"]) == (1234, 1235, 1234)
    assert found["etcd.wal_entry_bytes"] == frames(wal.proposal(wal.put(32, 500)), 1, 1234)
    assert found["etcd.wal_bytes_written"] > found["etcd.wal_entry_bytes"]
    assert found["etcd.requests_per_second"] > 1000  # of the run that lasts a second, not of the 1234 requests


def test_an_open_loop_sends_at_the_generators_times() -> None:
    workload = Workload("w", rate=300, value_bytes=100)
    due = workload.arrivals(2, 7)
    found = predict("3.5.1", workload, inputs(), 2.0, 7, 1, {})
    assert found.figures["etcd.wal_entries"] == len(due)
    assert found.run.distributions["etcd.request_seconds"].count == len(due)
    assert found.figures["etcd.requests_per_second"] == pytest.approx(len(due) / 2, abs=1.5)  # but those after the end


def test_a_put_and_its_delete() -> None:
    found = figures(predict("3.5.1", Workload("w", "put_delete", clients=2, value_bytes=64), inputs(), 0.5, 1, 400, {}))
    assert found["etcd.keys_live"] == 0
    assert found["etcd.revision"] == 401
    assert found["etcd.wal_entry_bytes"] == pytest.approx(
        frames(wal.proposal(wal.put(32, 64)), 200, 200) + frames(wal.proposal(wal.delete_range(32)), 200, 200), rel=0.01
    )


def test_a_lease_its_key_and_its_end() -> None:
    workload = Workload("w", "lease", clients=1, value_bytes=64)
    found = figures(predict("3.5.1", workload, inputs(), 0.5, 1, 300, {}))
    lease = workload.lease(0)
    parts = [wal.lease_grant(LEASE_TTL, lease), wal.put(32, 64, lease), wal.lease_revoke(lease)]
    assert (found["etcd.keys_live"], found["etcd.revision"]) == (0, 201)  # grants make no revision
    assert found["etcd.wal_entry_bytes"] == pytest.approx(sum(frames(wal.proposal(part), 150, 100) for part in parts), rel=0.01)


def test_overwrites_are_compacted_when_the_load_says() -> None:
    workload = Workload("w", "put_over", rate=500, value_bytes=200, key_space=50, compact_every=0.5)
    found = predict("3.5.1", workload, inputs(), 2.0, 1, 1, {})
    assert found.figures["etcd.keys_live"] == 50
    assert found.run.distributions["etcd.compaction_seconds"].count == 3
    assert found.figures["etcd.wal_entries"] == len(workload.arrivals(2, 1)) + 3


def test_more_members_wait_for_each_other() -> None:
    workload = Workload("w", clients=1)
    alone, three = (figures(predict("3.5.1", workload, inputs(members), 0.5, 1, 10, {})) for members in (1, 3))
    assert three["etcd.request_seconds.p50"] > alone["etcd.request_seconds.p50"] + 50e-6


def test_fields_of_the_scenario_can_be_set() -> None:
    workload = Workload("w", clients=1)
    slow = figures(predict("3.5.1", workload, inputs(), 0.5, 1, 10, {"etcd.costs.ready": "2ms"}))
    assert slow["etcd.request_seconds.p50"] > 0.002


def test_the_same_inputs_give_the_same_prediction() -> None:
    workload = Workload("w", clients=8)
    first, second = (predict("3.5.1", workload, inputs(), 0.3, 5, 100, {}).figures for _ in range(2))
    assert first == second
