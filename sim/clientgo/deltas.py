"""A delta: one change on its way from the watch to the store and the handlers.

Source: k8s.io/client-go v0.35.0, tools/cache/delta_fifo.go (DeltaType, Delta, KeyOf).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sim.clientgo.keys import DeletedFinalStateUnknown, KeyFunc


class DeltaType(StrEnum):
    """What happened. Replaced: listed after a relist.

    Sync: told again by a resync, or by a relist of an old consumer.
    """

    ADDED = "Added"
    UPDATED = "Updated"
    DELETED = "Deleted"
    REPLACED = "Replaced"
    SYNC = "Sync"


class Delta(NamedTuple):
    """One change and the object after it.

    For Deleted its last state, or a tombstone where the event itself was missed.
    """

    type: DeltaType
    object: object


class Popped(NamedTuple):
    """What a FIFO hands out: deltas of one key, oldest first, and whether they belong to the initial list."""

    key: str
    deltas: list[Delta]
    is_in_initial_list: bool


def key_of(key_func: KeyFunc, obj: object) -> str:
    """The key of an object or tombstone. Raises ValueError where `key_func` does."""
    return obj.key if isinstance(obj, DeletedFinalStateUnknown) else key_func(obj)
