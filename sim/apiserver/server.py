"""An API server as its requests see it: its distances, its handlers, its admission, its limits, and when it is down.

Its handlers run in parallel, so a request's time here is drawn, not queued for; what is queued for are seats (`flow_control`).
Simplified: a handler's CPU is not shared with others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sim.apiserver.versions import Versions
from sim.apiserver.webhooks import Webhook, review
from sim.units import SECOND, Bytes, Nanoseconds

BODY_LIMIT: Final[Bytes] = 3 * 2**20
"""Largest body of a request (apiserver pkg/server/config.go MaxRequestBodyBytes)."""
WRITE_DEADLINE: Final[Nanoseconds] = 34 * SECOND
"""How long the server works on a write before it answers with a timeout (pkg/endpoints/handlers, requestTimeoutUpperBound)."""


@dataclass(slots=True)
class ApiServer:
    """One API server, times in nanoseconds.

    to_client: one way between client and server; to_etcd: one way to etcd, gRPC and its goroutine included; overhead: draws the
    handler's time; admission: draws what compiled-in admission adds to a write, None where nothing; per_object: time that a list
    takes for each object. outages: (from, until) when nobody listens, rising. cache: versions as its watch cache knows them.
    """

    to_client: Nanoseconds
    to_etcd: Nanoseconds
    overhead: Callable[[], Nanoseconds]
    admission: Callable[[], Nanoseconds] | None
    cache: Versions = field(default_factory=Versions)
    per_object: Nanoseconds = 0
    webhooks: list[Webhook] = field(default_factory=list)
    outages: list[tuple[Nanoseconds, Nanoseconds]] = field(default_factory=list)
    request_timeout: Nanoseconds = 60 * SECOND
    conflicts: int = 0
    rejected: int = 0
    throttled: int = 0
    unchanged: int = 0
    reads: int = 0

    def admit(self, operation: str, resource: str) -> tuple[Nanoseconds, bool]:
        """Admission of one write: how long it takes, and whether the write may go on."""
        took = 0 if self.admission is None else self.admission()
        if not self.webhooks:
            return took, True
        waited, allowed = review(self.webhooks, operation, resource)
        return took + waited, allowed

    def down(self, at: Nanoseconds) -> bool:
        """Whether nobody listens at `at`."""
        return any(begins <= at < ends for begins, ends in self.outages)
