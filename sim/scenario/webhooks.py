"""Admission webhooks: what they match, how long they take, and what happens when they do not answer."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, PrivateAttr, WithJsonSchema

from sim.scenario.distribution import Distribution
from sim.scenario.objects import singular
from sim.scenario.quantities import Fraction, PositiveDuration
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import SECOND, Nanoseconds, format_duration

OPERATIONS: Final = ("create", "update", "delete")
SHORTEST: Final = SECOND
LONGEST: Final = 30 * SECOND
"""Bounds of a timeout (pkg/apis/admissionregistration/validation/validation.go)."""


def _match(value: Any) -> Any:
    words = value.replace(",", " ").split() if isinstance(value, str) else []
    if len(words) < 2 or any(word not in (*OPERATIONS, "*") for word in words[:-1]):
        raise refused(f'{shown(value)} matches nothing; write operations and an object, such as "create update pods" or "* *"')
    return value


Match = Annotated[str, BeforeValidator(_match), WithJsonSchema({"type": "string", "examples": ["create update pods", "* *"]})]


def _timeout(value: Nanoseconds) -> Nanoseconds:
    if not SHORTEST <= value <= LONGEST:
        raise refused(f"{shown(format_duration(value))} is not allowed; 1s to 30s, as the API has it")
    return value


Timeout = Annotated[PositiveDuration, AfterValidator(_timeout)]


class Webhook(Section):
    """One webhook, called for each write that it matches, and for each attempt of the server to write."""

    match: Match = required('Operations and the object, such as "update pods"; `*` for all.')
    kind: Literal["validating", "mutating"] = field("validating", "mutating: one after another; validating: side by side.")
    latency: Distribution = required("Time of one call, network included.")
    timeout: Timeout = field(
        10 * SECOND, "Longest wait for an answer: 1s to 30s.", "api: admissionregistration/v1 timeoutSeconds"
    )
    failure_policy: Literal["fail", "ignore"] = field(
        "fail", "What a call without an answer does to the write.", "api: admissionregistration/v1 failurePolicy"
    )
    failing: Fraction = field(0.0, "Share of the calls that fail, having taken their latency.")
    denying: Fraction = field(0.0, "Share of the calls that deny the write.")
    _object: str | None = PrivateAttr(None)

    @property
    def operations(self) -> frozenset[str]:
        """The operations that it matches."""
        words = self.match.replace(",", " ").split()[:-1]
        return frozenset(OPERATIONS if "*" in words else words)

    @property
    def object(self) -> str:
        """The object that it matches, in the singular; empty for all."""
        return singular(self._word, ()) if self._object is None else self._object

    @property
    def _word(self) -> str:
        word = self.match.replace(",", " ").split()[-1]
        return "" if word == "*" else word

    def among(self, objects: Container[str]) -> Webhook:
        """The same webhook where these objects are declared: its object may be one whose own name ends in s."""
        made = self.model_copy()
        made._object = singular(self._word, objects)
        return made


def among(webhooks: Mapping[str, Webhook], objects: Container[str]) -> dict[str, Webhook]:
    """The same webhooks where these objects are declared."""
    return {name: webhook.among(objects) for name, webhook in webhooks.items()}
