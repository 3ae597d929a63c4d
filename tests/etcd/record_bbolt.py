"""Record how a real etcd fills and compacts its backend file, as golden files for `test_bbolt_bytes.py`.

    python tests/etcd/record_bbolt.py --etcd /path/to/etcd [--out data/golden/bbolt] [name ...]

Each case of CASES starts one etcd on loopback, puts values through its JSON gateway one after the other, compacts if the case
says so, and reads the metrics and, after the end, the pages of the file. `commit_every` n sets backend-batch-limit n and an
interval of an hour, so that the commits are known; without it etcd commits as it does by default, every 100 ms. `traced`
cases count the pages that etcd writes to the file; they need strace.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from record_wal import Etcd, b64

PAGE = 4096
BRANCH, LEAF = 1, 2


@dataclass(frozen=True)
class Case:
    """What is done. values: smallest and largest value in bytes; keys: names in turn at random, 0: each put a new key."""

    name: str
    puts: int
    values: tuple[int, int]
    keys: int = 0
    commit_every: int | None = None
    per_second: float | None = None
    compact: bool = False
    again: int = 0  # further puts after the compaction: they take the free pages
    traced: bool = False
    seed: int = 1

    def sizes(self, puts: int, seed: int) -> list[tuple[int, int]]:
        """Number of the key and size of the value of each put; small and large values are equally likely per factor of two."""
        draw = random.Random(seed)
        low, high = self.values
        return [
            (draw.randrange(self.keys) if self.keys else number, round(low * (high / low) ** draw.random()))
            for number in range(puts)
        ]


CASES = (
    Case("new-1k-each-1", 2_000, (1_024, 1_024), commit_every=1),
    Case("new-1k-each-2", 2_000, (1_024, 1_024), commit_every=2),
    Case("new-512-each-1", 2_000, (512, 512), commit_every=1),
    Case("new-64-each-200", 20_000, (64, 64), commit_every=200),
    Case("new-256-each-200", 20_000, (256, 256), commit_every=200),
    Case("new-mix-each-1", 2_000, (64, 5_000), commit_every=1),
    Case("new-mix-each-7", 4_000, (64, 5_000), commit_every=7),
    Case("new-mix-each-200", 20_000, (64, 5_000), commit_every=200),
    Case("new-large-each-20", 1_500, (500, 60_000), commit_every=20),
    Case("new-mix", 20_000, (64, 5_000)),
    Case("new-1k-slow", 600, (1_024, 1_024), per_second=15),
    Case("new-1k-idle", 150, (1_024, 1_024), per_second=5),
    Case("keys-10", 20_000, (64, 5_000), keys=10, commit_every=200, compact=True, again=5_000),
    Case("keys-2000", 20_000, (64, 5_000), keys=2_000, commit_every=200, compact=True, again=5_000),
    Case("keys-8000", 20_000, (64, 5_000), keys=8_000, commit_every=200, compact=True, again=5_000),
    Case("keys-8000-1k", 20_000, (1_024, 1_024), keys=8_000, commit_every=200, compact=True),
    Case("keys-2000-small", 20_000, (64, 300), keys=2_000, commit_every=200, compact=True, again=5_000),
    Case("keys-2000-large", 4_000, (2_000, 30_000), keys=400, commit_every=200, compact=True, again=2_000),
    Case("keys-2000-default", 20_000, (64, 5_000), keys=2_000, compact=True),
    Case("written-new-1k", 2_000, (1_024, 1_024), commit_every=20, traced=True),
    Case("written-new-mix", 2_000, (64, 5_000), commit_every=100, traced=True),
    Case("written-keys-mix", 4_000, (64, 5_000), keys=400, commit_every=100, compact=True, traced=True),
    Case("written-keys-1k", 6_000, (1_024, 1_024), keys=2_000, commit_every=100, compact=True, traced=True),
)


def key_name(number: int) -> bytes:
    """27 bytes."""
    return f"/registry/golden/{number:010d}".encode()


def tree(content: bytes, bucket: bytes = b"key") -> dict[str, Any]:
    """The pages of a bucket in a bbolt file: counts of leaves by number of elements and pages, branches by level."""
    metas = [struct.unpack_from("<4I2QQQQ", content, page * PAGE + 16) for page in (0, 1)]
    meta = max(metas, key=lambda fields: fields[8])
    root, high_water = meta[4], meta[7]

    def page(number: int) -> tuple[int, int, int, int]:
        _, flags, count, overflow = struct.unpack_from("<QHHI", content, number * PAGE)
        return number * PAGE, flags, count, overflow

    def leaf_elements(at: int, count: int) -> list[tuple[bytes, bytes, int]]:
        found = []
        for place in range(count):
            element = at + 16 + 16 * place
            flags, position, key, value = struct.unpack_from("<4I", content, element)
            begin = element + position
            found.append((content[begin : begin + key], content[begin + key : begin + key + value], flags))
        return found

    at, flags, count, overflow = page(root)
    assert flags & LEAF
    buckets = {name: value for name, value, _ in leaf_elements(at, count)}
    leaves: Counter[str] = Counter()
    branches: list[int] = []
    pages = 1 + overflow
    level = [root for (root,) in [struct.unpack_from("<Q", buckets[bucket])] if root]  # 0: it lies in the root's leaf
    fill = 0
    while level:
        below: list[int] = []
        for number in level:
            at, flags, count, overflow = page(number)
            pages += 1 + overflow
            if flags & LEAF:
                leaves[f"{count}/{1 + overflow}"] += 1
                fill += sum(16 + len(key) + len(value) for key, value, _ in leaf_elements(at, count))
            else:
                below += [struct.unpack_from("<IIQ", content, at + 16 + 16 * place)[2] for place in range(count)]
        if below:
            branches.append(len(level))
        level = below
    return {
        "leaves": dict(sorted(leaves.items())), "branches": branches, "pages": pages, "element_bytes": fill,
        "high_water": high_water, "root_pages": page(root)[3] + 1,
        "buckets_of_their_own": sorted(
            name.decode() for name, value in buckets.items() if struct.unpack_from("<Q", value)[0] and name != bucket
        ),
    }  # fmt: skip


def measure(etcd: Etcd) -> dict[str, int]:
    """Size and pages in use by etcd's metrics; refreshed by each commit."""
    return {
        "total": int(etcd.metric("etcd_mvcc_db_total_size_in_bytes")) // PAGE,
        "in_use": int(etcd.metric("etcd_mvcc_db_total_size_in_use_in_bytes")) // PAGE,
        "commits": int(etcd.metric("etcd_disk_backend_commit_duration_seconds_count")),
    }


def pages_written(trace: Path) -> int:
    """Pages in the pwrite64 calls that strace saw: only the backend is written by them, the WAL by write."""
    time.sleep(0.5)
    return sum(int(size) for size in re.findall(r"pwrite64.* = ([0-9]+)$", trace.read_text(), re.MULTILINE)) // PAGE


def run(binary: str, case: Case) -> dict[str, Any]:
    trace = Path(tempfile.mkstemp(prefix="trace-")[1])
    try:
        return run_traced(binary, case, trace)
    finally:
        trace.unlink()


def run_traced(binary: str, case: Case, trace: Path) -> dict[str, Any]:
    flags = [] if case.commit_every is None else [f"--backend-batch-limit={case.commit_every}", "--backend-batch-interval=1h"]
    result: dict[str, Any] = {"case": asdict(case)}

    def send(puts: int, seed: int) -> None:
        begin = time.monotonic()
        for number, (key, value) in enumerate(case.sizes(puts, seed)):
            if case.per_second is not None:
                time.sleep(max(0.0, begin + number / case.per_second - time.monotonic()))
            etcd.call("kv/put", key=b64(key_name(key)), value=b64(bytes(value)))
        result.setdefault("seconds", []).append(round(time.monotonic() - begin, 3))
        if case.commit_every is None:
            time.sleep(0.5)

    def measured(etcd: Etcd) -> dict[str, int]:
        return measure(etcd) | ({"written": pages_written(trace)} if case.traced else {})

    strace = ["strace", "-D", "-f", "-e", "trace=pwrite64", "-o", str(trace)] if case.traced else []
    with Etcd(binary, "--quota-backend-bytes=4000000000", *flags, under=strace) as etcd:
        result["etcd"] = etcd.version
        result["made"] = "tests/etcd/record_bbolt.py: one member on loopback, requests one after the other"
        result["empty"] = measured(etcd)
        send(case.puts, case.seed)
        result["filled"] = measured(etcd)
        if case.compact:
            revision = etcd.call("maintenance/status")["header"]["revision"]
            etcd.call("kv/compaction", revision=revision, physical=True)
            if case.commit_every is None:
                time.sleep(0.5)
            result["compacted"] = measured(etcd)
            result["deleted"] = int(etcd.metric("etcd_debugging_mvcc_db_compaction_keys_total"))
        if case.again:
            send(case.again, case.seed + 1)
            result["again"] = measured(etcd)
        etcd.stop()
        result["file"] = tree((etcd.data / "member" / "snap" / "db").read_bytes())
    return result


def record(about: str, cases: Sequence[Any], run: Callable[[str, Any], dict[str, Any]], folder: str, shown: Sequence[str]) -> None:
    """The command line of a recorder: run the cases that are named, or all, and write a file each. shown: what to print of them."""
    arguments = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--etcd", required=True, help="path of the etcd binary")
    arguments.add_argument("--out", type=Path, default=Path(folder))
    arguments.add_argument("names", nargs="*", help="cases; all if none is named")
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for case in cases:
        if not options.names or case.name in options.names:
            result = run(options.etcd, case)
            (options.out / f"{case.name}.json").write_text(json.dumps(result, indent=1) + "\n")
            print(case.name, {step: result[step] for step in shown if step in result})


if __name__ == "__main__":
    record(__doc__, CASES, run, "data/golden/bbolt", ("filled", "compacted", "again"))
