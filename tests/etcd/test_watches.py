"""Watchers at etcd in a run: what those that are behind do to everybody's writes."""

from __future__ import annotations

from typing import Any

import pytest

import sim
from sim.errors import InputError
from sim.metrics.catalogue import describe
from sim.scenario import from_dict

ETCD: dict[str, Any] = {
    "members": {"a": {"disk": {"fdatasync": {"constant": "200us"}}}},
    "compaction": {"by": "never"},
    "quota": "8GiB",
    "costs": {"apply": {"constant": "20us"}, "watch_scan": "1us", "watch_match": "100ns", "watch_event": "2us"},
}


def run(watches: dict[str, Any] | None, horizon: str = "3s", preload: int = 0, **etcd: Any) -> sim.Run:
    data = {
        "horizon": horizon,
        "etcd": {**ETCD, "preload": {"thing": preload}, **etcd},
        "objects": {"thing": {"key_bytes": 40, "value_bytes": 200}},
        "apiservers": {},
        "background": {"nodes": 0, "leader_elections": 0},
        "workloads": {
            "writes": {"kind": "storm", "object": "thing", "rate": "1000/s", "for": horizon, "gaps": "even"},
            **({} if watches is None else {"lookers": {"kind": "watches", **watches}}),
        },
    }
    return sim.run(from_dict(data), workers=1)["default"]


def test_nobody_who_watches_leaves_no_figures() -> None:
    assert not [name for name in run(None, "1s").metrics if "watches." in name or name.startswith("etcd.watch")]


def test_who_keeps_pace_costs_its_part_of_the_apply_and_no_more() -> None:
    bare, watched = run(None), run({"watchers": 40, "object": "thing"})
    longer = watched.metrics["etcd.apply_execution_seconds.p50"] - bare.metrics["etcd.apply_execution_seconds.p50"]
    assert longer == pytest.approx(40 * 2e-6, rel=0.05)
    assert watched.metrics["watches.events"] == pytest.approx(40 * 3_000, rel=0.01)
    assert watched.metrics["etcd.watch_rounds"] == watched.metrics["etcd.slow_watchers.max"] == 0
    assert 0 < watched.metrics["watches.lag_seconds"] < 1e-3
    assert watched.metrics["etcd.watchers"] == watched.metrics["workloads.lookers.watches.events"] / watched.metrics["etcd.puts"]
    for name in watched.metrics:
        assert describe(name) is not None, name


def test_one_watcher_far_behind_blocks_writes_most_of_the_time() -> None:
    """etcd issue 22264: 500,000 revisions behind, scans of 1.3 s, 100 ms between them, writes blocked for over 90% of the time."""
    slow = run({"watchers": 1, "behind": 500_000, "at": "1s"}, "6s", 500_000, costs={**ETCD["costs"], "watch_scan": "2.4us"})
    assert slow.metrics["etcd.watch_round_seconds.max"] == pytest.approx(1.3, rel=0.05)
    assert slow.metrics["etcd.watch_locked_share"] == pytest.approx(5 / 6 * 1.3 / 1.4, rel=0.15)
    assert slow.metrics["etcd.apply_seconds.p50"] > 0.3
    assert slow.metrics["watches.behind"] >= 500_000
    assert slow.metrics["etcd.slow_watchers"] == 1
    assert slow.writers["lookers"]["apply_tail_share"] > 0.5


def test_releases_that_keep_what_they_read_block_them_once() -> None:
    """3.6.0 to 3.6.8 reuse events between rounds; 3.6.9 does not any more."""
    far = {"watchers": 1, "behind": 200_000, "at": "1s"}
    runs = {version: run(far, "4s", 200_000, version=version) for version in ("3.5.1", "3.6.8", "3.6.9")}
    blocked = {version: one.metrics["etcd.watch_locked_share"] for version, one in runs.items()}
    assert blocked["3.5.1"] == pytest.approx(blocked["3.6.9"], rel=0.2)
    assert blocked["3.6.8"] < blocked["3.5.1"] * 0.6  # it still looks for who watches each event that it has kept


def test_a_client_that_stops_reading_falls_behind_and_catches_up() -> None:
    stall = {"from": "500ms", "for": "1s"}
    watched = run({"watchers": 2, "object": "thing", "stall": stall, "takes": "50000/s"}, "4s").metrics
    assert watched["watches.full"] == 2
    assert watched["etcd.slow_watchers.max"] == 2
    assert watched["etcd.slow_watchers"] == 0
    # Under way are 468 events of 280 bytes, in its channel 128: then it is behind, until a round or two after it reads again.
    assert watched["etcd.slow_watcher_seconds"] / 2 == pytest.approx(1.0 - 0.468 - 0.128 + 0.1, abs=0.15)
    assert watched["watches.lag_seconds"] == pytest.approx(1.0, abs=0.15)
    assert watched["watches.events"] == pytest.approx(2 * 4_000, rel=0.01)


def test_a_client_that_is_too_slow_is_synced_less_and_less() -> None:
    """Half of what is written: it is behind for most of the time, and its lag grows with the backlog."""
    watched = run({"watchers": 1, "takes": "500/s", "under_way": "16KiB"}, "4s").metrics
    assert watched["etcd.slow_watcher_seconds"] > 2
    assert watched["watches.backlog"] >= 128
    assert watched["watches.lag_seconds"] > 1


def test_compaction_cancels_who_is_behind_it() -> None:
    stalled = {"watchers": 3, "stall": {"from": 0}, "again": "500ms"}
    compaction = {"by": "revision", "retention": 100, "every": "1s"}
    watched = run(stalled, "4s", compaction=compaction).metrics
    assert watched["watches.compacted"] == 0  # their channels are full: nobody can even be told
    awake = run({**stalled, "stall": {"from": 0, "for": "3s"}}, "5s", compaction=compaction).metrics
    assert awake["watches.compacted"] == 3
    assert awake["etcd.watchers"] == 3  # they came back


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"watchers": 0}, "workloads.lookers.watchers"),
        ({"watchers": 10, "per_stream": 3}, '"3" does not divide the 10 watchers'),
        ({"watchers": 1, "object": "thingy"}, "workloads.lookers.object"),
        ({"watchers": 1, "takes": "fast"}, "workloads.lookers.takes"),
        ({"watchers": 1, "stall": {"for": 0}}, "workloads.lookers.stall.for"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(fields)
