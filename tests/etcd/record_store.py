"""Record what a real etcd's store answers to random operations, as golden traces for `etcdsim conform`.

    python tests/etcd/record_store.py --etcd /path/to/etcd --seed 8 --count 5000 > data/golden/etcd.store/3.5.1-random.jsonl

Puts, deletes of one key and of ranges, transactions with a right and a wrong mod revision, compactions to revisions that are
possible, passed and not there yet, and reads of ranges as they were at any of these. Made small on purpose: a dozen keys, so that
each is created, overwritten, deleted and compacted many times.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.validation import messages, wire
from sim.validation.scrape import Scrape
from sim.validation.server import Cluster, Member, version_of

KEYS = 12
STEP = 1_000_000
"""Nanoseconds between two calls of a trace: the store does not look at the clock."""


class Recorder:
    """Random calls to one member, each with its answer."""

    def __init__(self, member: Member, seed: int):
        self._member, self._random = member, random.Random(seed)
        self._connection = wire.Connection(*member.endpoint)
        self._revision, self._compacted = 1, 0
        self._modified: dict[str, int] = {}
        self._tombstones: list[int] = []

    def calls(self, count: int) -> Iterator[dict[str, Any]]:
        """So many calls, and what the store looks like now and then."""
        kinds = ("put", "delete", "txn", "compact", "range")
        for number in range(count):
            kind = self._random.choices(kinds, (40, 12, 20, 2, 26))[0]
            args, out = getattr(self, kind)()
            yield {"at": number * STEP, "op": kind, "args": args, "out": out}
            if number % 500 == 499 or number == count - 1:
                yield {"at": number * STEP, "op": "store", "args": [], "out": self._store()}

    def put(self) -> tuple[list[Any], dict[str, Any]]:
        key = self._key()
        answer = self._ask(messages.PUT, messages.put(key.encode(), b"v" * self._random.randrange(60)))
        self._revision = self._modified[key] = messages.revision_of(answer)
        return [key], {"revision": self._revision}

    def delete(self) -> tuple[list[Any], dict[str, Any]]:
        key, end = self._range(0.25)
        answer = self._ask(messages.DELETE, messages.delete(key.encode(), end.encode()))
        self._revision = messages.revision_of(answer)
        if messages.integer(answer, 2):
            self._tombstones.append(self._revision)
        return [key, end], {"deleted": messages.integer(answer, 2), "revision": self._revision}

    def txn(self) -> tuple[list[Any], dict[str, Any]]:
        key = self._key()
        expected = self._random.choice([0, self._modified.get(key, 0), self._modified.get(key, 0), self._revision])
        answer = self._ask(messages.TXN, messages.update(key.encode(), expected, b"w"))
        self._revision = messages.revision_of(answer)
        succeeded = bool(messages.integer(answer, 2))
        modified = self._revision if succeeded else messages.integer(answer, 3, 1, 2, 3)
        self._modified[key] = modified
        return [key, expected], {"succeeded": succeeded, "modified": modified, "revision": self._revision}

    def compact(self) -> tuple[list[Any], dict[str, Any]]:
        choices = [self._revision, self._revision + 1, self._compacted, max(1, self._compacted - 1)]
        choices += [self._random.randint(self._compacted + 1, self._revision)] * 4 if self._revision > self._compacted else []
        choices += self._tombstones[-3:]  # releases differ in what becomes of a tombstone exactly there
        revision = self._random.choice(choices)
        failed, _ = self._connection.ask(messages.COMPACT, messages.compact(revision, physical=True))
        if not failed:
            self._compacted = revision
        return [revision], {"error": failed.partition(": ")[2]}

    def range(self) -> tuple[list[Any], dict[str, Any]]:
        key, end = self._range(0.7)
        revision = self._random.choice([0, 0, self._revision, self._compacted, self._compacted - 1, self._revision + 1])
        if self._revision > self._compacted and self._random.random() < 0.5:
            revision = self._random.randint(max(self._compacted, 1), self._revision)
        revision = max(revision, 0)
        limit = self._random.choice([0, 0, 1, 3])
        question = messages.read(key.encode(), end.encode(), limit=limit) + messages.number(4, revision)
        failed, answer = self._connection.ask(messages.RANGE, question)
        kvs = [
            [_text(value), messages.integer(value, 2), messages.integer(value, 3), messages.integer(value, 4)]
            for field, value in messages.fields(answer)
            if field == 2 and isinstance(value, bytes)
        ]
        out = {"error": failed.partition(": ")[2], "kvs": kvs, "count": messages.integer(answer, 4)}
        return [key, end, revision, limit], {**out, "more": bool(messages.integer(answer, 3))}

    def _store(self) -> dict[str, Any]:
        scrape: Scrape = self._member.scrape()
        return {
            "keys": int(scrape.value("etcd_debugging_mvcc_keys_total")),
            "revision": int(scrape.value("etcd_debugging_mvcc_current_revision")),
            "compacted": int(scrape.value("etcd_debugging_mvcc_compact_revision")),
            "removed": int(scrape.value("etcd_debugging_mvcc_db_compaction_keys_total")),
        }

    def _ask(self, method: str, message: bytes) -> bytes:
        failed, answer = self._connection.ask(method, message)
        if failed:
            raise RuntimeError(failed)
        return answer

    def _key(self) -> str:
        return f"k{self._random.randrange(KEYS):02d}"

    def _range(self, share: float) -> tuple[str, str]:
        """One key, or with that probability a range of them."""
        key = self._key()
        return (key, f"k{min(int(key[1:]) + self._random.randint(1, 6), 99):02d}") if self._random.random() < share else (key, "")


def _text(kv: bytes) -> str:
    key = messages.find(kv, 1)
    return key.decode() if isinstance(key, bytes) else ""


def record(etcd: Path, seed: int, count: int, place: Path) -> Iterator[str]:
    """The lines of a trace."""
    version = version_of(etcd)
    yield json.dumps(
        {
            "format": 1, "mechanism": "etcd.store", "library": "go.etcd.io/etcd/server/v3", "version": f"v{version}", "seed": seed,
            "config": {"patch": int(version.split(".")[2])}, "made_by": f"tests/etcd/record_store.py --seed {seed} --count {count}",
        }
    )  # fmt: skip
    with Cluster(etcd, 1, place) as cluster:
        for call in Recorder(cluster.members[0], seed).calls(count):
            yield json.dumps(call, separators=(",", ":"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--etcd", required=True, type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=4000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="record-") as place:
        for line in record(given.etcd, given.seed, given.count, Path(place)):
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
