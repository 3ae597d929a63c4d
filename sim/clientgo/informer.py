"""A shared informer: what its reflector hears goes through a FIFO into the store, and from there to the listeners.

    list, watch -> FIFO of deltas -> store -> listeners

The STORE decides what a listener is told: a delta of an object that is there is an update, of one that is not an add.
The FIFO is popped as soon as something is in it, so nothing ever waits there; what waits for a handler that takes time
waits in its listener (handlers.py).

Every listener hears of every change. An update without a new version (resync, relist) is a sync notification: it goes
to those listeners that are syncing, see handlers.py. A listener that comes late is told the whole store first.

Sources: k8s.io/client-go v0.35.0, tools/cache/shared_informer.go, controller.go (processDeltas); controller-runtime
pkg/handler/eventhandler.go (WithLowPriorityWhenUnchanged).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, cast

from sim.apiserver.objects import ApiObject, EventType
from sim.clientgo.delta_fifo import DeltaFIFO
from sim.clientgo.deltas import DeltaType
from sim.clientgo.handlers import MINIMUM_RESYNC_PERIOD, Listener, ResyncTimes
from sim.clientgo.handlers import Notification as Notification
from sim.clientgo.keys import DeletedFinalStateUnknown, deletion_handling_meta_namespace_key
from sim.clientgo.real_fifo import RealFIFO
from sim.clientgo.store import Store
from sim.units import Nanoseconds


class SharedInformer:
    """A store kept by list and watch, and those who listen to it.

    fifo: `delta` up to client-go 0.32, `real` from 0.33 on. resync_period: nanoseconds, the default of its listeners
    and of the reflector's timer; with 0 there is no resync, whatever its listeners ask for.

    handlers: plain callables that hear everything, sync notifications included: for informers with a single controller.
    """

    def __init__(self, fifo: Literal["delta", "real"], resync_period: Nanoseconds = 0):
        self.store = Store(deletion_handling_meta_namespace_key)  # as shared informers do: deletions may be tombstones
        self._fifo = DeltaFIFO(self.store, emit_delta_type_replaced=True) if fifo == "delta" else RealFIFO(self.store)
        self.handlers: list[Callable[[Notification], None]] = []
        self._listeners: list[Listener] = []
        self._default_resync = resync_period
        self._check_period = resync_period
        self._started = False

    @property
    def has_synced(self) -> bool:
        """Whether what the first list brought is in the store."""
        return self._fifo.has_synced

    # What the reflector brings.

    def list(self, objects: Iterable[object]) -> None:
        """A list or relist: everything else that is in the store is gone."""
        self._started = True
        self._fifo.replace(objects)
        self._drain()

    def event(self, kind: EventType, item: object) -> None:
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
        """Tell the handlers and the syncing listeners about every object again; the server is not asked."""
        self._fifo.resync()
        self._drain()

    # Who listens.

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The registered listeners."""
        return tuple(self._listeners)

    def start(self) -> Nanoseconds:
        """The informer starts: from now on its check period stands. Returns it: the reflector's resync period, 0 for none."""
        self._started = True
        return self._check_period

    def add_listener(
        self, now: Nanoseconds, receive: Callable[[Notification], None], resync_period: Nanoseconds | None = None
    ) -> Listener:
        """Register a handler; after the start it is told of every stored object, as of an initial list.

        resync_period: nanoseconds, None for the informer's, 0 for never. Less than 1 s becomes 1 s; less than the check
        period shortens that before the start, and is raised to it afterwards. (AddEventHandlerWithOptions)
        """
        period = self._default_resync if resync_period is None else resync_period
        if self._check_period == 0:
            period = 0  # nobody checks
        elif period > 0:
            period = max(period, MINIMUM_RESYNC_PERIOD)
            if self._started:
                period = max(period, self._check_period)
            else:
                self._check_period = min(period, self._check_period)
        listener = Listener(receive, ResyncTimes(now, period))
        self._listeners.append(listener)
        if self._started:
            for key in self.store.list_keys():
                stored = cast(ApiObject, self.store.get_by_key(key))
                receive(Notification(EventType.ADDED, key, True, False, stored))
        return listener

    def remove_listener(self, listener: Listener) -> None:
        """Tell this listener nothing more. Raises ValueError if it is not registered."""
        self._listeners.remove(listener)

    def resync_due(self, now: Nanoseconds) -> bool:
        """The resync timer has fired: marks who is syncing until it fires again; whether anybody is (then `resync`)."""
        due = False
        for listener in self._listeners:
            listener.syncing = listener.resync.take_if_due(now)
            due = due or listener.syncing
        return due

    # From a delta to notifications.

    def _drain(self) -> None:
        while (popped := self._fifo.pop()) is not None:
            for delta in popped.deltas:
                self._process(delta.type, delta.object, popped.key, popped.is_in_initial_list)

    def _process(self, kind: DeltaType, item: object, key: str, initial: bool) -> None:
        store = self.store
        if kind is DeltaType.DELETED:
            store.delete(item)
            missed = isinstance(item, DeletedFinalStateUnknown)
            last = item.obj if isinstance(item, DeletedFinalStateUnknown) else item
            notification = Notification(EventType.DELETED, key, initial, False, cast(ApiObject, last), None, missed)
        elif key in store:
            old, new = cast(ApiObject, store.get_by_key(key)), cast(ApiObject, item)
            store.update(item)
            unchanged = old.resource_version == new.resource_version
            notification = Notification(EventType.MODIFIED, key, initial, unchanged, new, old)
        else:
            store.add(item)
            notification = Notification(EventType.ADDED, key, initial, False, cast(ApiObject, item))
        for handler in self.handlers:
            handler(notification)
        sync = notification.unchanged
        for listener in self._listeners:
            if listener.syncing or not sync:
                listener.receive(notification)
