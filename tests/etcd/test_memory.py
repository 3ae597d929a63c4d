"""Memory of a member: what it needs, by what was measured and documented, and what too little of it does to a run."""

from __future__ import annotations

from typing import Any

import pytest

import sim
from sim.etcd.memory import BASE, Memory
from sim.scenario import from_dict

DISK = {"fdatasync": {"constant": "1ms"}, "bandwidth": "200MB/s"}


def test_the_index_is_what_was_measured() -> None:
    """187 bytes a key of 27 (etcd 3.5.1), 58 for a second revision; the documentation: 218 MB for a million keys of 64 bytes."""
    memory = Memory(2**40, 100_000)
    memory.see(300_000, 27, 300_000, 0, 0, 0)
    assert memory.heap == BASE + 2 * 300_000 * 187
    memory.see(300_000, 27, 600_000, 0, 0, 0)
    assert memory.heap == BASE + 2 * 300_000 * (187 + 58)
    memory.see(1_000_000, 64, 1_000_000, 0, 0, 0)
    assert (memory.heap - BASE) / 2 == pytest.approx(218e6, rel=0.05)


def test_the_log_in_memory_goes_up_to_the_next_snapshot() -> None:
    memory = Memory(2**40, 100_000)
    found = []
    for entries in (100, 99_999, 100_000, 150_000):
        memory.see(0, 0, 0, entries, 1000, 0)
        found.append((memory.heap - BASE) // 2000)
    assert found == [100, 99_999, 5_000, 55_000]
    newer = Memory(2**40, 0)
    newer.see(0, 0, 0, 150_000, 1000, 0)
    assert (newer.heap - BASE) // 2000 == 5_000


def test_what_does_not_fit_is_missing_and_out_comes_once() -> None:
    memory = Memory(BASE + 100_000_000, 0)
    assert not memory.see(0, 0, 0, 0, 0, 80_000_000)
    assert memory.missing == 0
    assert not memory.see(0, 0, 0, 0, 0, 400_000_000)
    assert memory.missing == pytest.approx(0.75)
    assert memory.see(1_000_000, 40, 1_000_000, 0, 0, 400_000_000)
    assert memory.missing == 1
    assert not memory.see(1_000_000, 40, 1_000_000, 0, 0, 400_000_000)


def run(memory: str | None, keys: int = 50_000, **costs: Any) -> sim.Run:
    member = {"disk": DISK} if memory is None else {"disk": DISK, "memory": memory}
    data = {
        "horizon": "40s", "background": {"nodes": 2, "leader_elections": 0},
        "objects": {"big": {"key_bytes": 60, "value_bytes": 1500}},
        "clients": {"load": {"clients": 1, "think": {"constant": "10ms"}, "value_bytes": 100}},
        "etcd": {"members": {"a": member}, "preload": {"big": keys}, "compaction": {"by": "apiserver", "every": "10s"},
                 "costs": {"page_fault": "100us", **costs}},
    }  # fmt: skip
    return sim.run(from_dict(data), workers=1)["default"]


def test_a_compaction_reads_what_is_missing_from_the_disk() -> None:
    enough, little = run("4GiB"), run("100MB")
    assert enough.metrics["members.a.database_missing_share.max"] == 0
    missing = little.metrics["members.a.database_missing_share.max"]
    assert 0.5 < missing < 0.9
    longer = little.metrics["etcd.compaction_seconds.max"] - enough.metrics["etcd.compaction_seconds.max"]
    pages = little.metrics["etcd.db_bytes_in_use"] / 4096
    assert longer == pytest.approx(missing * pages * 100e-6, rel=0.05)
    assert little.metrics["etcd.apply_seconds.max"] > 2 * enough.metrics["etcd.apply_seconds.max"]
    assert run(None).metrics["etcd.compaction_seconds.max"] == enough.metrics["etcd.compaction_seconds.max"]


def test_a_heap_too_large_is_an_incident() -> None:
    killed = run("40MB")
    assert [incident.kind for incident in killed.incidents] == ["out_of_memory"]
    assert "is killed" in killed.incidents[0].about
    assert run("100MB").incidents == []
