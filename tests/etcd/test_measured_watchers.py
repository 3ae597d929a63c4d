"""What was measured with real watchers (see `record_watchers.py`), and what the model says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.scenario import from_dict

MEASURED = json.loads((Path(__file__).parent / "watchers_measured.json").read_text())
ROWS = {row["version"]: row for row in MEASURED["rows"]}
SIZES = {"key_bytes": MEASURED["key_bytes"], "value_bytes": MEASURED["value_bytes"]}
PAUSE = 0.002


def run(version: str, seconds: float, preload: int, watch: dict[str, Any], **sections: Any) -> sim.Run:
    data = {
        "horizon": seconds,
        "etcd": {
            "version": version, "members": {"a": {"disk": {"fdatasync": {"constant": "200us"}}}}, "compaction": {"by": "never"},
            "preload": {"record": preload}, "costs": {"apply": {"constant": "25us"}},
        },
        "objects": {"record": SIZES}, "apiservers": {}, "background": {"nodes": 0, "leader_elections": 0},
        "workloads": {"looker": {"kind": "watches", "watchers": 1, **watch}, **sections.pop("workloads", {})}, **sections,
    }  # fmt: skip
    return sim.run(from_dict(data), workers=1)["default"]


def test_a_client_that_reads_nothing_is_slow_after_as_many_events() -> None:
    """Five puts at a time were made before etcd was asked."""
    writes = {"kind": "storm", "object": "record", "rate": "1000/s", "for": "500ms", "gaps": "even"}
    found = run("3.5.1", 0.5, 0, {"object": "record", "stall": {"from": 0}}, workloads={"writes": writes})
    slow_from = found.series["etcd.slow_watchers"].ne(0).idxmax()
    puts = found.series["etcd.puts"][slow_from]
    for row in ROWS.values():
        real = row["deaf"]
        assert real["puts_until_slow"] - 5 < puts <= real["puts_until_slow"] + 1  # a row of the series is part of a put
        assert found.metrics["etcd.slow_watchers"] == real["slow_watcher"] == 1
        assert found.metrics["etcd.watch_pending_events"] == real["pending_events"] == 128


def test_one_watcher_behind_costs_the_puts_of_others_as_much() -> None:
    """How much longer all puts together took than without it, as a part of the time; and how long the longest waited.

    Of the 10,000 revisions only that they are read within the time: in 1.3 s the machine's other work counts for as much.
    """
    clients = {"writer": {"clients": 1, "think": {"constant": PAUSE}, **SIZES}}
    alone = run("3.5.1", 1.0, 0, {"at": "900ms"}, clients=clients).metrics["etcd.request_seconds.mean"]
    for place, (revisions, seconds) in enumerate(((10_000, 1.5), (60_000, 8.0))):
        found = run("3.5.1", 1 + seconds, revisions, {"behind": revisions, "at": "1s"}, clients=clients)
        requests = found.distributions["etcd.request_seconds"]
        predicted = (requests.mean - alone) * requests.count / seconds
        for row in ROWS.values():
            real = row["behind"][place]
            bare, while_behind = real["bare"], real["while_behind"]
            assert real["revisions"] == revisions
            assert (found.metrics["etcd.slow_watchers"] == 0) == real["synced"]
            if not real["synced"]:
                waited = (while_behind["mean"] - bare["mean"]) * while_behind["puts"] / real["seconds"]
                assert predicted == pytest.approx(waited, rel=0.3)
                assert found.metrics["etcd.request_seconds.max"] == pytest.approx(while_behind["max"], rel=0.6)
