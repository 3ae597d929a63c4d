"""What the real client-go, x/time/rate and controller-runtime answered, replayed on ours: every answer must be the same.

Any trace put into a folder of data/golden that is named after a mechanism (names have a dot) is picked up.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from sim.clientgo import workqueue
from sim.conform.registry import MECHANISMS
from sim.conform.replay import replay

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
TRACES = sorted(path for path in GOLDEN.glob("*/*.jsonl") if "." in path.parent.name)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_replays_identically(path: Path) -> None:
    assert replay(path) is None


def test_every_mechanism_has_ten_thousand_recorded_calls() -> None:
    calls: Counter[str] = Counter()
    for path in TRACES:
        with path.open() as lines:
            calls[json.loads(next(lines))["mechanism"]] += sum(1 for _ in lines)
    assert {name: n for name, n in calls.items() if n < 10_000} == {}
    assert set(calls) == set(MECHANISMS)


def test_a_queue_that_delivers_a_readded_key_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic mistake: queueing a key that a worker holds, instead of leaving it dirty until Done."""

    def add(self: workqueue.Queue, now: int, key: object, priority: int = 0) -> bool:
        if key in self._dirty or self.shutting_down:
            return False
        self._dirty[key] = now
        self.adds += 1
        self._queue.append(key)
        return True

    monkeypatch.setattr(workqueue.Queue, "add", add)
    traces = [path for path in TRACES if path.parent.name == "workqueue.queue"]
    differences = [replay(path) for path in traces]
    assert all(differences)
    first = differences[0]
    assert first is not None
    assert "len" in str(first) or "key" in str(first)
