"""Rollouts: another release of a controller replaces the one that runs, process by process, in steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, field_validator

from sim.scenario.quantities import Duration, Name, plain, read_duration, read_fraction
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import Nanoseconds, format_duration

CHANGEABLE: Final = ("cache", "max_retries", "queue", "reconcile", "recover_panic", "self_check", "workers")
"""What of a controller may differ between two releases of it: what is decided anew when a process starts."""
OBSERVED: Final = (
    "cache.zero_value_keys", "controller.failing_keys", "etcd.apply_seconds.max", "etcd.apply_seconds.p50",
    "etcd.apply_seconds.p99",
    "etcd.db_bytes_in_use", "etcd.db_bytes_total", "etcd.keys_created", "etcd.keys_live", "etcd.puts", "etcd.revisions_retained",
    "etcd.wal_bytes_written", "etcd.wal_fsync_seconds.p99", "workqueue.depth", "workqueue.longest_running_seconds",
    "workqueue.unfinished_seconds",
)  # fmt: skip
"""Figures that are looked at all through a run, so that a rollout can be undone because of them."""
Step = tuple[float, Nanoseconds]
"""The share of the processes that have the new release from then on, and the time to the next step, nanoseconds."""


def _steps(value: Any) -> tuple[Step, ...]:
    form = "write them such as [{10%: 1h}, {50%: 1h}, {100%: 0s}]"
    if not isinstance(value, list | tuple) or not value:
        raise refused(f"{shown(value)} are no steps; {form}")
    steps: list[Step] = []
    for one in value:
        if not isinstance(one, Mapping) or len(one) != 1:
            raise refused(f"{shown(one)} is no step; {form}")
        ((share, pause),) = one.items()
        step = read_fraction(share), read_duration(pause)
        if steps and step[0] < steps[-1][0]:
            raise refused(f"{shown(share)} comes after a larger share; {form}")
        steps.append(step)
    return tuple(steps)


Steps = Annotated[
    tuple[Step, ...],
    BeforeValidator(_steps),
    PlainSerializer(lambda steps: [{str(plain(share)): format_duration(pause)} for share, pause in steps], return_type=list),
    WithJsonSchema({
        "type": "array", "minItems": 1,
        "items": {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"x-ref": "Duration"}},
        "examples": [[{"10%": "1h"}, {"50%": "1h"}, {"100%": "0s"}]],
    }),
]  # fmt: skip

Changes = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "description": "Path below the controller to value."})]


class ControllerRollout(Section):
    """Processes of a controller end, in steps, and start again as another release. What they had in memory is gone."""

    controller: Name = required("The controller, by name. Its processes: count x shards.")
    at: Duration = field(0, "When it begins.")
    to: Changes = required("What is different in the new release: path below the controller to value.")
    steps: Steps = field(
        ((1.0, 0),), "The share of the processes that then have the new release, rounded up, and the time to the next step."
    )
    rollback_on: str | None = field(
        None,
        "An objective, by name: as soon as its figure, a time series of the run, breaks its bound, all processes return to the old "
        "release and the rollout is over.",
    )

    @field_validator("to")
    @classmethod
    def _changeable(cls, to: dict[str, Any]) -> dict[str, Any]:
        for path in to:
            if path.split(".")[0] not in CHANGEABLE:
                raise refused(f"cannot be rolled out; what may differ: {', '.join(CHANGEABLE)}", at=path)
        return to

    @field_validator("rollback_on", mode="before")
    @classmethod
    def _objective(cls, name: Any) -> Any:
        return name.removeprefix("objectives.") if isinstance(name, str) else name
