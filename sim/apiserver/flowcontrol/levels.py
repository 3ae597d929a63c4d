"""The priority levels and flow schemas that every cluster starts with, and the seats that levels have of a server's.

Source: k8s.io/apiserver v0.35.0, pkg/apis/flowcontrol/bootstrap/default.go; pkg/util/flowcontrol/apf_controller.go
(finishQueueSetReconfigsLocked).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

SERVER_CONCURRENCY: Final = 600
"""Seats of one API server: --max-requests-inflight 400 plus --max-mutating-requests-inflight 200."""
_MAX_SEATS_SHARE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Level:
    """A PriorityLevelConfiguration.

    shares: nominal concurrency shares; lendable_percent of the nominal seats may be used by others;
    borrowing_limit_percent of them may be borrowed on top, None: as many as the server has; queues, hand_size,
    queue_length: queuing, no queues: reject at once; exempt: never limited.
    """

    name: str
    shares: int
    lendable_percent: int = 0
    queues: int = 0
    hand_size: int = 0
    queue_length: int = 0
    borrowing_limit_percent: int | None = None
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """A FlowSchema: which level its requests go to, and what tells its flows apart."""

    level: str
    flows_by: Literal["user", "namespace", ""] = ""


DEFAULT_LEVELS: Final[tuple[Level, ...]] = (
    Level("exempt", 0, exempt=True),
    Level("leader-election", 10, 0, 16, 4, 50),
    Level("node-high", 40, 25, 64, 6, 50),
    Level("system", 30, 33, 64, 6, 50),
    Level("workload-high", 40, 50, 128, 6, 50),
    Level("workload-low", 100, 90, 128, 6, 50),
    Level("global-default", 20, 50, 128, 6, 50),
    Level("catch-all", 5),
)

DEFAULT_SCHEMAS: Final[Mapping[str, Schema]] = {
    "exempt": Schema("exempt"),  # group system:masters
    "probes": Schema("exempt"),  # GET of /healthz, /readyz, /livez
    "system-leader-election": Schema("leader-election", "user"),  # leases of scheduler, controller manager, kube-system
    "system-node-high": Schema("node-high", "user"),  # kubelets: nodes, their status, leases
    "system-nodes": Schema("system", "user"),  # kubelets: the rest
    "kube-controller-manager": Schema("workload-high", "namespace"),
    "kube-scheduler": Schema("workload-high", "namespace"),
    "kube-system-service-accounts": Schema("workload-high", "namespace"),
    "service-accounts": Schema("workload-low", "user"),  # every other service account: operators
    "global-default": Schema("global-default", "user"),  # people and all who are left
    "catch-all": Schema("catch-all", "user"),  # matched by nothing above
}
"""In the order in which they are tried; the first that matches a request decides."""


@dataclass(frozen=True, slots=True)
class Seats:
    """A level's seats of a server's: nominal, at least (what it does not lend) and at most (with what it may borrow)."""

    nominal: int
    minimum: int
    maximum: int


def seats_of(level: Level, levels: Sequence[Level], total: int = SERVER_CONCURRENCY) -> Seats:
    """The seats of `level` among `levels`; nominal ones are rounded up, so that they sum to a little more than `total`."""
    shares = sum(each.shares for each in levels)
    nominal = math.ceil(total * level.shares / shares) if shares else 0
    lendable = _percent(nominal, level.lendable_percent)
    percent = level.borrowing_limit_percent
    borrowed = total if percent is None else _percent(nominal, percent)
    return Seats(nominal, nominal - lendable, nominal + borrowed)


def max_seats(nominal: int, hand_size: int) -> int:
    """The widest request that the work estimators make in a level with queues: 15% of it, or what a hand of queues shares."""
    return max(1, min(math.ceil(nominal * _MAX_SEATS_SHARE), nominal // hand_size))


def _percent(seats: int, percent: int) -> int:
    """Rounded, halves up (math.Round)."""
    return (seats * percent * 2 + 100) // 200
