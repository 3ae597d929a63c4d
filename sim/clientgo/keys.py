"""The key under which a controller knows an object: `namespace/name`, exactly as client-go's key functions make it.

Keys are plain text, and degenerate ones are possible: an object without namespace is its bare name, one with a
namespace but no name is `namespace/`, one with neither is the empty key, and nobody complains. None of these can come
from an API server; controller code makes them that keys hand-built or zero-value objects. Only what has no metadata
at all is an error.

Source: k8s.io/client-go v0.35.0, tools/cache/store.go (MetaNamespaceKeyFunc, SplitMetaNamespaceKey), object-names.go,
controller.go (DeletionHandlingMetaNamespaceKeyFunc), delta_fifo.go (DeletedFinalStateUnknown).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

KeyFunc = Callable[[object], str]
"""Makes the key of an object; raises ValueError for what has none."""


class ObjectMeta(NamedTuple):
    """The part of an object that caches look at.

    Any object with attributes `namespace` and `name` will do in its place.
    """

    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class ExplicitKey(str):
    """A key given where an object is expected (cache.ExplicitKey)."""

    __slots__ = ()


class DeletedFinalStateUnknown(NamedTuple):
    """A tombstone: the object went away unwatched, so `obj` is only its last known state (None: not even that)."""

    key: str
    obj: object


def meta_namespace_key(obj: object) -> str:
    """`namespace/name`, or the bare name where there is no namespace (MetaNamespaceKeyFunc).

    Raises ValueError for what has no metadata, as for None.
    """
    if isinstance(obj, ExplicitKey):
        return str(obj)
    try:
        namespace, name = obj.namespace, obj.name  # type: ignore[attr-defined]
    except AttributeError:
        raise ValueError("object has no meta: object does not implement the Object interfaces") from None
    return f"{namespace}/{name}" if namespace else str(name)


def deletion_handling_meta_namespace_key(obj: object) -> str:
    """As `meta_namespace_key`, but a tombstone's own key: for delete handlers (DeletionHandlingMetaNamespaceKeyFunc)."""
    if isinstance(obj, DeletedFinalStateUnknown):
        return obj.key
    return meta_namespace_key(obj)


def split_meta_namespace_key(key: str) -> tuple[str, str]:
    """(namespace, name) of a key: `a` gives ("", "a"), `ns/` gives ("ns", "").

    Raises ValueError if there are two slashes.
    """
    parts = key.split("/")
    if len(parts) == 1:
        return "", parts[0]
    if len(parts) == 2:
        return parts[0], parts[1]
    raise ValueError(f'unexpected key format: "{key}"')
