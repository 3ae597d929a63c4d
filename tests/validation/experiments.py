"""Small measurements on this machine behind sentences of docs/validate.md. Each ends within a minute; the machine should be idle.

    python tests/validation/experiments.py flush      a log's fdatasyncs while another file of the disk is flushed every 100 ms
    python tests/validation/experiments.py gc         latencies with and without Go's garbage collection
    python tests/validation/experiments.py pending    how many requests wait in etcd for their entry, of a closed loop's clients
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from sim.scenario.load_test import LoadTest
from sim.validation.measure import Measured, measure
from sim.validation.server import Cluster, find_etcd

MB = 1 << 20


def appended(path: Path, seconds: float, told: Any) -> None:
    """Append 1,500 B and fdatasync, again and again: when each began and how long it took, ns."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, 64 * MB)
    took, end, at = [], time.monotonic() + seconds, 0
    while time.monotonic() < end:
        began = time.monotonic_ns()
        os.pwrite(file, bytes(1500), at % (60 * MB))
        os.fdatasync(file)
        at += 1500
        took.append((began, time.monotonic_ns() - began))
    told.put(np.array(took))


def flush(place: Path) -> None:
    for size in (0, 16 << 10, 128 << 10, MB, 3 * MB, 10 * MB):
        told = multiprocessing.Queue()
        child = multiprocessing.Process(target=appended, args=(place / "log", 4, told))
        child.start()
        syncs, end = [], time.monotonic() + 3.7
        with (place / "file").open("w+b") as file:
            file.truncate(256 * MB)
            while size and time.monotonic() < end:
                time.sleep(0.1)
                for page in range(0, size, 4096):
                    os.pwrite(file.fileno(), os.urandom(4096), (len(syncs) * size + page) % (200 * MB))
                began = time.monotonic_ns()
                os.fdatasync(file.fileno())
                syncs.append((began, time.monotonic_ns()))
        found = told.get()
        child.join()
        beside = np.zeros(len(found), bool)
        for began, ended in syncs:
            beside |= (found[:, 0] < ended) & (found.sum(axis=1) > began)
        said = f"{size / MB:6.2f} MB: alone {ms(found[~beside, 1])}"
        if syncs:
            said += f"; beside the flush, which took {mean(b - a for a, b in syncs) / 1e6:.2f} ms: {ms(found[beside, 1])}"
        print(said)


def ms(took: np.ndarray[Any, Any]) -> str:
    return f"mean {took.mean() / 1e6:.3f}, p99 {np.quantile(took, 0.99) / 1e6:.2f}, max {took.max() / 1e6:.2f} ms"


def gc(place: Path) -> None:
    for fields in ({"rate": 5000}, {"clients": 16, "value_bytes": 1024}):
        for collected in ("100", "off", "100", "off"):
            os.environ["GOGC"] = collected
            one, _ = loaded(place, **fields)
            print(f"{fields}, GOGC={collected}: {latencies(one)}")


def pending(place: Path) -> None:
    for clients in (16, 64, 500):
        one, scrapes = loaded(place, clients=clients, value_bytes=1024)
        waiting = [scrape.value("etcd_server_proposals_pending") for scrape in scrapes]
        print(f"{clients} clients: {mean(waiting):.0f} pending of them; {latencies(one)}")


def loaded(place: Path, **fields: Any) -> tuple[Measured, list[Any]]:
    """A load of 5 s, and scrapes in the middle of it."""
    load = LoadTest(name="experiment", seconds=5, warmup_seconds=1, connections=4, **fields)
    scrapes: list[Any] = []
    with Cluster(find_etcd(None), 1, place) as cluster:

        def look() -> None:
            time.sleep(2.5)
            for _ in range(30):
                scrapes.append(cluster.leader.scrape())
                time.sleep(0.08)

        beside = threading.Thread(target=look)
        beside.start()
        one = measure(cluster, load, 1, place)
        beside.join()
    return one, scrapes


def latencies(one: Measured) -> str:
    parts = ("mean", "p50", "p90", "p99")
    return ", ".join(f"{part} {1e3 * (one.figures[f'etcd.request_seconds.{part}'] or 0):.2f}" for part in parts) + " ms"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        {"flush": flush, "gc": gc, "pending": pending}[sys.argv[1]](Path(folder))
