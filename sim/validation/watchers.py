"""Who watches a measurement's keys, a process of its own: counts events, and how late those come that carry their time of sending.

    python -m sim.validation.watchers < spec

Source: etcd api/etcdserverpb/rpc.proto, Watch.
"""

from __future__ import annotations

import json
import select
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, Final

from sim.scenario.load_test import LoadTest
from sim.units import SECOND, Nanoseconds
from sim.validation import messages, wire
from sim.validation.generator import STAMP, begin_at, exact_timers
from sim.validation.workload import AFTER_PREFIX, PREFIX

_LINGERS: Final = SECOND
"""After the load: events may still be on their way."""
_MOST_DELAYS: Final = 400_000


class Watchers:
    """Streams on all keys of a load, over one connection."""

    def __init__(self, load: LoadTest, endpoint: tuple[str, int]):
        self.load = load
        self.events = self.bytes = 0
        self.delays = array("q")
        self._counts_from: Nanoseconds = 0
        self.connection = wire.Connection(*endpoint)
        self.connection.on_event = self._arrived
        for _ in range(load.watchers):
            self.connection.watch(messages.watch(PREFIX, AFTER_PREFIX))

    def run(self, began: Nanoseconds) -> None:
        """Read until a second after the load."""
        self._counts_from = began + round(self.load.warmup_seconds * SECOND)
        self._read(began + round(self.load.seconds * SECOND) + _LINGERS)

    def settle(self) -> None:
        """Take the answers that say that each watch exists, before anything is written."""
        self._read(time.monotonic_ns() + SECOND // 2)

    def _read(self, until: Nanoseconds) -> None:
        socket = self.connection.socket
        socket.settimeout(None)
        while (left := until - time.monotonic_ns()) > 0:
            self.connection.flush()
            if select.select([socket], [], [], left / SECOND)[0]:
                self.connection.receive()

    def _arrived(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.bytes += len(data)
        count = data.count(STAMP)
        self.events += count
        if count and now > self._counts_from and len(self.delays) < _MOST_DELAYS:
            at = data.rfind(STAMP) + len(STAMP)
            if len(data) >= at + 8:
                self.delays.append(now - int.from_bytes(data[at : at + 8], "big"))


def main(read: Callable[[], str] = sys.stdin.readline, write: Callable[[str], Any] = print) -> int:
    """Watch as the spec on the first line of stdin says; its second line says when the load begins."""
    spec = json.loads(read())
    exact_timers()
    try:
        host, port = spec["endpoints"][0]
        watchers = Watchers(LoadTest.model_validate(spec["load"]), (host, port))
        watchers.settle()
        write("ready")
        sys.stdout.flush()
        line = read()
        if not line:
            return 1
        cpu = time.process_time()
        began = begin_at(line)
        watchers.run(began)
        cpu = time.process_time() - cpu
    except (OSError, wire.Broken) as error:
        write(json.dumps({"error": str(error)}))
        return 1
    with open(spec["save"], "wb") as file:
        watchers.delays.tofile(file)
    share = cpu / (watchers.load.seconds + _LINGERS / SECOND)
    write(json.dumps({"events": watchers.events, "bytes": watchers.bytes, "cpu_share": share}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
