"""An alert rule as it goes: inactive, pending since its expression had a value, firing once that has lasted (rules/alerting.go)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.promql.evaluate import Scrapes, evaluate
from sim.promql.syntax import Node


@dataclass(slots=True)
class AlertRule:
    """One rule. wait: how long its expression has to hold before it fires, seconds; too_late: an expression that holds once what it
    should warn of has happened.

    fired: when it began to fire, each time; firing_seconds: how long it did in all; broken_at: when it was too late, None: never.
    """

    name: str
    expression: Node
    wait: float
    too_late: Node | None = None
    fired: list[float] = field(default_factory=list)
    firing_seconds: float = 0.0
    broken_at: float | None = None
    _pending: float | None = None
    _firing: bool = False
    _seen: float = 0.0

    def look(self, scrapes: Scrapes, at: float) -> bool:
        """Evaluate at a time, seconds; whether it begins to fire now."""
        if self._firing:
            self.firing_seconds += at - self._seen
        self._seen = at
        if self.broken_at is None and self.too_late is not None and evaluate(self.too_late, scrapes, at) is not None:
            self.broken_at = at
        if evaluate(self.expression, scrapes, at) is None:
            self._pending, self._firing = None, False
            return False
        if self._pending is None:
            self._pending = at
        if self._firing or at - self._pending < self.wait:
            return False
        self._firing = True
        self.fired.append(at)
        return True

    @property
    def lead_seconds(self) -> float | None:
        """From its first firing to when it was too late: negative where it came after; None where one of them never was."""
        return None if self.broken_at is None or not self.fired else self.broken_at - self.fired[0]
