"""Objects as the API server names and keeps them, and what a watcher is told of their changes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum

Labels = frozenset[tuple[str, str]]
"""Labels of an object or a selector: `key=value` pairs; a selector matches what carries all of its pairs."""


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """A named object: resource, namespace and name are its key in etcd; labels are what selectors look at."""

    resource: str
    namespace: str
    name: str
    labels: Labels = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Content:
    """What of an object decides whether a write changes it, and who is told to look.

    generation: counts changes of the spec. fields: what writers have set, (field, value, field manager) each. finalizers: how many
    there are. deleting: it has a deletionTimestamp, and goes when its last finalizer goes.
    """

    generation: int = 1
    fields: tuple[tuple[str, Hashable, str], ...] = ()
    finalizers: int = 0
    deleting: bool = False

    def value(self, name: str) -> Hashable:
        """What stands in a field; None where nothing does."""
        for field_name, value, _ in self.fields:
            if field_name == name:
                return value
        return None

    def manager(self, name: str) -> str:
        """Who wrote a field last; empty where nobody did."""
        for field_name, _, manager in self.fields:
            if field_name == name:
                return manager
        return ""


@dataclass(frozen=True, slots=True)
class Version:
    """An object at one revision of etcd; revision 0: it does not exist. content: None where nobody looks into it."""

    revision: int
    content: Content | None = None


ABSENT = Version(0)


@dataclass(frozen=True, slots=True)
class ApiObject:
    """A version of an object as a client holds it: key, labels, and its resource version (an etcd mod revision)."""

    namespace: str
    name: str
    labels: Labels
    resource_version: int
    content: Content | None = None


class EventType(Enum):
    """Type of a watch event."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
