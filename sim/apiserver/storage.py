"""What a write does at the API server: which transaction it becomes, if any (GuaranteedUpdate), decided on a copy of the object.

The first copy comes from the watch cache and may be stale; the second from etcd: a failed transaction brings it along, or a read
does where the stale copy says that there is nothing to write, that the write must be refused, or that it is the delete. A delete
reads in any case, and so does a write for which the cache has no copy.

    on a cached copy    put | read, then once more on what it finds
    on a fresh copy     transaction | answer: unchanged, conflict, not found

    verb            carries a resource version    when the object has changed since the caller read it
    update          yes                           409
    patch           no                            applied to the newer object, by the server, without end
    patch_locked    yes (optimistic lock)         409
    apply           no                            applied to the newer object; 409 for a field of another manager, unless forced
    delete          no                            deleted all the same; with finalizers: an update, and gone with the last of them

Sources: apiserver pkg/storage/etcd3/store.go (GuaranteedUpdate, conditionalDelete), pkg/registry/generic/registry/store.go (Update,
Delete, deleteWithoutFinalizers), pkg/endpoints/handlers/patch.go, pkg/registry/rest/delete.go (BeforeDelete).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sim.apiserver.objects import ABSENT, Content, Version

Change = Callable[[Content], Content]
"""What a write makes of an object; returning an equal content is a write that changes nothing."""


class Verb(Enum):
    """Verbs that write an existing object."""

    UPDATE = "update"
    PATCH = "patch"
    PATCH_LOCKED = "patch_locked"
    APPLY = "apply"
    DELETE = "delete"


class Step(Enum):
    """What the server does next with a write."""

    PUT = "put"
    DELETE = "delete"
    READ = "read"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    NOT_FOUND = "not found"


@dataclass(frozen=True, slots=True)
class Write:
    """A write of an existing object. change: None for contents nobody looks into: every write of such an object is one.

    resource_version: of the caller's copy, None where the request carries none. manager and field: of an apply.
    """

    verb: Verb
    change: Change | None = None
    resource_version: int | None = None
    manager: str = ""
    field: str = ""
    force: bool = True


def attempt(write: Write, found: Version, fresh: bool) -> tuple[Step, Content | None]:
    """The next step of a write on the copy that was found, and the content that a put stores. fresh: the copy is etcd's."""
    if not fresh and (write.verb is Verb.DELETE or not found.revision):
        return Step.READ, None  # a delete looks at etcd first, and so does whoever finds no copy
    step, content = _attempt(write, found)
    if not fresh and step is not Step.PUT:
        return Step.READ, None
    return step, content


def _attempt(write: Write, found: Version) -> tuple[Step, Content | None]:
    if found.revision == 0 and write.verb is not Verb.APPLY:
        return Step.NOT_FOUND, None
    if write.resource_version is not None and write.resource_version != found.revision:
        return Step.CONFLICT, None
    before = found.content
    if write.verb is Verb.DELETE:
        if before is None or not before.finalizers:
            return Step.DELETE, None
        if before.deleting:
            return Step.UNCHANGED, None
        return Step.PUT, replace(before, deleting=True, generation=before.generation + 1)
    if write.change is None:
        return Step.PUT, before
    after = write.change(before if before is not None else Content())
    if write.verb is Verb.APPLY and before is not None and _takes_from_another(write, before, after):
        return Step.CONFLICT, None
    if after.deleting and not after.finalizers:
        return Step.DELETE, None  # the update that empties the list of finalizers is a delete, and nothing else
    if found is not ABSENT and found.revision and after == before:
        return Step.UNCHANGED, None
    return Step.PUT, after


def _takes_from_another(write: Write, before: Content, after: Content) -> bool:
    """Whether an apply changes the value of a field that another manager owns; the same value is no conflict."""
    owner = before.manager(write.field)
    return not write.force and owner not in ("", write.manager) and after.value(write.field) != before.value(write.field)


# ---- what writers change


def set_field(name: str, value: Hashable, manager: str = "") -> Change:
    """Set one field (a condition, a count, a timestamp of the status)."""

    def change(content: Content) -> Content:
        if content.value(name) == value:  # simplified: who applies what is there would own it, too, with one write
            return content
        kept = tuple(entry for entry in content.fields if entry[0] != name)
        return replace(content, fields=tuple(sorted((*kept, (name, value, manager)), key=lambda entry: entry[0])))

    return change


def set_observed_generation(manager: str = "") -> Change:
    """Write down which generation of the spec was acted upon: changes nothing the second time."""

    def change(content: Content) -> Content:
        return set_field("observedGeneration", content.generation, manager)(content)

    return change


def new_spec(content: Content) -> Content:
    """Another spec: the next generation."""
    return replace(content, generation=content.generation + 1)


def add_finalizer(content: Content) -> Content:
    """One more finalizer; the server refuses new ones on an object that is being deleted, and this leaves it as it is."""
    return content if content.deleting else replace(content, finalizers=content.finalizers + 1)


def remove_finalizer(content: Content) -> Content:
    """One finalizer less."""
    return replace(content, finalizers=max(0, content.finalizers - 1))


SAME: Final[Change] = lambda content: content  # noqa: E731
"""A write that repeats what is there."""
