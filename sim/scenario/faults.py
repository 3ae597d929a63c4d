"""What goes wrong, where and when."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from sim.scenario.quantities import Duration, PositiveDuration
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, required

_TARGET: Final = re.compile(r"(members|apiservers)\.([A-Za-z0-9][A-Za-z0-9_-]*)(\.(wal|backend))?")
_ROOM: Final = {"disk_stall": "members", "apiserver_outage": "apiservers"}


def _target(value: Any) -> Any:
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise refused(
            f"{shown(value)} is not a target; write members.<name>, its members.<name>.wal or members.<name>.backend, or "
            "apiservers.<name>"
        )
    return value


Target = Annotated[
    str,
    BeforeValidator(_target),
    WithJsonSchema({"type": "string", "pattern": f"^{_TARGET.pattern}$"}),
]


class Fault(Section):
    """What goes wrong.

    disk_stall: a disk completes nothing for a while; what is in flight or starts meanwhile ends after it. apiserver_outage: nobody
    listens at the API servers of a name; what is in flight is answered, watches end.
    """

    kind: Literal["disk_stall", "apiserver_outage"] = required("What happens.")
    target: Target = required(
        "Whom it happens to: members.<name>; members.<name>.wal or .backend where that file has a disk of its own; "
        "apiservers.<name>."
    )
    at: Duration = required("When it begins.")
    for_: PositiveDuration = required("How long it lasts.", alias="for")

    @model_validator(mode="after")
    def _room(self) -> Fault:
        room = _ROOM[self.kind]
        if not self.target.startswith(f"{room}.") or (room == "apiservers" and self.target.count(".") > 1):
            raise refused(f"{shown(self.target)} cannot have a fault of kind {self.kind}; write {room}.<name>", at="target")
        return self

    @property
    def room(self) -> str:
        """`members` or `apiservers`."""
        return self.target.split(".")[0]

    @property
    def victim(self) -> str:
        """The name of the member or API server it happens to."""
        return self.target.split(".")[1]

    def hits(self, member: str, part: Literal["wal", "backend"]) -> bool:
        """Whether it happens to that file of that member."""
        return self.target in (f"members.{member}", f"members.{member}.{part}")
