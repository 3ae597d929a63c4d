"""A shared informer: what its reflector hears goes through a FIFO into the store, and from there to the handlers.

    list, watch -> FIFO of deltas -> store -> handlers

The STORE decides what a handler is told: a delta of an object that is there is an update, of one that is not an add.
The FIFO is popped as soon as something is in it, so nothing ever waits there: handlers take no time here.

Sources: k8s.io/client-go v0.35.0, tools/cache/shared_informer.go, controller.go (processDeltas); controller-runtime
pkg/handler/eventhandler.go (WithLowPriorityWhenUnchanged).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sim.apiserver.objects import ApiObject, EventType
from sim.clientgo.delta_fifo import DeltaFIFO
from sim.clientgo.deltas import DeltaType
from sim.clientgo.keys import deletion_handling_meta_namespace_key
from sim.clientgo.real_fifo import RealFIFO
from sim.clientgo.store import Store


@dataclass(frozen=True, slots=True)
class Notification:
    """What a handler is told. initial: brought by the first list.

    Unchanged: an update without a new version (resync, relist).
    """

    type: EventType
    key: str
    initial: bool
    unchanged: bool


class SharedInformer:
    """A store kept by list and watch. fifo: `delta` up to client-go 0.32, `real` from 0.33 on."""

    def __init__(self, fifo: Literal["delta", "real"]):
        self.store = Store(deletion_handling_meta_namespace_key)  # as shared informers do: deletions may be tombstones
        self._fifo = DeltaFIFO(self.store, emit_delta_type_replaced=True) if fifo == "delta" else RealFIFO(self.store)
        self.handlers: list[Callable[[Notification], None]] = []

    def list(self, objects: Iterable[ApiObject]) -> None:
        """A list or relist: everything else that is in the store is gone."""
        self._fifo.replace(objects)
        self._drain()

    def event(self, kind: EventType, item: ApiObject) -> None:
        """A watch event."""
        match kind:
            case EventType.ADDED:
                self._fifo.add(item)
            case EventType.MODIFIED:
                self._fifo.update(item)
            case EventType.DELETED:
                self._fifo.delete(item)
        self._drain()

    def resync(self) -> None:
        """Tell the handlers about every object again; the server is not asked."""
        self._fifo.resync()
        self._drain()

    def _drain(self) -> None:
        while (popped := self._fifo.pop()) is not None:
            for delta in popped.deltas:
                self._process(delta.type, delta.object, popped.is_in_initial_list)

    def _process(self, kind: DeltaType, item: object, initial: bool) -> None:
        key = deletion_handling_meta_namespace_key(item)
        unchanged = False
        if kind is DeltaType.DELETED:
            self.store.delete(item)
            told = EventType.DELETED
        elif key in self.store:
            before = self.store.get_by_key(key)
            unchanged = getattr(before, "resource_version", None) == getattr(item, "resource_version", None)
            self.store.update(item)
            told = EventType.MODIFIED
        else:
            self.store.add(item)
            told = EventType.ADDED
        notification = Notification(told, key, initial, unchanged)
        for handler in self.handlers:
            handler(notification)
