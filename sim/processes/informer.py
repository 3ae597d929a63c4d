"""An informer: list, then watch; a FIFO of deltas between the watch and the store; handlers told after the store.

Sources: client-go tools/cache/reflector.go, delta_fifo.go, shared_informer.go. Simplified: handlers run at once; the watch does not break.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from sim.processes.watch import EventType, ObjectKey, WatchEvent, WatchHub


@dataclass(frozen=True, slots=True)
class Notification:
    """What a handler is told: the object's key, and whether the initial list brought it."""

    type: EventType
    key: Hashable
    initial: bool


class Informer:
    """A store of the objects of one resource that match a selector, kept by a watch; `handlers` are called after each change."""

    def __init__(self, hub: WatchHub, resource: str, selector: frozenset[tuple[str, str]]):
        self._store: dict[Hashable, ObjectKey] = {}
        self._selector, self._resource = selector, resource
        self.handlers: list[Callable[[Notification], None]] = []
        hub.subscribe(resource, selector, self._receive)

    def list(self, objects: list[ObjectKey]) -> None:
        """The initial list, at the start of the watch."""
        for item in objects:
            if item.resource == self._resource and self._selector <= item.labels:
                self._store[item] = item
                self._notify(Notification(EventType.ADDED, item, initial=True))

    def exists(self, key: Hashable) -> bool:
        """Whether the store has an object under this key."""
        return key in self._store

    def __len__(self) -> int:
        return len(self._store)

    def _receive(self, event: WatchEvent) -> None:
        if event.type is EventType.DELETED:
            self._store.pop(event.object, None)
        else:
            self._store[event.object] = event.object
        self._notify(Notification(event.type, event.object, initial=False))

    def _notify(self, notification: Notification) -> None:
        for handler in self.handlers:
            handler(notification)
