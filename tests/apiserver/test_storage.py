"""What a write becomes at the API server, as the real one decides it: on the watch cache's copy first, then on etcd's.

Each case names what apiserver v0.35.0 does (pkg/registry/generic/registry/store.go, pkg/storage/etcd3/store.go,
pkg/storage/cacher/delegator.go; for apply: structured-merge-diff v6, merge/update.go).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from sim.apiserver.objects import ABSENT, Content, Version
from sim.apiserver.storage import (
    SAME,
    Step,
    Verb,
    Write,
    add_finalizer,
    attempt,
    new_spec,
    remove_finalizer,
    set_field,
    set_observed_generation,
)

PUT, DELETE, READ, UNCHANGED, CONFLICT, NOT_FOUND = Step

PLAIN = Content(fields=(("count", 1, ""),))
OWNED = Content(fields=(("image", "v1", "alice"),))
GUARDED = Content(finalizers=2)
LAST = Content(finalizers=1)
GOING = replace(GUARDED, deleting=True)
LAST_GOING = replace(LAST, deleting=True)

COUNT = set_field("count", 2)


def at(revision, content=PLAIN):
    return Version(revision, content)


def apply(name, value, manager, force=False):
    return Write(Verb.APPLY, set_field(name, value, manager), manager=manager, field=name, force=force)


def todo(*case, reason):
    return pytest.param(*case, marks=pytest.mark.xfail(strict=True, reason=reason))


# write, what is found, the step where that is the cache's copy, the step where it is etcd's
CASES = {
    # PUT with a resource version
    "update of the version that the caller read": (Write(Verb.UPDATE, COUNT, 7), at(7), PUT, PUT),
    "update of an older version": (Write(Verb.UPDATE, COUNT, 6), at(7), READ, CONFLICT),
    "update of a version that this copy has not reached": (Write(Verb.UPDATE, COUNT, 8), at(7), READ, CONFLICT),
    "update that changes nothing": (Write(Verb.UPDATE, SAME, 7), at(7), READ, UNCHANGED),
    "update that changes nothing of an older version": (Write(Verb.UPDATE, SAME, 6), at(7), READ, CONFLICT),
    "update of what is not there": (Write(Verb.UPDATE, COUNT, 7), ABSENT, READ, NOT_FOUND),
    "update of what nobody looks into": (Write(Verb.UPDATE, None, 7), Version(7), PUT, PUT),
    "update of an older version of what nobody looks into": (Write(Verb.UPDATE, None, 6), Version(7), READ, CONFLICT),
    # PUT without one (a type that allows unconditional updates)
    "unconditional update": (Write(Verb.UPDATE, COUNT), at(7), PUT, PUT),
    "unconditional update that changes nothing": (Write(Verb.UPDATE, SAME), at(7), READ, UNCHANGED),
    "unconditional update of what is not there": (Write(Verb.UPDATE, COUNT), ABSENT, READ, NOT_FOUND),
    # patches
    "patch": (Write(Verb.PATCH, COUNT), at(7), PUT, PUT),
    "patch that changes nothing": (Write(Verb.PATCH, set_field("count", 1)), at(7), READ, UNCHANGED),
    "patch of what is not there": (Write(Verb.PATCH, COUNT), ABSENT, READ, NOT_FOUND),
    "patch of what nobody looks into": (Write(Verb.PATCH), Version(7), PUT, PUT),
    "patch with the lock, of that version": (Write(Verb.PATCH_LOCKED, COUNT, 7), at(7), PUT, PUT),
    "patch with the lock, of an older version": (Write(Verb.PATCH_LOCKED, COUNT, 6), at(7), READ, CONFLICT),
    "patch with the lock that changes nothing": (Write(Verb.PATCH_LOCKED, SAME, 7), at(7), READ, UNCHANGED),
    "patch of an object that is being deleted": (Write(Verb.PATCH, COUNT), at(7, GOING), PUT, PUT),
    # finalizers
    "a finalizer more": (Write(Verb.UPDATE, add_finalizer, 7), at(7), PUT, PUT),
    "a finalizer less of an object that stays": (Write(Verb.UPDATE, remove_finalizer, 7), at(7, LAST), PUT, PUT),
    "one finalizer of several of an object that goes": (Write(Verb.UPDATE, remove_finalizer, 7), at(7, GOING), PUT, PUT),
    "the last finalizer of an object that goes": (Write(Verb.UPDATE, remove_finalizer, 7), at(7, LAST_GOING), READ, DELETE),
    "the last finalizer of an object that goes, by a patch": (Write(Verb.PATCH, remove_finalizer), at(7, LAST_GOING), READ, DELETE),
    "the last finalizer, of an older version": (
        Write(Verb.UPDATE, remove_finalizer, 6), at(7, LAST_GOING), READ, CONFLICT,
    ),
    # DELETE
    "delete": (Write(Verb.DELETE), at(7), READ, DELETE),
    "delete of what nobody looks into": (Write(Verb.DELETE), Version(7), READ, DELETE),
    "delete of what is not there": (Write(Verb.DELETE), ABSENT, READ, NOT_FOUND),
    "delete of that version": (Write(Verb.DELETE, None, 7), at(7), READ, DELETE),
    "delete of an older version": (Write(Verb.DELETE, None, 6), at(7), READ, CONFLICT),
    "delete of an object with finalizers": (Write(Verb.DELETE), at(7, GUARDED), READ, PUT),
    "delete of an object with finalizers, once more": (Write(Verb.DELETE), at(7, GOING), READ, UNCHANGED),
    # server-side apply
    "apply of what is not there: a create": (apply("image", "v1", "alice"), ABSENT, READ, PUT),
    "apply by the owner": (apply("image", "v2", "alice"), at(7, OWNED), PUT, PUT),
    "apply by the owner that changes nothing": (apply("image", "v1", "alice"), at(7, OWNED), READ, UNCHANGED),
    "apply of a field that nobody owns": (apply("replicas", 3, "bob"), at(7, OWNED), PUT, PUT),
    "apply of another value to another's field": (apply("image", "v2", "bob"), at(7, OWNED), READ, CONFLICT),
    "the same, by force": (apply("image", "v2", "bob", force=True), at(7, OWNED), PUT, PUT),
    "apply of the same value to another's field": todo(
        apply("image", "v1", "bob"), at(7, OWNED), PUT, PUT, reason="only another value is a conflict; now both own the field"
    ),
    "patch by another manager of the value that is there": (  # it owns only what it changes
        Write(Verb.PATCH, set_field("image", "v1", "bob")), at(7, OWNED), READ, UNCHANGED,
    ),
}  # fmt: skip


def named(title, case):
    marked = case if hasattr(case, "marks") else pytest.param(*case)
    return pytest.param(*marked.values, marks=marked.marks, id=title)


@pytest.mark.parametrize(("write", "found", "cached", "fresh"), [named(*item) for item in CASES.items()])
def test_steps(write, found, cached, fresh):
    assert (attempt(write, found, fresh=False)[0], attempt(write, found, fresh=True)[0]) == (cached, fresh)


# ---- what is stored


@pytest.mark.parametrize(
    ("write", "before", "after"),
    [
        (Write(Verb.PATCH, COUNT), PLAIN, Content(fields=(("count", 2, ""),))),
        (Write(Verb.PATCH, set_field("phase", "Ready", "c")), PLAIN, Content(fields=(("count", 1, ""), ("phase", "Ready", "c")))),
        (Write(Verb.PATCH, new_spec), PLAIN, replace(PLAIN, generation=2)),
        (Write(Verb.PATCH, add_finalizer), PLAIN, replace(PLAIN, finalizers=1)),
        (Write(Verb.PATCH, remove_finalizer), GOING, replace(GOING, finalizers=1)),
        (apply("image", "v2", "bob", force=True), OWNED, Content(fields=(("image", "v2", "bob"),))),
        (apply("image", "v1", "alice"), None, OWNED),
        # markAsDeleting counts the deletion as a change of the spec: who filters by generation still hears of it
        (Write(Verb.DELETE), GUARDED, replace(GUARDED, deleting=True, generation=2)),
    ],
    ids=lambda value: None if isinstance(value, Content | None) else value.verb.value,
)
def test_what_a_put_stores(write, before, after):
    found = ABSENT if before is None else at(7, before)
    assert attempt(write, found, fresh=True) == (PUT, after)


def test_a_repeated_status_is_no_write():
    seen = set_observed_generation("c")
    once = seen(PLAIN)
    assert once.value("observedGeneration") == 1
    assert attempt(Write(Verb.PATCH, seen), at(7, once), fresh=True) == (UNCHANGED, None)
    assert attempt(Write(Verb.PATCH, seen), at(7, new_spec(once)), fresh=True)[0] is PUT


def test_no_new_finalizers_on_an_object_that_goes():
    assert add_finalizer(GOING) == GOING


def test_there_is_no_negative_number_of_finalizers():
    assert remove_finalizer(PLAIN) == PLAIN


# ---- a write to its end: what it costs, where others write meanwhile


@dataclass
class Storage:
    """etcd with one object, the watch cache's copy of it, and what a write makes of them. others: changes that somebody else gets

    in just before our transactions, one each.
    """

    now: Version
    cached: Version
    others: list = field(default_factory=list)
    reads: int = 0
    transactions: int = 0
    puts: int = 0
    deletes: int = 0

    def write(self, write: Write) -> Step:
        """The step that ends it: PUT and DELETE where a transaction went through."""
        step, content = attempt(write, self.cached, fresh=False)
        found = self.cached
        while True:
            if step is READ:
                self.reads += 1
                found = self.now
            elif step in (PUT, DELETE):
                if self.others:
                    self.now = Version(self.now.revision + 1, self.others.pop(0)(self.now.content))
                self.transactions += 1
                if found.revision == self.now.revision:
                    return self._commit(step, content)
                found = self.now  # a failed transaction brings the object along
            else:
                return step
            step, content = attempt(write, found, fresh=True)

    def _commit(self, step: Step, content: Content | None) -> Step:
        self.puts += step is PUT
        self.deletes += step is DELETE
        self.now = Version(self.now.revision + 1, content) if step is PUT else ABSENT
        self.cached = self.now
        return step


def fresh_storage(content=PLAIN, revision=7, **others):
    return Storage(at(revision, content), at(revision, content), **others)


def test_a_stale_cache_does_not_refuse_a_writer_who_knows_better():
    storage = Storage(now=at(9), cached=at(7))
    assert storage.write(Write(Verb.UPDATE, COUNT, 9)) is PUT
    assert (storage.reads, storage.transactions) == (1, 1)


def test_a_writer_as_stale_as_the_cache_loses_with_a_transaction():
    """No read: the transaction on the cached copy fails and brings the newer object along."""
    storage = Storage(now=at(9), cached=at(7))
    assert storage.write(Write(Verb.UPDATE, COUNT, 7)) is CONFLICT
    assert (storage.reads, storage.transactions, storage.puts) == (0, 1, 0)


def test_a_stale_writer_loses_with_a_read_where_the_cache_is_ahead():
    storage = fresh_storage(revision=9)
    assert storage.write(Write(Verb.UPDATE, COUNT, 7)) is CONFLICT
    assert (storage.reads, storage.transactions) == (1, 0)


def test_a_patch_goes_on_until_it_gets_through():
    bump = [new_spec, new_spec, new_spec]
    storage = fresh_storage(others=bump)
    assert storage.write(Write(Verb.PATCH, COUNT)) is PUT
    assert (storage.reads, storage.transactions, storage.puts) == (0, 4, 1)
    assert (storage.now.content.generation, storage.now.content.value("count")) == (4, 2)


def test_a_patch_that_another_made_first_ends_without_a_write():
    storage = fresh_storage(others=[COUNT])
    assert storage.write(Write(Verb.PATCH, COUNT)) is UNCHANGED
    assert (storage.reads, storage.transactions, storage.puts) == (0, 1, 0)


def test_an_unchanged_object_costs_one_read_and_no_transaction():
    storage = fresh_storage()
    assert storage.write(Write(Verb.UPDATE, SAME, 7)) is UNCHANGED
    assert (storage.reads, storage.transactions) == (1, 0)


def test_what_looks_unchanged_in_the_cache_is_written_where_etcd_has_moved_on():
    storage = Storage(now=at(9, COUNT(PLAIN)), cached=at(7))
    assert storage.write(Write(Verb.PATCH, set_field("count", 1))) is PUT
    assert (storage.reads, storage.transactions) == (1, 1)


def test_what_is_gone_is_not_found_after_one_transaction():
    storage = Storage(now=ABSENT, cached=at(7))
    assert storage.write(Write(Verb.PATCH, COUNT)) is NOT_FOUND
    assert (storage.reads, storage.transactions) == (0, 1)


def test_an_apply_whose_object_went_meanwhile_creates_it():
    storage = Storage(now=ABSENT, cached=at(7, OWNED))
    assert storage.write(apply("image", "v2", "alice")) is PUT
    assert storage.transactions == 2
    assert storage.now.content == Content(fields=(("image", "v2", "alice"),))


def test_a_delete_takes_a_newer_version_too():
    storage = fresh_storage(others=[COUNT])
    assert storage.write(Write(Verb.DELETE)) is DELETE
    assert (storage.transactions, storage.deletes) == (2, 1)


def test_a_delete_of_one_version_does_not():
    storage = fresh_storage(others=[COUNT])
    assert storage.write(Write(Verb.DELETE, None, 7)) is CONFLICT
    assert (storage.transactions, storage.deletes) == (1, 0)


def test_a_delete_to_which_somebody_adds_a_finalizer_first_becomes_an_update():
    """Simplified: the real one has looked for finalizers only in the copy that it read first, and deletes (a known race)."""
    storage = fresh_storage(others=[add_finalizer])
    assert storage.write(Write(Verb.DELETE)) is PUT


@pytest.mark.parametrize(("finalizers", "puts", "deletes"), [(0, 0, 1), (1, 1, 1), (2, 2, 1), (3, 3, 1)])
def test_the_end_of_an_object_costs_an_update_a_finalizer_and_a_delete(finalizers, puts, deletes):
    """The first update sets the deletionTimestamp; the last removal of a finalizer is the delete (facts, kubernetes.md 4.3)."""
    storage = fresh_storage(Content(finalizers=finalizers))
    storage.write(Write(Verb.DELETE))
    for _ in range(finalizers):
        storage.write(Write(Verb.UPDATE, remove_finalizer, storage.now.revision))
    assert (storage.puts, storage.deletes, storage.now) == (puts, deletes, ABSENT)


def test_deleting_again_waits_for_the_finalizers_without_a_write():
    storage = fresh_storage(GUARDED)
    assert storage.write(Write(Verb.DELETE)) is PUT
    assert storage.write(Write(Verb.DELETE)) is UNCHANGED
    assert (storage.puts, storage.deletes) == (1, 0)


@pytest.mark.parametrize(
    ("content", "write", "reads"),
    [
        (PLAIN, Write(Verb.DELETE), 1),
        (GUARDED, Write(Verb.DELETE), 1),
        (LAST_GOING, Write(Verb.UPDATE, remove_finalizer, 7), 1),
        (PLAIN, Write(Verb.UPDATE, COUNT, 7), 0),
        (PLAIN, Write(Verb.PATCH, COUNT), 0),
    ],
    ids=["delete", "delete with finalizers", "last finalizer", "update", "patch"],
)
def test_reads_before_a_write(content, write, reads):
    storage = fresh_storage(content)
    assert storage.write(write) in (PUT, DELETE)
    assert storage.reads == reads


def test_a_create_by_apply_reads_first():
    storage = Storage(now=ABSENT, cached=ABSENT)
    assert storage.write(apply("image", "v1", "alice")) is PUT
    assert (storage.reads, storage.transactions) == (1, 1)


def test_an_apply_on_a_cache_that_has_not_heard_of_the_object_updates_it():
    storage = Storage(now=at(9, OWNED), cached=ABSENT)
    assert storage.write(apply("image", "v2", "alice")) is PUT
    assert storage.now.revision == 10
