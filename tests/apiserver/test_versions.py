"""Versions of objects as etcd and watch caches know them: what is learned ahead of its time holds from that time on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.apiserver.objects import ABSENT, ObjectKey, Version
from sim.apiserver.versions import Versions
from sim.units import MINUTE

A, B = ObjectKey("pod", "default", "a"), ObjectKey("pod", "default", "b")


def test_a_version_holds_from_its_time_on() -> None:
    versions = Versions()
    versions.learn(A, Version(5), at=10)
    versions.learn(A, Version(7), at=20)
    assert [versions.at(A, now).revision for now in (10, 19, 20)] == [5, 5, 7]
    assert versions.newest(A).revision == 7
    versions.learn(A, ABSENT, at=30)
    assert [versions.at(A, now).revision for now in (29, 30)] == [7, 0]


def test_two_versions_of_one_instant_are_one_change() -> None:
    versions = Versions()
    versions.learn(A, Version(5), at=10)
    versions.learn(A, Version(7), at=20)
    versions.learn(A, Version(8), at=20)
    assert [versions.at(A, now).revision for now in (19, 20)] == [5, 8]


def test_a_list_has_what_exists_then() -> None:
    versions = Versions()
    versions.learn(A, Version(5), at=10)
    versions.learn(B, Version(6), at=20)
    versions.learn(A, ABSENT, at=30)
    assert [[key.name for key, _ in versions.of("pod", now)] for now in (10, 20, 30)] == [["a"], ["a", "b"], ["b"]]
    assert list(versions.of("node", 30)) == []


def test_what_is_deleted_is_forgotten_after_a_while_and_may_come_back() -> None:
    versions = Versions()
    versions.learn(A, Version(5), at=0)
    versions.learn(A, ABSENT, at=10)
    versions.learn(B, Version(6), at=10 + MINUTE)
    assert A in versions._known["pod"]
    versions.learn(B, Version(7), at=12 + MINUTE)
    assert A not in versions._known["pod"]
    versions.learn(A, Version(8), at=13 + MINUTE)
    assert versions.at(A, 13 + MINUTE).revision == 8


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40))
def test_it_is_the_last_of_the_changes_so_far(changes: list[tuple[int, int]]) -> None:
    """Asked at or after the change before the newest one: older ones are not told apart."""
    versions, at, known = Versions(), 0, [(0, 0)]
    for number, (later, kind) in enumerate(changes, start=1):
        at += later
        revision = number if kind else 0
        versions.learn(A, Version(revision) if revision else ABSENT, at)
        known.append((at, revision))
    earliest = max((time for time, _ in known if time < at), default=0)
    for now in range(earliest, at + 2):
        assert versions.at(A, now).revision == [revision for time, revision in known if time <= now][-1]
