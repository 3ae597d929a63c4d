"""Measure what watchers that are behind, or do not read, do to a real etcd: puts meanwhile, and its own metrics.

    python tests/etcd/record_watchers.py --etcd PATH [--etcd PATH ...] > tests/etcd/watchers_measured.json

One member on loopback, without a compaction. `behind`: a watcher begins so many revisions before the newest; a client
puts meanwhile, 2 ms after each answer, until the watcher is synced. `deaf`: a watcher whose client has HTTP/2's first windows
and reads nothing; puts until etcd counts it as slow.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sim.validation import messages, wire
from sim.validation.server import Cluster, Member, version_of

KEY, VALUE = 14, 400
PREFIX = b"/lab/"
PAUSE = 0.002
METRICS = {name: f"etcd_debugging_mvcc_{name}_total" for name in ("slow_watcher", "watcher", "pending_events")}


def key(number: int) -> bytes:
    return PREFIX + b"%09d" % number


def watch(start: int) -> bytes:
    """WatchRequest with a WatchCreateRequest of everything, from a revision."""
    return messages.text(1, messages.text(1, PREFIX) + messages.text(2, b"/lab0") + messages.number(3, start))


def fill(member: Member, count: int) -> None:
    connection = wire.Connection(*member.endpoint)
    made = flying = 0
    while made < count or flying:
        while flying < 500 and made < count:
            connection.call(messages.PUT, messages.put(key(made), b"v" * VALUE))
            made, flying = made + 1, flying + 1
        connection.flush()
        flying -= len(connection.receive())
    connection.close()


def puts(member: Member, lasts: float, done: threading.Event | None = None) -> list[float]:
    """Seconds that each put took, one after the other."""
    connection, took, began = wire.Connection(*member.endpoint), [], time.monotonic()
    while time.monotonic() < began + lasts and not (done and done.is_set()):
        sent = time.monotonic()
        failed, _ = connection.ask(messages.PUT, messages.put(key(len(took) % 100), b"v" * VALUE), 30)
        if failed:
            raise RuntimeError(failed)
        took.append(time.monotonic() - sent)
        time.sleep(PAUSE)
    connection.close()
    return took


def told(took: list[float]) -> dict[str, float]:
    ranked = sorted(took)
    shares = {f"p{round(100 * q)}": ranked[int(q * len(ranked))] for q in (0.5, 0.9, 0.99)}
    return {"puts": len(took), **{name: round(value, 6) for name, value in shares.items()}, "max": round(ranked[-1], 6),
            "mean": round(sum(took) / len(took), 6)}  # fmt: skip


def behind(etcd: Path, count: int, lasts: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="watchers-") as place, Cluster(etcd, 1, Path(place)) as cluster:
        member = cluster.members[0]
        fill(member, count)
        time.sleep(0.5)
        bare = told(puts(member, 2.0))
        reader, caught_up = wire.Connection(*member.endpoint), threading.Event()
        reader.on_event = lambda data: None
        reader.watch(watch(2))
        began = time.monotonic()

        def read() -> None:
            reader.socket.settimeout(0.2)
            while not caught_up.is_set():
                reader.flush()
                try:
                    reader.receive()
                except TimeoutError:
                    continue

        def look() -> None:
            time.sleep(0.3)
            while not caught_up.wait(0.1):
                if member.scrape().value(METRICS["slow_watcher"]) == 0:
                    caught_up.set()

        threads = [threading.Thread(target=target) for target in (read, look)]
        for thread in threads:
            thread.start()
        took = puts(member, lasts, caught_up)
        seconds, synced = time.monotonic() - began, caught_up.is_set()
        caught_up.set()
        for thread in threads:
            thread.join()
        return {"revisions": count, "bare": bare, "while_behind": told(took), "seconds": round(seconds, 3), "synced": synced}


def deaf(etcd: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="watchers-") as place, Cluster(etcd, 1, Path(place)) as cluster:
        member = cluster.members[0]
        reader = wire.Connection(*member.endpoint, bounded=True)
        reader.watch(watch(0))
        reader.flush()
        time.sleep(0.5)
        connection, count = wire.Connection(*member.endpoint), 0
        seen = dict.fromkeys(METRICS, 0.0)
        while count < 5_000 and not seen["slow_watcher"]:
            for _ in range(5):
                connection.ask(messages.PUT, messages.put(key(count), b"v" * VALUE))
                count += 1
            scrape = member.scrape()
            seen = {name: scrape.value(metric) for name, metric in METRICS.items()}
        reader.close()
        return {"puts_until_slow": count, **seen}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--etcd", required=True, type=Path, action="append")
    parser.add_argument("--behind", type=int, nargs="*", default=[10_000, 60_000])
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    rows = []
    for etcd in given.etcd:
        far = [behind(etcd, count, given.seconds) for count in given.behind]
        row = {"version": version_of(etcd), "deaf": deaf(etcd), "behind": far}
        print(json.dumps(row), file=sys.stderr)
        rows.append(row)
    made_by = f"tests/etcd/record_watchers.py --behind {' '.join(str(count) for count in given.behind)} --seconds {given.seconds:g}"
    print(json.dumps({"made_by": made_by, "key_bytes": KEY, "value_bytes": VALUE, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
