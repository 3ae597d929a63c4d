"""Kinds of objects by the bytes they take in etcd: sizes decide WAL and database growth; most are assumptions."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from pydantic import ConfigDict

from sim.scenario.quantities import DurationOrNever, Prefix, Size
from sim.scenario.section import Section, field, required


class ObjectKind(Section):
    """One kind of object: an etcd key and its value."""

    # An entry for one of the kinds below may give only what differs: nothing is required in the schema.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required", None))

    key_bytes: Size = required("Length of the key, such as /registry/pods/default/web-6b7f9c5d4-x2x9k.")
    value_bytes: Size = required("Length of the stored value.")
    ttl: DurationOrNever = field(None, "Life of an object stored with a lease; never when absent.")
    prefix: Prefix | None = field(None, "What its keys begin with; /registry/<name>s/ when absent. Guards look at it.")


DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "pod": {"key_bytes": 45, "value_bytes": 3000},  # assumed: a small pod; real ones take 5-20 kB with managedFields
    "lease": {"key_bytes": 45, "value_bytes": 400},  # assumed
    "node": {"key_bytes": 30, "value_bytes": 8000},  # assumed: KEP 589 speaks of 15-20 kB on large clusters
    "event": {"key_bytes": 60, "value_bytes": 800, "ttl": "1h"},  # assumed; ttl: kube-apiserver --event-ttl
}
"""Kinds that every scenario has; a scenario's entries override them field by field."""


def common() -> dict[str, ObjectKind]:
    """The kinds that every scenario has."""
    return {name: ObjectKind.model_validate(kind) for name, kind in DEFAULTS.items()}


def prefix_of(name: str, kind: ObjectKind) -> str:
    """What the keys of a kind of objects begin with."""
    return kind.prefix or f"/registry/{name}s/"


def singular(word: str, declared: Container[str]) -> str:
    """The kind that a word names: as it is written where that is declared, else without its plural s."""
    return word if word in declared else word.removesuffix("s")


def with_defaults(written: object) -> object:
    """The kinds of a scenario, the common ones included."""
    if written is None:
        return DEFAULTS
    if not isinstance(written, Mapping):
        return written
    merged: dict[Any, Any] = dict(DEFAULTS)
    for name, kind in written.items():
        below = DEFAULTS.get(name)
        if below and (kind is None or isinstance(kind, Mapping)):
            given = {key: value for key, value in (kind or {}).items() if value is not None}
            merged[name] = {**below, **given}
        else:
            merged[name] = kind
    return merged
