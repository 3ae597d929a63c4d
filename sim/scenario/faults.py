"""What goes wrong, where and when."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from sim.scenario.interval import Every
from sim.scenario.quantities import Duration, Fraction, Name, PositiveDuration
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import format_duration

LEADER: Final = "leader"
"""Names whoever leads when the fault begins."""
_NAME: Final = "[A-Za-z0-9][A-Za-z0-9_-]*"
_FILE: Final = r"(\.(wal|backend))?"
_ROOMS: Final = "(members|apiservers|webhooks|controllers)"
_TARGET: Final = re.compile(rf"({_ROOMS}\.{_NAME}|{LEADER}){_FILE}|machines\.{_NAME}\.disks\.{_NAME}")
_LINK: Final = re.compile(rf"{_NAME}-{_NAME}")

_WHOM: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    "disk_stall": (
        re.compile(rf"(members\.{_NAME}|{LEADER}){_FILE}|machines\.{_NAME}\.disks\.{_NAME}"),
        "members.<name>, leader, or machines.<name>.disks.<name>",
    ),
    "pause": (re.compile(rf"members\.{_NAME}|{LEADER}"), "members.<name> or leader"),
    "crash": (re.compile(rf"members\.{_NAME}|{LEADER}"), "members.<name> or leader"),
    "apiserver_outage": (re.compile(rf"apiservers\.{_NAME}"), "apiservers.<name>"),
    "apiserver_slow": (re.compile(rf"apiservers\.{_NAME}"), "apiservers.<name>"),
    "webhook_failure": (re.compile(rf"webhooks\.{_NAME}"), "webhooks.<name>"),
    "reconcile_failure": (re.compile(rf"controllers\.{_NAME}"), "controllers.<name>"),
}
"""Kinds that happen to a target: which, and how to write it. The other kinds happen between members."""


def _target(value: Any) -> Any:
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise refused(
            f"{shown(value)} is not a target; write members.<name>, its members.<name>.wal or members.<name>.backend, leader, "
            "machines.<name>.disks.<name>, apiservers.<name>, webhooks.<name>, or controllers.<name>"
        )
    return value


def _link(value: Any) -> Any:
    if not isinstance(value, str) or not _LINK.fullmatch(value):
        raise refused(f"{shown(value)} is not a link; write two members with a hyphen between, such as a-b")
    return value


def _some(value: Any) -> Any:
    if isinstance(value, list | tuple) and not value:
        raise refused('"[]" is not allowed; name at least one member, or leader')
    return value


Target = Annotated[
    str,
    BeforeValidator(_target),
    WithJsonSchema({"type": "string", "pattern": f"^({_TARGET.pattern})$"}),
]
LinkName = Annotated[str, BeforeValidator(_link), WithJsonSchema({"type": "string", "pattern": f"^{_LINK.pattern}$"})]


class Fault(Section):
    """What goes wrong.

    disk_stall: a disk completes nothing for a while; what is in flight or starts meanwhile ends after it. pause: a member's
    process does nothing (SIGSTOP, a long pause of its virtual machine). crash: a member ends, and is back after `for`. partition:
    members are cut off from the other members, not from clients. loss: of the segments on those links a share is lost, and sent
    again after a retransmission timeout. apiserver_outage: nobody listens at the API servers of a name; what is in flight is
    answered, watches end. apiserver_slow: their handlers take longer for each request. webhook_failure: every call of a webhook
    fails, having taken its latency. reconcile_failure: every reconcile of a controller ends with an error before it writes:
    something outside the cluster that it needs is away.
    """

    kind: Literal[
        "disk_stall", "pause", "crash", "partition", "loss", "apiserver_outage", "apiserver_slow", "webhook_failure",
        "reconcile_failure",
    ] = required("What happens.")
    target: Target | None = field(
        None,
        "Whom it happens to: members.<name> or leader; members.<name>.wal or .backend where that file has a disk of its own; "
        "machines.<name>.disks.<name>; apiservers.<name>; webhooks.<name>; controllers.<name>.",
    )
    members: Annotated[tuple[Name, ...], BeforeValidator(_some)] | None = field(
        None, "partition, loss: the members (or leader) whose links to all the others it happens to."
    )
    link: LinkName | None = field(None, "partition, loss: the one link it happens to, such as a-b.")
    rate: Fraction | None = field(None, "loss: the share of segments that are lost.")
    at: Duration | None = field(None, "When it begins; with `every`: from when on it may.")
    every: Every | None = field(None, "How often it begins; once when absent.")
    for_: PositiveDuration = required("How long it lasts.", alias="for")
    adds: PositiveDuration | None = field(None, "apiserver_slow: what each request takes longer.")

    @model_validator(mode="after")
    def _complete(self) -> Fault:
        if self.kind in _WHOM:
            self._on_a_target()
        else:
            self._between_members()
        if (self.rate is None) == (self.kind == "loss"):
            raise refused("missing; it is required with kind: loss" if self.rate is None else "is for kind: loss only", at="rate")
        slow = self.kind == "apiserver_slow"
        if slow and self.adds is None:
            raise refused("missing; write by how much requests are slower", at="adds")
        if not slow and self.adds is not None:
            raise refused(f"{shown(format_duration(self.adds))} is not allowed: only apiserver_slow adds something", at="adds")
        if self.at is None and self.every is None:
            raise refused("missing; write when it begins, or how often with `every`", at="at")
        return self

    def _on_a_target(self) -> None:
        pattern, forms = _WHOM[self.kind]
        for key in ("members", "link"):
            if getattr(self, key) is not None:
                raise refused(f"is for kinds partition and loss only; write target: {forms}", at=key)
        if self.target is None:
            raise refused("missing; it is required", at="target")
        if not pattern.fullmatch(self.target):
            raise refused(f"{shown(self.target)} cannot have a fault of kind {self.kind}; write {forms}", at="target")

    def _between_members(self) -> None:
        if self.target is not None:
            raise refused(f"is not for kind: {self.kind}; write members: [a] or link: a-b", at="target")
        if (self.members is None) == (self.link is None):
            wrong = "missing; write members: [a] or link: a-b" if self.link is None else "has no effect beside link"
            raise refused(wrong, at="members")
        if self.kind == "loss" and LEADER in (self.members or ()):
            raise refused("a loss cannot follow the leader; name members or a link", at="members")

    @property
    def room(self) -> str:
        """Of a target: `members`, `leader`, `machines`, `apiservers`, `webhooks` or `controllers`; empty without one."""
        return (self.target or "").split(".")[0]

    @property
    def victim(self) -> str:
        """The name of the member, machine, API server, webhook or controller; empty where it is the leader, or a link."""
        _, _, rest = (self.target or "").partition(".")
        return rest.split(".")[0] if self.room != LEADER else ""

    def hits(self, member: str, part: Literal["wal", "backend"]) -> bool:
        """Whether it is aimed at that file of that member (or at whatever disk that is on)."""
        return self.target in (f"members.{member}", f"members.{member}.{part}")

    def hits_leader(self, part: Literal["wal", "backend"]) -> bool:
        """Whether it is aimed at that file of whoever leads."""
        return self.target in (LEADER, f"{LEADER}.{part}")
