"""Limits and costs of whoever takes requests: the leader, and members that hand them on."""

from __future__ import annotations

from dataclasses import dataclass

from sim.etcd import wal
from sim.etcd.request import Shape
from sim.units import SECOND, Bytes, Nanoseconds


@dataclass(frozen=True, slots=True)
class LeaderRules:
    """Limits and costs. quota: bytes, None without one; ready and entry: serial CPU of one turn and of one entry in it, request and
    request_per_kib: of the goroutine that takes a request and answers it, half of it each, ns; rtt: between members."""

    quota: Bytes | None
    request_timeout: Nanoseconds = 7 * SECOND
    max_gap: int = 5000
    ready: Nanoseconds = 0
    entry: Nanoseconds = 0
    request: Nanoseconds = 0
    request_per_kib: Nanoseconds = 0
    segment: Bytes = wal.SEGMENT
    rtt: Nanoseconds = 0
    max_request: Bytes = 1_572_864  # etcd: embed/config.go DefaultMaxRequestBytes
    refuses_all_txns: bool = False  # over the quota also those that store nothing (3.5.0 to 3.5.6)
    wake: Nanoseconds = 0  # CPU that a turn costs on other threads
    handoff: Nanoseconds = 0  # until the goroutines on an answer's way are awake

    def taking(self, shape: Shape, data: Bytes) -> Nanoseconds:
        """CPU of the goroutine that takes a request, ns. data: bytes of its entry."""
        return self.request - self.request // 2 + shape.request_ns + (data * self.request_per_kib >> 10)
