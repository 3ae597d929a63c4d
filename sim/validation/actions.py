"""What happens beside a load: compactions, leases that expire, a member that is stopped; and what comes before and after it.

Each action is a thread with a connection of its own; what it saw stands in its `log`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from sim.errors import InputError
from sim.scenario.load_test import LoadTest
from sim.units import SECOND, Nanoseconds
from sim.validation import messages, wire
from sim.validation.workload import (
    AFTER_LEASED,
    AFTER_PREFIX,
    AT_ONCE,
    FIRST_LEASE,
    LEASED,
    PREFIX,
    PRELOADED_AT_ONCE,
    leased_key,
    new_key,
    old_key,
)

Endpoint = tuple[str, int]
_LOOKS_EVERY = 0.05


class Stoppable(Protocol):
    """A member that can be stopped and go on."""

    name: str

    def suspend(self) -> None: ...
    def resume(self) -> None: ...


def preload(endpoint: Endpoint, load: LoadTest) -> None:
    """Put the keys that exist at the start. Raises InputError."""
    value = random.Random(6).randbytes(load.value_bytes)
    connection = wire.Connection(*endpoint)
    try:
        for first in range(0, load.preload, PRELOADED_AT_ONCE):
            last = min(first + PRELOADED_AT_ONCE, load.preload)
            calls = [(messages.PUT, messages.put(old_key(load, number), value)) for number in range(first, last)]
            if failed := next((why for why, _ in _together(connection, calls) if why), ""):
                raise InputError(f"{load.name}: a key cannot be put beforehand: {failed}")
    finally:
        connection.close()


class Action(threading.Thread):
    """Does its work from `began` (monotonic, ns) on; `end` waits for it, and raises what went wrong as an InputError."""

    def __init__(self, load: LoadTest, began: Nanoseconds, work: Callable[[Action], None]):
        super().__init__(daemon=True)
        self.load, self._began, self._work = load, began, work
        self.log: dict[str, Any] = {}
        self._failed: Exception | None = None
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            self._work(self)
        except (OSError, wire.Broken, InputError) as error:
            self._failed = error

    def until(self, seconds: float) -> bool:
        """Sleep up to so many seconds after the beginning; false if it is all over."""
        return not self._over.wait(max(0.0, (self._began - time.monotonic_ns()) / SECOND + seconds))

    @property
    def since(self) -> float:
        """Seconds since the beginning."""
        return (time.monotonic_ns() - self._began) / SECOND

    def end(self, within: float = 30.0) -> dict[str, Any]:
        self.join(within)
        if self._failed is not None:
            raise InputError(f"{self.load.name}: {type(self._failed).__name__} beside the load: {self._failed}")
        return self.log

    def cancel(self) -> None:
        """Come to an end, whatever it is doing."""
        self._over.set()
        self.join(10)


def compact(endpoint: Endpoint) -> Callable[[Action], None]:
    """Compact every so often, to the revision of that moment."""

    def work(action: Action) -> None:
        connection = wire.Connection(*endpoint)
        action.log["compactions"] = log = []
        every, number = action.load.compact_every_seconds or 0.0, 0
        while (number := number + 1) * every < action.load.seconds and action.until(number * every):
            _, answer = connection.ask(messages.STATUS)
            revision, at = messages.revision_of(answer), action.since
            failed, _ = connection.ask(messages.COMPACT, messages.compact(revision), 30)
            log.append({"at_seconds": at, "revision": revision, "failed": failed, "seconds": action.since - at})
        connection.close()

    return work


def leases(endpoint: Endpoint) -> Callable[[Action], None]:
    """Grant leases, put a key under each, look on while they expire."""

    def work(action: Action) -> None:
        load, log = action.load, action.log
        if not action.until(load.lease_at_seconds):
            return
        connection = wire.Connection(*endpoint)
        log["granted_from_seconds"], failures = action.since, 0
        value = b"x" * load.value_bytes
        for first in range(1, load.lease_count + 1, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, load.lease_count + 1))
            grants = [(messages.GRANT, messages.grant(load.lease_ttl or 0, FIRST_LEASE + number)) for number in numbers]
            puts = [(messages.PUT, messages.put(leased_key(number), value, FIRST_LEASE + number)) for number in numbers]
            failures += sum(bool(failed) for failed, _ in [*_together(connection, grants), *_together(connection, puts)])
        log |= {"granted_until_seconds": action.since, "failed": failures}
        left = load.lease_count
        while action.since < load.seconds and action.until(action.since + _LOOKS_EVERY):
            question = messages.read(LEASED, AFTER_LEASED, serializable=True, count_only=True)
            failed, answer = connection.ask(messages.RANGE, question)
            if failed:
                continue
            before, left = left, messages.integer(answer, 4)
            if left < before == load.lease_count:
                log["first_gone_seconds"] = action.since
            if not left:
                log.setdefault("last_gone_seconds", action.since)
        log["left"] = left
        connection.close()

    return work


def pause(choose: Callable[[str], Stoppable]) -> Callable[[Action], None]:
    """Stop a member for a while. choose: the member that is meant by `leader` or `follower` at that moment."""

    def work(action: Action) -> None:
        wanted = action.load.pause
        if wanted is None or not action.until(wanted.at_seconds):
            return
        victim = choose(wanted.who)
        action.log |= {"member": victim.name, "at_seconds": action.since}
        victim.suspend()
        try:
            action.until(wanted.at_seconds + wanted.for_seconds)
        finally:
            victim.resume()
            action.log["resumed_seconds"] = action.since

    return work


def recover(endpoint: Endpoint, load: LoadTest) -> list[dict[str, Any]]:
    """After a quota was reached: what still passes, and what brings writes back. One row a step."""
    connection = wire.Connection(*endpoint)
    rows: list[dict[str, Any]] = []

    def step(name: str, method: str, message: bytes = b"") -> None:
        began = time.monotonic()
        failed, _ = connection.ask(method, message, 20)
        seconds = time.monotonic() - began
        _, status = connection.ask(messages.STATUS)
        rows.append({"step": name, "failed": failed, "seconds": seconds, "db_bytes": messages.integer(status, 3)})

    one, key = messages.put(PREFIX + b"x", b"y"), new_key(load, 0)
    _, status = connection.ask(messages.STATUS)
    member = messages.integer(status, 1, 2)
    try:
        step("put", messages.PUT, one)
        step("get", messages.RANGE, messages.read(key))
        step("lease_grant", messages.GRANT, messages.grant(60, 0))
        step("delete", messages.DELETE, messages.delete(key))
        step("put_after_delete", messages.PUT, one)
        step("delete_all", messages.DELETE, messages.delete(PREFIX, AFTER_PREFIX))
        _, status = connection.ask(messages.STATUS)
        step("compact", messages.COMPACT, messages.compact(messages.revision_of(status), physical=True))
        step("put_after_compact", messages.PUT, one)
        step("defragment", messages.DEFRAGMENT)
        step("put_after_defragment", messages.PUT, one)
        step("disarm", messages.ALARM, messages.disarm(member))
        step("put_after_disarm", messages.PUT, one)
    finally:
        with suppress(OSError):
            connection.close()
    return rows


def _together(connection: wire.Connection, calls: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Several calls at once: how each ended, in their order."""
    streams = [connection.call(method, message) for method, message in calls]
    ended: dict[int, tuple[str, bytes]] = {}
    connection.socket.settimeout(30)
    while len(ended) < len(streams):
        connection.flush()
        for stream, failed, answer in connection.receive():
            ended[stream] = (failed, answer)
    return [ended[stream] for stream in streams]
