"""Admission webhooks: what they match, how long they take, and what happens when they do not answer."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema

from sim.scenario.distribution import Distribution
from sim.scenario.quantities import Fraction, PositiveDuration
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import SECOND

OPERATIONS: Final = ("create", "update", "delete")


def _match(value: Any) -> Any:
    words = value.replace(",", " ").split() if isinstance(value, str) else []
    if len(words) < 2 or any(word not in (*OPERATIONS, "*") for word in words[:-1]):
        raise refused(f'{shown(value)} matches nothing; write operations and an object, such as "create update pods" or "* *"')
    return value


Match = Annotated[str, BeforeValidator(_match), WithJsonSchema({"type": "string", "examples": ["create update pods", "* *"]})]


class Webhook(Section):
    """One webhook, called for each write that it matches, and for each attempt of the server to write."""

    match: Match = required('Operations and the object, such as "update pods"; `*` for all.')
    kind: Literal["validating", "mutating"] = field("validating", "mutating: one after another; validating: side by side.")
    latency: Distribution = required("Time of one call, network included.")
    timeout: PositiveDuration = field(10 * SECOND, "Longest wait for an answer.", "api: admissionregistration/v1 timeoutSeconds")
    failure_policy: Literal["fail", "ignore"] = field(
        "fail", "What a call without an answer does to the write.", "api: admissionregistration/v1 failurePolicy"
    )
    failing: Fraction = field(0.0, "Share of the calls that fail at once.")
    denying: Fraction = field(0.0, "Share of the calls that deny the write.")

    @property
    def operations(self) -> frozenset[str]:
        """The operations that it matches."""
        words = self.match.replace(",", " ").split()[:-1]
        return frozenset(OPERATIONS if "*" in words else words)

    @property
    def object(self) -> str:
        """The object that it matches, in the singular; empty for all."""
        word = self.match.replace(",", " ").split()[-1]
        return "" if word == "*" else word.removesuffix("s")
