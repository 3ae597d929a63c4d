"""What the real API Priority and Fairness answered, replayed on ours: every answer must be the same; and wrong ones are caught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.apiserver.flowcontrol import borrowing, control, demand, fairness
from sim.apiserver.flowcontrol.fairness import FairQueues, Queue
from sim.apiserver.flowcontrol.hands import deal
from sim.apiserver.flowcontrol.queues import QueueSet
from sim.apiserver.flowcontrol.request import Request
from sim.apiserver.flowcontrol.retry_after import DroppedRequests
from sim.apiserver.flowcontrol.work import Work
from sim.conform import flow as conform_flow
from sim.conform import replay as conform
from sim.conform.flow import FLOW_MECHANISMS

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
TRACES = {mechanism.name: sorted((GOLDEN / mechanism.name).glob("*.jsonl")) for mechanism in FLOW_MECHANISMS}


def differs(name: str) -> bool:
    return any(conform.replay(path) is not None for path in TRACES[name])


def oldest_first(self: FairQueues) -> Queue:
    return min(self.backlog.values(), key=lambda queue: queue.waiting[0].tag)


def without_turns(self: FairQueues) -> Queue:
    return min(self.backlog.values(), key=lambda queue: queue.next_r + queue.waiting[0].work.total_work)


def first_of_hand(self: FairQueues, hand: tuple[Queue, ...]) -> Queue:
    self._enqueues += 1
    return hand[0]


def looks_for_others(self: QueueSet, now: int, request: Request, time_out: object = QueueSet._time_out) -> None:
    time_out(self, now, request)
    self._dispatch(now)


def fits_if_narrower(self: QueueSet, seats: int) -> bool:
    return self.seats_in_use + min(seats, self.limit) <= self.limit


@pytest.mark.parametrize(
    ("where", "attribute", "wrong"),
    [
        (FairQueues, "next_queue", oldest_first),
        (FairQueues, "next_queue", without_turns),
        (FairQueues, "shortest", first_of_hand),
        (Queue, "bound", lambda self: None),
        (FairQueues, "run", lambda self, seats, elapsed: None),
        (fairness, "ESTIMATED_SERVICE", 0),
        (QueueSet, "_time_out", looks_for_others),
        (QueueSet, "_fits", fits_if_narrower),
        (QueueSet, "_narrow", lambda self, request: None),
        (Work, "narrowed", lambda self, limit: self),
        (demand.Demand, "note", lambda self, seats: None),
    ],
    ids=[
        "first in, first out over all flows", "the first of equals always", "always the first queue", "credit from the past",
        "no progress meter", "no correction", "others start at a time-out", "a wide one squeezes in", "no narrowing",
        "seats as asked for", "no peaks",
    ],
)  # fmt: skip
def test_a_wrong_queue_set_is_caught(monkeypatch: pytest.MonkeyPatch, where: object, attribute: str, wrong: object) -> None:
    monkeypatch.setattr(where, attribute, wrong)
    assert differs("apiserver.queueset")


def never_decays(self: DroppedRequests, second: int, adjust: object = DroppedRequests._adjust) -> None:
    before = self.retry_after_seconds
    adjust(self, second)
    self.retry_after_seconds = max(before, self.retry_after_seconds)


def test_a_retry_after_that_never_decays_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DroppedRequests, "_adjust", never_decays)
    assert differs("apiserver.dropped_requests")


@pytest.mark.parametrize(
    ("where", "attribute", "wrong"),
    [
        (demand, "SMOOTHING", 0.9),
        (control, "BORROWING_PERIOD", 9_000_000_000),
        (borrowing.Borrower, "keeps", property(lambda self: self.minimum)),
        (control, "flow_hash", lambda schema, distinguisher: sum(f"{schema}{distinguisher}".encode())),
    ],
    ids=["forgets too fast", "adjusts too often", "nothing kept", "another hash"],
)
def test_wrong_borrowing_is_caught(monkeypatch: pytest.MonkeyPatch, where: object, attribute: str, wrong: object) -> None:
    monkeypatch.setattr(where, attribute, wrong)
    assert differs("apiserver.flow_control")


def test_another_order_of_the_deal_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conform_flow, "deal", lambda *deck: tuple(sorted(deal(*deck))))
    assert differs("apiserver.shuffle_sharding")


def test_headers_name_the_version() -> None:
    headers = [json.loads(path.open().readline()) for paths in TRACES.values() for path in paths]
    assert {(header["library"], header["version"]) for header in headers} == {("k8s.io/apiserver", "v0.35.0")}
