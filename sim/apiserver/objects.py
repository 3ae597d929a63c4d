"""Objects as the API server names them, and what a watcher is told of their changes."""

from __future__ import annotations

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
class ApiObject:
    """A version of an object as a client holds it: key, labels, and its resource version (an etcd mod revision)."""

    namespace: str
    name: str
    labels: Labels
    resource_version: int


class EventType(Enum):
    """Type of a watch event."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """What a watcher is told: which object changed, how, and its version after that."""

    type: EventType
    key: ObjectKey
    resource_version: int

    @property
    def object(self) -> ApiObject:
        """The object as the event carries it."""
        return ApiObject(self.key.namespace, self.key.name, self.key.labels, self.resource_version)
