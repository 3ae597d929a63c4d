"""The diagnosis of a run: the bottleneck, what follows from it, and what will happen first if nothing is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sim.diagnosis.load import Load
from sim.diagnosis.rules import RULES, Finding
from sim.report.document import number
from sim.result import Run

_DAY: Final = 86_400.0
_FAR: Final = 30 * _DAY
"""A quota further off than this is no matter of today."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Something that will happen: what, and in how many seconds after the end of the run; 0: it has happened."""

    what: str
    in_seconds: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """findings: what held others up, the innermost station first: that is the bottleneck. coming: what happens next, by time."""

    variant: str
    findings: tuple[Finding, ...]
    coming: tuple[Coming, ...]

    @property
    def bottleneck(self) -> Finding | None:
        """The station that the others wait for; None where nothing is saturated."""
        return self.findings[0] if self.findings else None

    def to_json(self) -> dict[str, Any]:
        """As `etcdsim diagnose --json` prints it."""
        return {
            "bottleneck": _finding(self.findings[0]) if self.findings else None,
            "also": [_finding(one) for one in self.findings[1:]],
            "first": None if not self.coming else _coming(self.coming[0]),
            "coming": [_coming(one) for one in self.coming],
        }


def diagnose(run: Run) -> Diagnosis:
    """What held a finished run back, from its figures, series and writers; names, incidents and the scenario are not looked at."""
    load = Load(run)
    findings = tuple(found for rule in RULES if (found := rule(load)) is not None)
    return Diagnosis(run.variant, findings, tuple(sorted(_comes(load), key=lambda one: one.in_seconds)))


def _comes(load: Load) -> Iterator[Coming]:
    quota, status = load.run.metrics.get("etcd.seconds_to_quota"), load.run.status.get("etcd.seconds_to_quota")
    if quota is not None and status == "reached":
        yield Coming("the database is full, and etcd refuses writes that make it grow", 0.0)
    elif quota is not None and status == "extrapolated" and quota - load.horizon < _FAR:
        yield Coming("the database reaches its quota, and etcd refuses writes that make it grow", max(0.0, quota - load.horizon))
    depth = load.growth("workqueue.depth")
    last = float(load.run.series["workqueue.depth"].iloc[-1]) if "workqueue.depth" in load.run.series else 0.0
    if depth > 0.1 and last > 10:
        yield Coming(f"the queue grows by {depth:.3g} keys a second; it is twice as long", last / depth)
    if load.figure("etcd.requests_refused") and load.run.status.get("etcd.seconds_to_quota") != "reached":
        yield Coming("etcd refuses requests: it is 5,000 entries behind with applying", 0.0)
    if load.figure("watch.expired"):
        yield Coming("watches are older than the server's window: informers list everything anew", 0.0)


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "station": one.station, "says": one.says, "writer": one.writer or None, "knob": one.knob,
        "evidence": {name: number(value) for name, value in one.evidence.items()},
    }  # fmt: skip


def _coming(one: Coming) -> dict[str, Any]:
    return {"what": one.what, "in_seconds": number(one.in_seconds)}
