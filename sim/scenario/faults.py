"""What goes wrong, where and when."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from sim.scenario.quantities import Duration, PositiveDuration
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, required

_PREFIX = "members."


def _target(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(_PREFIX) or not value.removeprefix(_PREFIX):
        raise refused(f"{shown(value)} is not a target; write members.<name>")
    return value


Target = Annotated[
    str,
    BeforeValidator(_target),
    WithJsonSchema({"type": "string", "pattern": r"^members\.[A-Za-z0-9][A-Za-z0-9_-]*$"}),
]


class Fault(Section):
    """A disk that completes nothing for a while: what is in flight or starts meanwhile ends after it."""

    kind: Literal["disk_stall"] = required("What happens.")
    target: Target = required("Whom it happens to: members.<name>.")
    at: Duration = required("When it begins.")
    for_: PositiveDuration = required("How long it lasts.", alias="for")

    @property
    def member(self) -> str:
        """The name of the member it happens to."""
        return self.target.removeprefix(_PREFIX)
