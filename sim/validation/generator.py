"""The client of a measurement, a process of its own: sends one workload and notes how long each request took.

    python -m sim.validation.generator < spec

It connects, makes a few reads, says `ready`, waits for a line, sends the load, writes the latencies as 64-bit nanoseconds to the
file that the spec names, and prints a JSON object. One thread, one loop: what has come in is answered with the next requests of
those clients, which leave in one write a connection. Latency is from the moment a request was due to the moment its answer was
read: a closed loop's next request is due when the last answer is there, an open loop's when its calendar says so.
"""

from __future__ import annotations

import ctypes
import gc
import json
import select
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sim.units import SECOND, Nanoseconds
from sim.validation import wire
from sim.validation.workload import LEASE_TTL, Workload

_PATIENCE: Final[Nanoseconds] = 10 * SECOND
"""How long answers are waited for after the end."""
_TIMER_SLACK: Final = 29
"""prctl(PR_SET_TIMERSLACK): by default Linux may let a sleep end 50 us late."""


@dataclass(slots=True)
class _Client:
    """One logical client: where it is in the requests of its `op`."""

    place: int
    """Which of the connections it uses."""
    requests: Iterator[tuple[str, bytes]]
    due: Nanoseconds = 0


class Generator:
    """Sends one workload; `latencies` in nanoseconds, `on_time`: answers that came before the end."""

    def __init__(self, spec: dict[str, Any]):
        self.workload = Workload(**spec["workload"])
        self.seconds: float = spec["seconds"]
        self.seed: int = spec["seed"]
        self.latencies = array("q")
        self.on_time = self.failed = self.late_starts = 0
        self.last_answer = b""
        self._numbers = iter(range(1 << 62))
        self._over = self.workload.overwritten(self.seed)
        self._value = _incompressible(self.workload.value_bytes)
        host, port = spec["host"], int(spec["port"])
        self.connections = [wire.Connection(host, port) for _ in range(self.workload.connections)]
        self._flying: dict[tuple[int, int], _Client] = {}
        self._asides: set[tuple[int, int]] = set()
        self.compactions = 0

    def warm_up(self) -> None:
        """A few reads on each connection: they change nothing."""
        for connection in self.connections:
            for _ in range(20):
                connection.call(wire.RANGE, wire.read(b"/nothing"))
                connection.flush()
                while not connection.receive():
                    connection.flush()

    def run(self) -> None:
        """Send the load and wait for the last answer."""
        workload, began = self.workload, time.perf_counter_ns()
        end = began + round(self.seconds * SECOND)
        for connection in self.connections:
            connection.socket.settimeout(None)
        if workload.rate:
            calendar = [began + at for at in workload.arrivals(self.seconds, self.seed)]
            calendar.reverse()
        else:
            calendar = []
            clients = [_Client(i % len(self.connections), self._cycle()) for i in range(workload.clients)]
            for client in clients:
                self._send(client, time.perf_counter_ns())
        every = round(workload.compact_every * SECOND)
        compaction = began + every if every else end
        gone = 0
        while True:
            now = time.perf_counter_ns()
            while calendar and calendar[-1] <= now:
                due = calendar.pop()
                self.late_starts += now - due > SECOND // 1000
                self._send(_Client(gone % len(self.connections), self._cycle()), due)
                gone += 1
            if compaction <= now and compaction < end:
                compaction += every
                self._compact()
            for connection in self.connections:
                connection.flush()
            if not calendar and (now >= end or workload.rate) and not self._flying:
                return
            if now > end + _PATIENCE:
                self.failed += len(self._flying)
                return
            wake = min(calendar[-1] if calendar else end, compaction if compaction < end else end)
            self._wait(max(0, wake - time.perf_counter_ns()) if wake > now else SECOND // 10, end)

    def _wait(self, most: Nanoseconds, end: Nanoseconds) -> None:
        """Take the answers that come within so many nanoseconds; each client of a closed loop goes on."""
        ready, _, _ = select.select([connection.socket for connection in self.connections], [], [], most / SECOND)
        for place, connection in enumerate(self.connections):
            if connection.socket not in ready:
                continue
            ended = connection.receive()
            now = time.perf_counter_ns()
            for stream, answer in ended:
                if (place, stream) in self._asides:
                    self._asides.discard((place, stream))
                    continue
                client = self._flying.pop((place, stream))
                self.latencies.append(now - client.due)
                if answer is None:
                    self.failed += 1
                else:
                    self.last_answer = answer
                    self.on_time += now <= end
                if now < end and not self.workload.rate:
                    self._send(client, now)
            connection.flush()

    def _send(self, client: _Client, due: Nanoseconds) -> None:
        client.due = due
        method, message = next(client.requests)
        self._flying[client.place, self.connections[client.place].call(method, message)] = client

    def _compact(self) -> None:
        if revision := wire.revision_of(self.last_answer):
            self.compactions += 1
            self._asides.add((0, self.connections[0].call(wire.COMPACT, wire.compact(revision))))

    def _cycle(self) -> Iterator[tuple[str, bytes]]:
        workload, value = self.workload, self._value
        while True:
            match workload.op:
                case "put_new":
                    yield wire.PUT, wire.put(workload.key(next(self._numbers)), value)
                case "put_over":
                    yield wire.PUT, wire.put(workload.key(next(self._over)), value)
                case "put_delete":
                    key = workload.key(next(self._numbers))
                    yield wire.PUT, wire.put(key, value)
                    yield wire.DELETE, wire.delete(key)
                case "lease":
                    number = next(self._numbers)
                    lease = workload.lease(number)
                    yield wire.GRANT, wire.grant(LEASE_TTL, lease)
                    yield wire.PUT, wire.put(workload.key(number), value, lease)
                    yield wire.REVOKE, wire.revoke(lease)
                case "read":
                    yield wire.RANGE, wire.read(b"/nothing")


def _incompressible(size: int) -> bytes:
    """Bytes that no disk compresses, the same in every run."""
    import random

    return random.Random(1).randbytes(size)


def _exact_timers() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_TIMER_SLACK, 1_000, 0, 0, 0)


def main(read: Callable[[], str] = sys.stdin.readline, write: Callable[[str], Any] = print) -> int:
    """One load, as the spec on the first line of stdin says; starts at its second line."""
    spec = json.loads(read())
    _exact_timers()
    try:
        generator = Generator(spec)
        generator.warm_up()
        gc.collect()
        gc.disable()  # nothing below makes cycles; a collection would stand in the latencies
        write("ready")
        sys.stdout.flush()
        if not read():
            return 1  # whoever started us is gone
        began, cpu = time.perf_counter_ns(), time.process_time_ns()
        generator.run()
        cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - began
    except (OSError, wire.Broken) as error:
        write(json.dumps({"error": str(error)}))
        return 1
    with open(spec["save"], "wb") as file:
        generator.latencies.tofile(file)
    write(
        json.dumps(
            {
                "requests": len(generator.latencies), "on_time": generator.on_time, "failed": generator.failed,
                "late_starts": generator.late_starts, "compactions": generator.compactions, "cpu_seconds": cpu / SECOND,
                "wall_seconds": wall / SECOND,
            }
        )
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
