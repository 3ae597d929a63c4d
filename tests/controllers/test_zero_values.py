"""Zero values beyond the plain leak: junk that is watched, a map that would grow by being read, scans over every entry."""

from __future__ import annotations

import math
from typing import Any

import pytest

import sim
from sim.controllers.cache import Found, ObjectMap
from sim.controllers.scan import Scan
from sim.errors import InputError
from sim.simulation import run_variant

JUNK = "writers.zero-pod-writer.keys_created"
WRITER = "controllers.zero-pod-writer"
SHORT = {"horizon": "45s", f"{WRITER}.workers": 2, "workloads.pod-churn.every": "20s"}


def figures(scenario: str, variant: str, change: dict[str, Any]) -> dict[str, Any]:
    return run_variant(sim.load(scenario, set=change), variant).metrics


def test_watched_junk_makes_more_junk_until_a_limiter_holds() -> None:
    found = {name: figures("self-watching-leak", name, SHORT) for name in ("inert", "watching", "limited", "safe")}
    assert found["inert"][JUNK] < 20
    assert found["watching"][JUNK] > 200 * found["inert"][JUNK]
    assert 20 * 10 < found["limited"][JUNK] <= 20 * 45 + 30  # its tokens, from the first zero value on
    assert found["safe"][JUNK] <= 2  # its lease
    # Every junk object comes back to its author.
    assert found["watching"]["watch.events_sent"] >= found["watching"][JUNK]


def test_a_look_up_that_misses_changes_nothing_in_go_and_everything_under_the_claim() -> None:
    """Under the claim entries grow as exp(rate x passes); in Go there is no zero value at all."""
    change = {"horizon": "1000s", "workloads.pods.count": 120}
    assert figures("map-reads", "go", change)["cache.zero_value_keys"] == 0
    claimed = figures("map-reads", "claimed", change)
    assert 120 + claimed["cache.zero_value_keys"] == pytest.approx(120 * math.e, rel=0.2)
    half = figures("map-reads", "claimed", {**change, "hypotheses.map_read_inserts.miss_rate": "0.5%"})
    assert 120 + half["cache.zero_value_keys"] == pytest.approx(120 * math.exp(0.5), rel=0.2)


def test_the_safe_deletion_removes_what_a_look_up_inserted() -> None:
    safe = figures("map-reads", "claimed-safe", {"horizon": "600s"})
    assert safe["cache.zero_value_keys"] <= 3  # inserted, and not yet passed over
    assert safe[JUNK] <= 2


def test_a_zero_value_stays_only_where_the_bug_is() -> None:
    for keep, left in ((True, Found.ZERO), (False, Found.ABSENT)):
        entries = ObjectMap(keep)
        entries.insert("a")
        assert entries.look("a", exists=False) is left
        assert entries.zero_values == int(keep)


def test_a_scan_costs_entries_times_nanoseconds() -> None:
    scan = Scan(0.3)
    assert [scan.over(10_000), scan.over(10), scan.over(0)] == [3_000, 3, 0]
    assert (scan.entries, scan.spent) == (10_010, 3_003)


def test_the_scan_is_part_of_every_reconcile_and_grows_with_the_map() -> None:
    change = {"horizon": "60s", "workloads.widgets.count": 1_000}
    deep, direct = figures("detection-cost", "deep", change), figures("detection-cost", "direct", change)
    assert deep["controller.scan_seconds"] == pytest.approx(124e-9 * deep["controller.scanned"], rel=1e-3)
    assert direct["controller.scan_seconds"] == pytest.approx(0.3e-9 * direct["controller.scanned"], rel=1e-3)
    twice = figures("detection-cost", "deep", {**change, "workloads.widgets.count": 2_000})
    dear = [run["workqueue.work_seconds.p50"] - direct["workqueue.work_seconds.p50"] for run in (deep, twice)]
    # The median run is after the first list of 1,000, and amid that of 2,000 at about 1,800 entries.
    assert dear[0] == pytest.approx(1_000 * 124e-9, rel=0.2)
    assert 1.4 < dear[1] / dear[0] < 2.2


def test_a_single_worker_cannot_follow_when_scans_take_longer_than_the_gaps() -> None:
    change = {"horizon": "6s", "workloads.widgets.count": 1_000, "workloads.widgets.change_every": "1ms"}
    slow, fast = (figures("detection-cost", name, change) for name in ("deep-1kib", "direct"))
    busy = [run["controller.reconciles"] * run["workqueue.work_seconds.mean"] for run in (slow, fast)]
    assert 4.5 < busy[0] <= 6  # from its election on
    assert busy[1] < 3
    assert slow["controller.reconciles"] < 6 / (0.8 * 1_000 * 892e-9)  # the first ones met a smaller map


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({f"{WRITER}.reconcile.on_zero_value": {"create": "junk-pod", "watched": True}}, "would not come back"),
        ({f"{WRITER}.reconcile.scan.compare": "shallow"}, "scan.compare"),
        ({f"{WRITER}.reconcile.scan.nanoseconds": -1}, "scan.nanoseconds"),
        ({"hypotheses.map_read_inserts": {}}, "hypotheses.map_read_inserts.miss_rate: missing"),
        ({"hypotheses.map_read_inserts": {"miss_rate": 2}}, "hypotheses.map_read_inserts.miss_rate"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        sim.load("zero-value-leak", set=change)
    assert said in str(refused.value)
