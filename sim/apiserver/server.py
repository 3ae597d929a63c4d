"""An API server as its requests see it: the way in (handler, admission), the way to etcd and back.

Its handlers run in parallel, so a request's time here is drawn, not queued for. Simplified: no limit of requests in flight,
no priority and fairness, no request timeout; a handler's CPU is not shared with others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.apiserver.watch_cache import WatchCache
from sim.units import Nanoseconds


@dataclass(slots=True)
class ApiServer:
    """Delays of one API server, nanoseconds.

    to_client: one way between client and server; to_etcd: one way to etcd, gRPC and its goroutine included;
    overhead: draws the handler's time; admission: draws what admission adds to a write, None without webhooks.
    """

    to_client: Nanoseconds
    to_etcd: Nanoseconds
    overhead: Callable[[], Nanoseconds]
    admission: Callable[[], Nanoseconds] | None
    cache: WatchCache
    conflicts: int = 0
    rejected: int = 0

    def way_in(self) -> Nanoseconds:
        """From the client's socket to the arrival of the transaction at etcd."""
        admission = 0 if self.admission is None else self.admission()
        return self.to_client + self.overhead() + admission + self.to_etcd

    def way_again(self) -> Nanoseconds:
        """From a failed transaction's answer to the arrival of the next attempt: admission runs again, the rest does not."""
        return self.to_etcd + (0 if self.admission is None else self.admission())
