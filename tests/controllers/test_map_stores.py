"""A map that is copied at every write: what it costs, when that pays, and what a put without a lock loses."""

from __future__ import annotations

from typing import Any

import pytest

import sim
from sim.controllers.snapshots import SnapshotMap
from sim.simulation import run_variant

CACHE = "workloads.cache"


def done(store: str, entries: int = 100, reads_per_write: float = 1000, **change: Any) -> dict[str, float]:
    """The figures of the map's workload, under their own names."""
    given = {f"{CACHE}.store": store, f"{CACHE}.entries": entries, f"{CACHE}.reads_per_write": reads_per_write}
    more = {f"{CACHE}.{name}": value for name, value in change.items()}
    found = run_variant(sim.load("map-stores", set={**given, **more}), "locked").metrics
    return {name.rpartition(".")[2]: value or 0.0 for name, value in found.items() if name.startswith(f"{CACHE}.map.")}


def test_two_puts_of_one_snapshot_lose_the_first() -> None:
    store = SnapshotMap({"a": 0, "b": 0})
    first = second = store.newest
    store.publish(first, "a", 1)
    store.publish(second, "b", 2)
    assert (dict(store.newest), store.lost) == ({"a": 0, "b": 2}, 1)
    store.publish(store.newest, "a", 3)
    assert (dict(store.newest), store.lost, store.puts) == ({"a": 3, "b": 2}, 1, 3)


def test_writing_over_the_same_key_is_no_loss() -> None:
    store = SnapshotMap({"a": 0})
    old = store.newest
    store.publish(old, "a", 1)
    store.publish(old, "a", 2)
    assert store.lost == 0


@pytest.mark.parametrize("entries", [50, 100, 400])
def test_a_write_costs_the_copy_of_all_entries(entries: int) -> None:
    alone = done("published", entries, threads=1, operations=20_000, reads_per_write=20)
    assert alone["seconds_per_write"] == pytest.approx(32e-9 * entries, rel=1e-6)
    assert alone["seconds_per_read"] == pytest.approx(3e-9, rel=1e-6)
    assert alone["lost_updates"] == 0  # nobody else writes


@pytest.mark.parametrize("entries", [100, 400])
def test_it_pays_above_a_share_of_reads_that_grows_with_the_map(entries: int) -> None:
    even = (32 * entries - 85) / (12 - 3)  # 346 at 100 entries
    for factor, pays in ((0.6, False), (1.6, True)):
        copied, locked = (done(store, entries, even * factor, threads=1) for store in ("published", "locked"))
        assert (copied["seconds_per_operation"] < locked["seconds_per_operation"]) is pays


def test_writers_that_wait_lose_nothing_and_those_that_do_not_lose_most() -> None:
    for reads in (20, 1000):
        assert done("copied", 100, reads)["lost_updates"] == 0
        published = done("published", 100, reads)
        assert published["lost_updates"] > 0.5 * published["writes"]
    rare = done("published", 10, 100_000, operations=4_000_000)
    assert rare["lost_updates"] < 0.2 * rare["writes"]  # copies of 320 ns, 300 us apart, hardly ever overlap


def test_with_a_lock_one_copy_at_a_time_bounds_all_writers() -> None:
    busy = done("copied", 100, 10, operations=20_000)
    assert busy["ended_seconds"] == pytest.approx(busy["writes"] * 3.2e-6, rel=0.02)
    assert busy["seconds_per_write"] == pytest.approx(8 * 3.2e-6, rel=0.1)  # eight in the queue


def test_operations_are_counted_and_shared_as_declared() -> None:
    found = done("locked", 100, 9, operations=50_000)
    assert found["reads"] + found["writes"] == 50_000
    assert found["reads"] / found["writes"] == pytest.approx(9, rel=0.05)
