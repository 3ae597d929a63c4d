"""The event recorder: what the real broadcaster wrote, replayed, and how much a hot loop can make it write."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.clientgo import recorder
from sim.clientgo.correlator import Event
from sim.clientgo.recorder import Create, EventBroadcaster, NamingCorrelator, Outcome, Patch, Sleep
from sim.conform import election as conform_election
from sim.conform import replay as conform
from sim.streams import Stream
from sim.units import HOUR, MILLISECOND, SECOND

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
TRACES = sorted((GOLDEN / "events.recorder").glob("*.jsonl"))


WRONG = {
    "correlated when recorded": ("self._queue.append(event)",
        "self._queue.append((lambda got: got.event or event)(self._correlator.correlate(now, event)))"),
    "a queue of 999": ("MAX_QUEUED_EVENTS: Final = 1000", "MAX_QUEUED_EVENTS: Final = 999"),
    "eleven tries": ("MAX_TRIES_PER_EVENT: Final = 12", "MAX_TRIES_PER_EVENT: Final = 11"),
    "every sleep is drawn": ("if self._tries == 1 and self._stream", "if self._stream"),
    "no sleep is drawn": ("if self._tries == 1 and self._stream", "if self._tries == 0 and self._stream"),
    "a rejected event is tried again": ("if outcome is Outcome.NO_ANSWER:", "if outcome in (Outcome.NO_ANSWER, Outcome.REJECTED):"),
    "a patch of nothing is dropped": ("if outcome is Outcome.NOT_FOUND and isinstance(request, Patch):", "if False:"),
    "after the patch only the create is retried": ("self._in_flight = fallback", "self._in_flight = self._write = fallback"),
    "the server's count is ignored": ("if count is not None else", "if False else"),
    "a patch names the newest event": ("name = self._names.get(key) if patch else None", "name = None"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_recorder_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = _changed(recorder, *WRONG[name])
    monkeypatch.setattr(conform_election, "RecorderSleep", wrong.Sleep)
    monkeypatch.setattr(conform_election, "EventPatch", wrong.Patch)
    for public in ("EventBroadcaster", "NamingCorrelator", "Outcome"):
        monkeypatch.setattr(conform_election, public, getattr(wrong, public))
    assert any(conform.replay(path) is not None for path in TRACES)


def _changed(module: ModuleType, right: str, wrong: str) -> ModuleType:
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"the line to break is there {source.count(right)} times"
    broken = importlib.util.module_from_spec(importlib.util.spec_from_loader("broken", loader=None))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:  # dataclasses look their module up
        patch.setitem(sys.modules, "broken", broken)
        exec(compile(source.replace(right, wrong), "broken.py", "exec"), broken.__dict__)
    return broken


def event(message: str = "failed", name: str = "pod") -> Event:
    return Event("controller", "Pod", "ns", name, "Failed", message, "Warning")


@settings(max_examples=30, deadline=None)
@given(
    every=st.integers(MILLISECOND, 20 * SECOND), objects=st.integers(1, 4), messages=st.sampled_from([1, 3, 10**9]),
    latency=st.integers(1, SECOND), runs=st.integers(1, 3000),
)  # fmt: skip
def test_a_hot_loop_writes_25_and_one_in_five_minutes(every: int, objects: int, messages: int, latency: int, runs: int) -> None:
    """One event a run and object, whatever it says: at most 25 + t / 300 s writes for each object."""
    arrivals = [(run * every, event(f"m{run % messages}", f"pod{i}")) for run in range(runs) for i in range(objects)]
    writes = Counter(written.name for _, written in _written(EventBroadcaster(), arrivals, latency))
    assert max(writes.values()) <= 25 + (runs * every + objects * latency * 1000) / (300 * SECOND)
    assert set(writes) == {f"pod{i}" for i in range(objects)}


def _written(broadcaster: EventBroadcaster, arrivals: list[tuple[int, Event]], latency: int) -> list[tuple[int, Event]]:
    """What a server that accepts everything after `latency` is sent, and when."""
    written = []
    busy_until: int | None = None

    def send(now: int) -> int | None:
        step = broadcaster.next(now)
        if step is None:
            return None
        assert isinstance(step, Create | Patch)
        written.append((now, step.event))
        return now + latency

    for now, happened in [*arrivals, (arrivals[-1][0] + 1100 * latency * 10, None)]:
        while busy_until is not None and busy_until <= now:
            broadcaster.answered(busy_until, Outcome.OK)
            busy_until = send(busy_until)
        if happened is not None:
            broadcaster.record(now, happened)
            busy_until = busy_until or send(now)
    return written


def test_equal_events_are_one_object_and_patches_of_it() -> None:
    broadcaster = EventBroadcaster()
    steps = []
    for now in range(5):
        assert broadcaster.record(now, event())
        steps.append(broadcaster.next(now))
        broadcaster.answered(now, Outcome.OK)
    assert [type(step) for step in steps] == [Create, Patch, Patch, Patch, Patch]
    assert [step.event.count for step in steps] == [1, 2, 3, 4, 5]
    assert len({step.name for step in steps}) == 1
    assert broadcaster.written == 5


def test_a_silent_server_holds_everything_for_at_most_110_seconds() -> None:
    broadcaster = EventBroadcaster(stream=Stream(1, "events"))
    accepted = sum(broadcaster.record(0, event(f"m{i}", f"pod{i}")) for i in range(1500))
    assert accepted == 1001  # one on its way, a thousand behind it
    assert broadcaster.dropped == 499
    now, tries = 0, []
    while not broadcaster.given_up:
        step = broadcaster.next(now)
        if isinstance(step, Sleep):
            now = step.until
            continue
        assert isinstance(step, Create)
        tries.append(now)
        assert broadcaster.next(now) is None
        broadcaster.answered(now, Outcome.NO_ANSWER)
    assert len(tries) == 12
    assert 0 <= tries[1] < 10 * SECOND
    assert [later - sooner for sooner, later in pairwise(tries[1:])] == [10 * SECOND] * 10
    assert len(broadcaster) == 1000
    assert isinstance(broadcaster.next(now), Create)


def test_a_patch_of_an_event_that_has_expired_creates_it() -> None:
    broadcaster = EventBroadcaster()
    broadcaster.record(0, event())
    created = broadcaster.next(0)
    broadcaster.answered(0, Outcome.OK)
    broadcaster.record(2 * HOUR, event())
    patch = broadcaster.next(2 * HOUR)
    assert isinstance(patch, Patch)
    again = broadcaster.answered(2 * HOUR, Outcome.NOT_FOUND)
    assert isinstance(created, Create)
    assert again == Create(patch.event, created.name)
    assert broadcaster.answered(2 * HOUR, Outcome.OK) is None
    assert broadcaster.next(2 * HOUR) is None


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.NOT_FOUND])
def test_a_create_that_the_server_refuses_is_dropped(outcome: Outcome) -> None:
    broadcaster = EventBroadcaster(NamingCorrelator(burst=5))
    broadcaster.record(0, event())
    assert isinstance(broadcaster.next(0), Create)
    assert broadcaster.answered(0, outcome) is None
    assert broadcaster.rejected == 1
    assert broadcaster.next(0) is None


def test_misuse_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no write"):
        EventBroadcaster().answered(0, Outcome.OK)
