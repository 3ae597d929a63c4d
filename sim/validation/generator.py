"""The client of a measurement, a process of its own: sends one load and notes how long each request took.

    python -m sim.validation.generator < spec

It connects, makes a few reads, says `ready`, waits for a line with the moment to begin (of the monotonic clock, which all processes
share), sends the load, writes one record a request to the file that the spec names, and prints a JSON object. One thread, one loop:
what has come in is answered with the next requests of those clients, which leave in one write a connection.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import select
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

from sim.scenario.load_test import KINDS, LoadTest
from sim.units import SECOND, Nanoseconds
from sim.validation import messages, wire
from sim.validation.workload import AFTER_PREFIX, PREFIX, Request, Requests, arrivals, new_key, old_key

_TIMER_SLACK: Final = 29
"""prctl(PR_SET_TIMERSLACK): by default Linux may let a sleep end 50 us late."""
STAMP: Final = b"@TS@"
"""Marks the time of sending inside a value, where somebody watches."""
_EXPIRES_EVERY: Final[Nanoseconds] = SECOND // 4
GAVE_UP: Final = "client timeout"


_NONE: Final = Request("", 0, False)


@dataclass(slots=True)
class _Client:
    """One logical client. place: the connection it uses; due: when its request was due; sent: when it left."""

    place: int
    number: int
    due: Nanoseconds = 0
    sent: Nanoseconds = 0
    request: Request = _NONE


@dataclass(slots=True)
class Records:
    """One row a request that ended: begun after the start, took, kind, how it ended (0: well, else a place in `codes`)."""

    began: array[int] = field(default_factory=lambda: array("q"))
    took: array[int] = field(default_factory=lambda: array("q"))
    kind: array[int] = field(default_factory=lambda: array("b"))
    code: array[int] = field(default_factory=lambda: array("h"))
    codes: dict[str, int] = field(default_factory=lambda: {"": 0})

    def add(self, began: Nanoseconds, took: Nanoseconds, kind: str, failed: str) -> None:
        self.began.append(began)
        self.took.append(took)
        self.kind.append(_NUMBER[kind])
        self.code.append(self.codes.setdefault(failed, len(self.codes)))

    def save(self, path: str) -> None:
        with open(path, "wb") as file:
            for column in (self.began, self.took, self.kind, self.code):
                column.tofile(file)


_NUMBER: Final = {kind: number for number, kind in enumerate(KINDS)}


class Generator:
    """Sends one load to `endpoints`, (host, port) each."""

    def __init__(self, load: LoadTest, seed: int, endpoints: list[tuple[str, int]], index: int = 0, of: int = 1):
        self.load, self.seed, self.index, self.of = load, seed, index, of
        self.records = Records()
        self.conflicts = self.deleted = self.late_starts = 0
        self.cpu_share = 0.0
        self._requests = Requests(load, seed, index, of)
        self._draw = random.Random(f"{seed} {index} think")
        self._value = random.Random(5).randbytes(load.value_bytes)  # no disk compresses it
        self._expected: dict[int, int] = {}  # mod revision by key of the key space, where transactions ask for it
        count = max(1, load.connections // of)
        self.connections = [wire.Connection(*endpoints[place % len(endpoints)]) for place in range(count)]
        self._flying: dict[tuple[int, int], _Client] = {}
        self._timers: list[tuple[Nanoseconds, int, _Client]] = []
        self._began: Nanoseconds = 0
        self._end: Nanoseconds = 0

    def warm_up(self) -> None:
        """A few reads on each connection: they change nothing. Learns the mod revisions that transactions expect."""
        for connection in self.connections:
            for _ in range(20):
                connection.ask(messages.RANGE, messages.read(b"/nothing", serializable=True))
        if "txn" in self.load.shares and self.load.preload:
            question = messages.read(PREFIX + b"k", PREFIX + b"l", keys_only=True)
            _, answer = self.connections[0].ask(messages.RANGE, question, 60)
            kvs = (value for number, value in messages.fields(answer) if number == 2)
            self._expected = {place: messages.integer(kv, 3) for place, kv in enumerate(kvs) if isinstance(kv, bytes)}

    def run(self, began: Nanoseconds) -> None:
        """Send the load from that moment on and wait for the last answers."""
        load, clock = self.load, time.monotonic_ns
        self._began, self._end = began, began + round(load.seconds * SECOND)
        for connection in self.connections:
            connection.socket.settimeout(None)
        calendar = [began + at for at in arrivals(load, self.seed, self.index, self.of)]
        calendar.reverse()
        for number in range(self.index, load.clients or 0, self.of):
            at = began + round(self._draw.random() * load.think_seconds * SECOND)
            client = _Client(number // self.of % len(self.connections), number)
            heappush(self._timers, (at, number, client))
        timeout, sent, marks = round(load.timeout_seconds * SECOND), 0, _CpuMarks(began + round(load.warmup_seconds * SECOND))
        expires = began + _EXPIRES_EVERY
        end, timers = self._end, self._timers
        while True:
            now = clock()
            marks.look(now)
            while calendar and calendar[-1] <= now:
                due = calendar.pop()
                self.late_starts += now - due > SECOND // 1000
                self._send(_Client(sent % len(self.connections), sent), due)
                sent += 1
            while timers and timers[0][0] <= now:
                _, _, client = heappop(timers)
                if now < end:
                    self._send(client, now)
            for connection in self.connections:
                connection.flush()
            if now >= end and not self.cpu_share:
                self.cpu_share = marks.share(now)
            if now >= expires:
                expires = now + _EXPIRES_EVERY
                self._expire(now - timeout)
            if now >= end and not calendar and not self._flying:
                return
            wake = min(
                expires, calendar[-1] if calendar else expires, timers[0][0] if timers else expires, end if now < end else expires
            )  # fmt: skip
            self._wait(max(0, wake - clock()))

    def _wait(self, most: Nanoseconds) -> None:
        """Take the answers that come within so many nanoseconds; each client of a closed loop goes on."""
        ready, _, _ = select.select([connection.socket for connection in self.connections], [], [], most / SECOND)
        for place, connection in enumerate(self.connections):
            if connection.socket not in ready:
                continue
            ended = connection.receive()
            now = time.monotonic_ns()
            for stream, failed, answer in ended:
                client = self._flying.pop((place, stream), None)
                if client is not None:
                    self._done(client, now, failed, answer)
            connection.flush()

    def _done(self, client: _Client, now: Nanoseconds, failed: str, answer: bytes) -> None:
        kind = client.request.kind
        self.records.add(client.due - self._began, now - client.due, kind, failed)
        if not failed and kind == "txn":
            self._learn(client.request.key, answer)
        elif not failed and kind == "delete":
            self.deleted += messages.integer(answer, 2)
        load = self.load
        if load.rate or now >= self._end:
            return
        pause = 0.0
        if failed:
            pause = load.error_backoff_seconds
        elif load.think_seconds:
            pause = load.think_seconds if load.think == "fixed" else self._draw.expovariate(1 / load.think_seconds)
        if pause:
            heappush(self._timers, (now + round(pause * SECOND), client.number, client))
        else:
            self._send(client, now)

    def _learn(self, key: int, answer: bytes) -> None:
        """The mod revision that the next transaction on this key expects."""
        if messages.integer(answer, 2):
            self._expected[key] = messages.revision_of(answer)
        else:
            self.conflicts += 1
            self._expected[key] = messages.integer(answer, 3, 1, 2, 3)  # response, range, kv, mod revision

    def _expire(self, before: Nanoseconds) -> None:
        """Give up what was sent before that."""
        for (place, stream), client in [*self._flying.items()]:
            if client.sent < before:
                del self._flying[place, stream]
                self.connections[place].forget(stream)
                self._done(client, time.monotonic_ns(), GAVE_UP, b"")

    def _send(self, client: _Client, due: Nanoseconds) -> None:
        client.due, client.sent = due, time.monotonic_ns()
        client.request = request = next(self._requests)
        method, message = self._encode(request)
        self._flying[client.place, self.connections[client.place].call(method, message)] = client

    def _encode(self, request: Request) -> tuple[str, bytes]:
        load = self.load
        if request.kind == "list":
            return messages.RANGE, messages.read(PREFIX, AFTER_PREFIX, limit=load.list_limit)
        key = new_key(load, request.key) if request.new else old_key(load, request.key)
        match request.kind:
            case "put_new" | "put_over":
                return messages.PUT, messages.put(key, self._payload())
            case "delete":
                return messages.DELETE, messages.delete(key)
            case "txn":
                return messages.TXN, messages.update(key, self._expected.get(request.key, 0), self._payload())
        return messages.RANGE, messages.read(key, serializable=request.kind == "get_serializable")

    def _payload(self) -> bytes:
        return stamped(self._value) if self.load.watchers else self._value


def stamped(value: bytes) -> bytes:
    """The value with the time of sending in it, where there is room."""
    stamp = STAMP + time.monotonic_ns().to_bytes(8, "big")
    return stamp + value[len(stamp) :] if len(value) >= len(stamp) else value


class _CpuMarks:
    """Which share of a core this process used since a moment."""

    def __init__(self, since: Nanoseconds):
        self._since, self._at, self._cpu = since, 0, 0

    def look(self, now: Nanoseconds) -> None:
        if not self._at and now >= self._since:
            self._at, self._cpu = now, time.process_time_ns()

    def share(self, now: Nanoseconds) -> float:
        return (time.process_time_ns() - self._cpu) / max(now - self._at, 1) if self._at else 0.0


def exact_timers() -> None:
    """Sleeps end when they should."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_TIMER_SLACK, 1_000, 0, 0, 0)


def begin_at(line: str) -> Nanoseconds:
    """The moment that a line of the parent's names, slept up to."""
    began = int(line)
    time.sleep(max(0, began - time.monotonic_ns()) / SECOND)
    return began


def main(read: Callable[[], str] = sys.stdin.readline, write: Callable[[str], Any] = print) -> int:
    """One load, as the spec on the first line of stdin says; its second line says when."""
    spec = json.loads(read())
    exact_timers()
    try:
        load, endpoints = LoadTest.model_validate(spec["load"]), [(host, port) for host, port in spec["endpoints"]]
        generator = Generator(load, spec["seed"], endpoints, spec["index"], spec["of"])
        generator.warm_up()
        gc.collect()
        gc.disable()  # nothing below makes cycles; a collection would stand in the latencies
        write("ready")
        sys.stdout.flush()
        line = read()
        if not line:
            return 1  # whoever started us is gone
        generator.run(begin_at(line))
    except (OSError, wire.Broken) as error:
        write(json.dumps({"error": str(error)}))
        return 1
    records = generator.records
    records.save(spec["save"])
    write(
        json.dumps(
            {
                "requests": len(records.took), "codes": list(records.codes), "conflicts": generator.conflicts,
                "deleted": generator.deleted, "late_starts": generator.late_starts, "cpu_share": generator.cpu_share,
                "cpu_seconds": time.process_time(),
            }
        )
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
