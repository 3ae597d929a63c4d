"""Record what leases do to the backend file of a real etcd, as golden files for `test_lease_bucket.py`.

    python tests/etcd/record_leases.py --etcd /path/to/etcd [--out data/golden/leases] [name ...]

Each case of CASES starts one etcd on loopback, grants leases under ids that etcd chooses, puts keys under them, revokes some of
them in random order, defragments, and reads the metrics in between and the pages of bucket `lease` at the end. The commits are
known: `commit_every` n sets backend-batch-limit n and an interval of an hour.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from record_bbolt import measure, pages_written, record, tree
from record_wal import Etcd, b64

STRACE = ["strace", "-D", "-f", "-e", "trace=pwrite64"]


@dataclass(frozen=True)
class Case:
    """What is done. keys: put under each lease, of `value` bytes; revoked: how many of the leases, chosen at random."""

    name: str
    leases: int
    commit_every: int
    keys: int = 0
    value: int = 100
    revoked: int = 0
    ttl: int = 3600
    defrag: bool = False
    traced: bool = False
    seed: int = 1

    def chosen(self) -> list[int]:
        """Numbers of the leases that are revoked, in order."""
        return random.Random(self.seed).sample(range(self.leases), self.revoked)

    def key(self, lease: int, number: int) -> bytes:
        """27 bytes."""
        return f"/registry/leased/{lease:05d}/{number:04d}".encode()


CASES = (
    Case("few", 20, commit_every=1, revoked=5),
    Case("few-and-none", 60, commit_every=1, revoked=60),
    Case("each-1", 1_500, commit_every=1, revoked=900),
    Case("each-20", 3_000, commit_every=20, revoked=1_000),
    Case("each-500", 6_000, commit_every=500, revoked=5_500, defrag=True),
    Case("keys-each-50", 2_000, commit_every=50, keys=1, revoked=1_500),
    Case("keys-of-10", 300, commit_every=100, keys=10, revoked=250, defrag=True),
    Case("written-each-20", 1_500, commit_every=20, revoked=500, traced=True),
)


def run(binary: str, case: Case) -> dict[str, Any]:
    """One case, and what etcd says of its file after each step."""
    result: dict[str, Any] = {"case": asdict(case)}
    with tempfile.NamedTemporaryFile(prefix="trace-") as trace:
        under = [*STRACE, "-o", trace.name] if case.traced else []
        flags = (f"--backend-batch-limit={case.commit_every}", "--backend-batch-interval=1h", "--quota-backend-bytes=4000000000")
        with Etcd(binary, *flags, under=under) as etcd:

            def note(step: str) -> None:
                result[step] = measure(etcd) | ({"written": pages_written(Path(trace.name))} if case.traced else {})

            result["etcd"] = etcd.version
            result["made"] = "tests/etcd/record_leases.py: one member on loopback, requests one after the other"
            note("empty")
            ids = [etcd.call("lease/grant", TTL=case.ttl)["ID"] for _ in range(case.leases)]
            assert sorted(map(int, ids)) == [*map(int, ids)]
            result["id_bytes"] = sorted({-(-int(number).bit_length() // 7) for number in ids})
            note("granted")
            if case.keys:
                for number, lease in enumerate(ids):
                    for place in range(case.keys):
                        etcd.call("kv/put", key=b64(case.key(number, place)), value=b64(bytes(case.value)), lease=lease)
                note("attached")
            if case.revoked:
                for number in case.chosen():
                    etcd.call("lease/revoke", ID=ids[number])
                note("revoked")
            if case.defrag:
                etcd.call("maintenance/defragment")
                note("defragmented")
            etcd.stop()
            result["file"] = tree((etcd.data / "member" / "snap" / "db").read_bytes(), b"lease")
    return result


if __name__ == "__main__":
    record(__doc__, CASES, run, "data/golden/leases", ("granted", "attached", "revoked", "defragmented"))
