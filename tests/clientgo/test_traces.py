"""Scripted traces: the queues' specification as text.

A file under tests/traces/queue_*.txt names its queue in the first line that is no comment, then has a call a line
with the answer beside it. `wait` lets time pass. Run with REWRITE_TRACES=1 to put in what our queues answer; review the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sim.clientgo.delaying import DelayingQueue
from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.rate_limiting import RateLimitingQueue
from sim.clientgo.workqueue import Queue
from sim.units import parse_duration

TRACES = sorted((Path(__file__).parent.parent / "traces").glob("queue_*.txt"))
QUEUES = {
    "queue": Queue,
    "delaying": DelayingQueue,
    "rate_limiting": RateLimitingQueue,
    "priority": PriorityQueue,
}


class Script:
    """A queue and the clock of its trace."""

    def __init__(self, kind: str):
        self.queue = QUEUES[kind]()
        self.now = 0

    def call(self, op: str, *args: str) -> str:
        """Make the call that a line describes; the answer as the line has it."""
        queue, now = self.queue, self.now
        match op, *args:
            case ["wait", duration]:
                self.now += parse_duration(duration)
                queue.advance(self.now)
            case ["get"]:
                key = queue.get(now)
                return str(key) if key is not None else "shutdown" if queue.shutting_down else "would block"
            case ["add_after", key, duration]:
                queue.add_after(now, key, parse_duration(duration))
            case ["add_opts", key, duration, priority]:
                queue.add_with_opts(now, key, parse_duration(duration), priority=int(priority))
            case ["metrics"]:
                return f"depth={queue.depth} adds={queue.adds} retries={queue.retries}"
            case ["num_requeues" | "priority_of", key]:
                return str(getattr(queue, op)(key))
            case ["forget", key]:
                queue.forget(key)
            case ["shut_down" | "shut_down_with_drain"]:
                getattr(queue, op)(now)
            case _:
                getattr(queue, op)(now, *args)
        return f"len={len(queue)}"


def played(text: str) -> str:
    """The trace with our answers in the place of the expected ones."""
    script: Script | None = None
    lines = []
    for line in text.splitlines():
        call, arrow, rest = line.partition("->")
        if not call.strip() or line.startswith("#"):
            lines.append(line)
        elif script is None:
            script = Script(call.strip())
            lines.append(line)
        else:
            assert arrow, f"no answer in {line!r}"
            answer, hash_sign, comment = rest.partition("#")
            ours = script.call(*call.split())
            padded = f" {ours}".ljust(len(answer)) if hash_sign else f" {ours}"
            lines.append(f"{call}->{padded}{hash_sign}{comment}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    text = path.read_text()
    ours = played(text)
    if os.environ.get("REWRITE_TRACES"):
        path.write_text(ours)
    assert ours == text


def test_there_are_traces() -> None:
    assert len(TRACES) >= 12
