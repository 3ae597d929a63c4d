"""The API servers between controllers and etcd."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, field_validator

from sim.scenario.distribution import Distribution, distribution
from sim.scenario.quantities import Count, Duration, PositiveCount, PositiveDuration, no_more_than
from sim.scenario.refusal import refused, shown, unknown
from sim.scenario.section import Section, field
from sim.units import MICROSECOND, SECOND, format_duration

LEVELS: Final = ("system", "node-high", "leader-election", "workload-high", "workload-low", "global-default", "catch-all")
"""The priority levels of every API server (pkg/apis/flowcontrol/bootstrap/default.go), those with limits."""

DEFAULT_QUEUES: Final = {
    "system": (64, 6), "node-high": (64, 6), "leader-election": (16, 4), "workload-high": (128, 6), "workload-low": (128, 6),
    "global-default": (128, 6),
}  # fmt: skip
"""Queues and hand size of the levels that have queues."""
_HASH_BITS: Final = 60

PriorityLevel = Literal[
    "exempt", "system", "node-high", "leader-election", "workload-high", "workload-low", "global-default", "catch-all"
]


class Level(Section):
    """A priority level, changed; what is absent is as the API server does."""

    shares: PositiveCount | None = field(None, "Its share of the seats, against the others' shares.")
    lendable: Annotated[Count, no_more_than(100)] | None = field(None, "Percent of its seats that others may borrow.")
    borrowing_limit: Count | None = field(None, "Percent of its own seats that it may borrow on top; without end when absent.")
    queues: Annotated[PositiveCount, no_more_than(10_000)] | None = field(None, "How many queues it has.")
    hand_size: PositiveCount | None = field(None, "Among how many queues one flow is spread.")
    queue_length: PositiveCount | None = field(None, "How many requests one queue takes.")


def _levels(value: Any) -> Any:
    if value is None or value is True or value == "on":
        return {}
    if value in (False, "off", "never", "none"):
        return "off"
    if not isinstance(value, Mapping):
        raise refused(f"{shown(value)} is neither off nor a mapping of priority levels")
    for name in value:
        if name not in LEVELS:
            raise refused(unknown(name, LEVELS), at=str(name))
    return value


def _possible(levels: dict[str, Level] | Literal["off"]) -> dict[str, Level] | Literal["off"]:
    """What the API server accepts (pkg/apis/flowcontrol/validation/validation.go)."""
    if levels == "off":
        return levels
    for name, level in levels.items():
        if name not in DEFAULT_QUEUES:
            if (level.queues, level.hand_size, level.queue_length) != (None, None, None):
                raise refused(f'"{name}" has no queues: it rejects at once', at=name)
            continue
        queues, hand = DEFAULT_QUEUES[name]
        queues, hand = level.queues or queues, level.hand_size or hand
        if hand > queues:
            raise refused(f'"{hand}" is more than the {queues} queues there are', at=f"{name}.hand_size")
        if math.ceil(math.log2(queues) * hand) > _HASH_BITS:
            raise refused(f'"{hand}" of {queues} queues need more than {_HASH_BITS} bits of a hash', at=f"{name}.hand_size")
    return levels


FlowControl = Annotated[
    Annotated[dict[str, Level], Tag("<levels>")] | Annotated[Literal["off"], Tag("<off>")],
    Discriminator(lambda value: "<off>" if value == "off" else "<levels>"),
    BeforeValidator(_levels),
    AfterValidator(_possible),
]


class InFlight(Section):
    """How many requests an API server works on at a time."""

    reads: PositiveCount = field(400, "Reads at a time.", "apiserver: pkg/server/config.go MaxRequestsInFlight")
    writes: PositiveCount = field(200, "Writes at a time.", "apiserver: pkg/server/config.go MaxMutatingRequestsInFlight")


class WatchCache(Section):
    """How an API server remembers recent events, for watches that are opened again."""

    window: PositiveDuration = field(
        75 * SECOND,
        "How far back the events reach that it wants to keep, at least 75 s; never more than 102,400 events of a kind.",
        "apiserver: pkg/storage/storagebackend/config.go",
    )

    @field_validator("window")
    @classmethod
    def _long_enough(cls, window: int) -> int:
        if window < 75 * SECOND:
            raise refused(f'"{format_duration(window)}" is too short: the API server takes at least 75s')
        return window


class ApiServer(Section):
    """A group of equal API servers."""

    count: Annotated[PositiveCount, no_more_than(100)] = field(1, "How many there are.")
    rtt_to_etcd: Duration = field(200 * MICROSECOND, "Round trip to its etcd member.", "assumed: the same zone")
    rtt_to_clients: Duration = field(500 * MICROSECOND, "Round trip to controllers and kubelets.", "assumed: zones of one region")
    overhead: Distribution = field(
        distribution(median="1ms", p99="4ms"),
        "Handler work of one request: authentication, decoding, encoding.",
        "assumed",
    )
    per_object: Duration = field(5 * MICROSECOND, "Time of a list for each object in it.", "assumed")
    flow_control: FlowControl = field(
        {},
        "Priority and fairness: off (then only in_flight limits), or the levels that differ from the defaults.",
        "apiserver: pkg/apis/flowcontrol/bootstrap/default.go",
    )
    in_flight: InFlight = field(
        InFlight(), "Limits of requests in flight; with priority and fairness their sum is what the levels share."
    )
    request_timeout: PositiveDuration = field(
        60 * SECOND,
        "Longest time of a request; a quarter of it may pass in a queue for seats, and writes get 34 s at most.",
        "apiserver: pkg/server/config.go RequestTimeout",
    )
    watch_cache: WatchCache = field(WatchCache(), "The window of recent events.")
    admission: Distribution = field(distribution(constant=0), "Admission of one write: webhooks and plugins.", "assumed: none")
    watch_lag: Distribution = field(
        distribution(median="2ms", p99="10ms"),
        "From an event at etcd's watch to the watcher, through the watch cache.",
        "assumed",
    )
