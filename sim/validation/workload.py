"""What is sent to etcd: the one description that the real run and the simulated one read.

A closed loop has `clients` that each wait for their answer before the next request; an open one sends at times drawn beforehand,
the same on both sides. A client repeats the requests of its `op`:

    put_new     put a key that never existed
    put_over    put one of `key_space` keys, drawn evenly
    put_delete  put a key that never existed, delete it
    lease       grant a lease, put a new key under it, revoke it
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sim.errors import InputError, nearest
from sim.units import SECOND, Bytes, Nanoseconds

Op = Literal["put_new", "put_over", "put_delete", "lease", "read"]
"""`read` (a serializable get of a key that does not exist) is no workload: it measures what a request costs without any write."""
LEASE_TTL: Final = 3_600
_FIRST_LEASE: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Workload:
    """One load. clients: of a closed loop, or 0; rate: requests per second of an open one, or 0; compact_every: seconds, or 0."""

    name: str
    op: Op = "put_new"
    clients: int = 0
    rate: float = 0
    key_bytes: Bytes = 32
    value_bytes: Bytes = 1024
    key_space: int = 0
    compact_every: float = 0

    @property
    def connections(self) -> int:
        """TCP connections that the clients share: enough that none of them waits for HTTP/2's first window of 64 KiB."""
        in_flight = self.clients or 64
        return max(1, min(8, in_flight // 8, 1 + in_flight * self.value_bytes // 32_768))

    @property
    def about(self) -> str:
        """The load in a few words."""
        who = f"{self.rate:g} requests/s" if self.rate else "1 client" if self.clients == 1 else f"{self.clients} clients"
        what = {
            "put_new": "put new keys", "put_over": f"overwrite {self.key_space} keys", "put_delete": "put a key, delete it",
            "lease": "grant, put, revoke", "read": "read nothing",
        }[self.op]  # fmt: skip
        compacted = f", compaction every {self.compact_every:g} s" if self.compact_every else ""
        return f"{who}: {what}, {self.value_bytes} B{compacted}"

    def key(self, number: int) -> bytes:
        """The key of that number; all are equally long."""
        return b"/validate/%0*d" % (self.key_bytes - 10, number)

    def lease(self, number: int) -> int:
        """The id of that lease: all are 9 bytes as a varint, like the random ones of a client that names none."""
        return _FIRST_LEASE + number

    def arrivals(self, seconds: float, seed: int) -> list[Nanoseconds]:
        """When an open loop sends: a Poisson process; nanoseconds after the start."""
        draw, times, at = random.Random(seed), [], 0.0
        while (at := at + draw.expovariate(self.rate)) < seconds:
            times.append(round(at * SECOND))
        return times

    def overwritten(self, seed: int) -> Iterator[int]:
        """Numbers of the keys that `put_over` writes, in the order of sending."""
        draw = random.Random(seed)
        while True:
            yield draw.randrange(self.key_space)


WORKLOADS: Final = (
    Workload("c1-1k", clients=1),
    Workload("c8-1k", clients=8),
    Workload("c64-1k", clients=64),
    Workload("c256-256b", clients=256, value_bytes=256),
    Workload("c8-8k", clients=8, value_bytes=8192),
    Workload("r500-1k", rate=500),
    Workload("r2000-512b", rate=2000, value_bytes=512),
    Workload("over-compact", "put_over", rate=1000, value_bytes=512, key_space=1000, compact_every=3),
    Workload("put-delete", "put_delete", clients=8, value_bytes=512),
    Workload("lease", "lease", clients=8, value_bytes=256),
)


def choose(names: Sequence[str]) -> list[Workload]:
    """The workloads of these names, all of them where none is given. Raises InputError."""
    known = {workload.name: workload for workload in WORKLOADS}
    for name in names:
        if name not in known:
            raise InputError(f'"{name}" is not a workload{nearest(name, known) or "; one of " + ", ".join(known)}')
    return [known[name] for name in known if name in names] if names else list(WORKLOADS)
