"""What goes wrong, where and when."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema

from sim.scenario.quantities import Duration, PositiveDuration
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, required

_TARGET: Final = re.compile(r"members\.([A-Za-z0-9][A-Za-z0-9_-]*)(\.(wal|backend))?")


def _target(value: Any) -> Any:
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise refused(f"{shown(value)} is not a target; write members.<name>, or its members.<name>.wal or members.<name>.backend")
    return value


Target = Annotated[
    str,
    BeforeValidator(_target),
    WithJsonSchema({"type": "string", "pattern": f"^{_TARGET.pattern}$"}),
]


class Fault(Section):
    """A disk that completes nothing for a while: what is in flight or starts meanwhile ends after it."""

    kind: Literal["disk_stall"] = required("What happens.")
    target: Target = required(
        "Whom it happens to: members.<name>; members.<name>.wal or .backend where that file has a disk of its own."
    )
    at: Duration = required("When it begins.")
    for_: PositiveDuration = required("How long it lasts.", alias="for")

    @property
    def member(self) -> str:
        """The name of the member it happens to."""
        return self.target.split(".")[1]

    def hits(self, member: str, part: Literal["wal", "backend"]) -> bool:
        """Whether it happens to that file of that member."""
        return self.target in (f"members.{member}", f"members.{member}.{part}")
