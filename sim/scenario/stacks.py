"""What a release of client-go or controller-runtime does by default: client limiter, queue, FIFO, resync, election.

Each figure was read in the release branches, in the file that is named:

- client limiter: client-go rest/config.go (QPS 5, burst 10); controller-runtime pkg/client/config/config.go: 20/30 up to
  0.20, from 0.21 QPS -1: no client limiter, the server's fairness limits; its burst is client-go's again;
- queue: controller-runtime pkg/controller/controller.go NewTypedUnmanaged: the priority queue exists from 0.20 and is the
  default from 0.23; with it the default limiter is the exponential one alone, without it client-go's default;
- FIFO: client-go features/known_features.go InOrderInformers: DeltaFIFO up to 0.32, RealFIFO from 0.33; which client-go
  comes with a controller-runtime stands in its go.mod (0.15 with 0.27, one up each release);
- resync: controller-runtime pkg/cache/cache.go defaultSyncPeriod; client-go: the caller of the factory gives one;
- leader election: controller-runtime pkg/manager/internal.go: 15 s, 10 s, 2 s; client-go has no defaults, the components
  use component-base config/v1alpha1/defaults.go: the same three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema

from sim.errors import nearest
from sim.scenario.limiters import DEFAULT_CONTROLLER, EXPONENTIAL, Limiter
from sim.scenario.refusal import refused, shown
from sim.units import HOUR, SECOND, Nanoseconds

QueueKind = Literal["rate_limiting", "priority"]
FifoKind = Literal["delta", "real"]


@dataclass(frozen=True, slots=True)
class Election:
    """The clocks of a leader-elected process."""

    lease: Nanoseconds = 15 * SECOND
    renew_deadline: Nanoseconds = 10 * SECOND
    retry_period: Nanoseconds = 2 * SECOND


@dataclass(frozen=True, slots=True)
class Stack:
    """The defaults of one release. qps: requests per second, None for no client limiter; resync: None for never."""

    name: str
    client_go: str
    qps: float | None
    burst: int
    queue: QueueKind
    has_priority_queue: bool
    fifo: FifoKind
    resync: Nanoseconds | None
    election: Election = Election()

    def limiter(self, queue: QueueKind) -> Limiter:
        """The default limiter of this kind of queue."""
        return EXPONENTIAL if queue == "priority" else DEFAULT_CONTROLLER


def _controller_runtime(minor: int) -> Stack:
    client_go = minor + 12
    return Stack(
        name=f"controller-runtime-0.{minor}",
        client_go=f"0.{client_go}",
        qps=20.0 if minor <= 20 else None,
        burst=30 if minor <= 20 else 10,  # from 0.21 on client-go's own, should a user set QPS again
        queue="priority" if minor >= 23 else "rate_limiting",
        has_priority_queue=minor >= 20,
        fifo=_fifo(client_go),
        resync=10 * HOUR,
    )


def _client_go(minor: int) -> Stack:
    return Stack(
        name=f"client-go-0.{minor}",
        client_go=f"0.{minor}",
        qps=5.0,
        burst=10,
        queue="rate_limiting",
        has_priority_queue=False,
        fifo=_fifo(minor),
        resync=None,
    )


def _fifo(client_go_minor: int) -> FifoKind:
    return "real" if client_go_minor >= 33 else "delta"


SOURCES: Final[dict[str, str]] = {
    "client.qps": "controller-runtime pkg/client/config/config.go, client-go rest/config.go",
    "client.burst": "controller-runtime pkg/client/config/config.go, client-go rest/config.go",
    "queue.kind": "controller-runtime pkg/controller/controller.go NewTypedUnmanaged",
    "queue.limiter": "client-go util/workqueue/default_rate_limiters.go, controller-runtime pkg/controller/controller.go",
    "fifo": "client-go features/known_features.go InOrderInformers",
    "resync": "controller-runtime pkg/cache/cache.go defaultSyncPeriod",
    "leader election": "controller-runtime pkg/manager/internal.go; lease / renew deadline / retry period",
}
"""The file in which each value of a stack was read."""

STACKS: Final[dict[str, Stack]] = {
    stack.name: stack for stack in (_client_go(34), *(_controller_runtime(minor) for minor in range(15, 24)))
}


def _known(value: Any) -> Any:
    if not isinstance(value, str) or value not in STACKS:
        hint = nearest(str(value), STACKS) or f"; one of {', '.join(STACKS)}"
        raise refused(f"{shown(value)} is not a known stack{hint}")
    return value


StackName = Annotated[str, BeforeValidator(_known), WithJsonSchema({"enum": list(STACKS)})]
