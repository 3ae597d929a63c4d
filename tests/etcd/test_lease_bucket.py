"""Bucket `lease` of the backend file: our store against files of a real etcd 3.5.1 (data/golden/leases, `record_leases.py`)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_leases import Case
from test_bbolt_bytes import conserved

from sim.etcd import leaf
from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.leaf import INLINE, PAGE, PAGE_HEADER
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import SERVER_LEASES, Op, Outcome, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.hardware.disk import Disk, Stalls
from sim.units import SECOND

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "leases"
RESULTS = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
WAITING_AT_START = 2
"""Changes of a member's start that wait for its first commit: they count for backend-batch-limit."""


class Entry:
    """An entry of the log, as the applier needs it."""

    def __init__(self, op: Op, shape: Shape, lease: int, expected: int = 0):
        self.op, self.shape, self.key, self.expected, self.lease, self.writer = op, shape, None, expected, lease, 0
        self.outcome, self.revision, self.handed, self.done = Outcome.UNCHANGED, 0, 0, 0


class Replay:
    """What a recorded case did, in our store: after each step, what etcd's metrics would say."""

    def __init__(self, case: Case):
        self.case = case
        self.shape = Shape("leased", 27, case.value, leased=True)
        self.pages = Pages()
        self.backend = Backend(
            Mvcc(self.pages), self.pages, Disk(lambda: 1, 1e12, Stalls()), lambda: 1, BackendCosts(1, 1, 1, 1, 1),
            BackendRules(batch_interval=3600 * SECOND, batch_limit=case.commit_every, commit_on_delete=False), [self.shape], 1,
        )  # fmt: skip
        self.backend.begin()
        self.backend._pending = WAITING_AT_START

    def _do(self, op: Op, number: int, expected: int = 0) -> None:
        entry = Entry(op, self.shape, SERVER_LEASES + number, expected)
        self.backend.hand_over(self.backend.free_at, [entry])
        assert entry.outcome in (Outcome.UNCHANGED, Outcome.CREATED)

    def steps(self) -> dict[str, dict[str, int]]:
        case, found = self.case, {}
        for number in range(case.leases):
            self._do(Op.LEASE_GRANT, number, case.ttl * SECOND)
        found["granted"] = self._measured()
        if case.keys:
            for number in range(case.leases):
                for _ in range(case.keys):
                    self._do(Op.PUT_ONCE, number)
            found["attached"] = self._measured()
        if case.revoked:
            for number in case.chosen():
                self._do(Op.LEASE_REVOKE, number)
            found["revoked"] = self._measured()
        if case.defrag:
            self.backend.defrag(self.backend.free_at)
            found["defragmented"] = self._measured()
        self.pages.commit()
        return found

    def _measured(self) -> dict[str, int]:
        pages, written = self.pages, sum(self.backend.commit_pages)
        return {"total": pages.pages_high_water, "in_use": pages.pages_in_use, "written": written, "commits": pages.commits}

    def leaves(self) -> Counter[str]:
        """Number of leaves by elements and pages, as the recorder counts them in the file."""
        branches = self.pages.leases.branches
        return Counter(f"{count}/{run}" for branch in branches for count, run in zip(branch.count, branch.run, strict=True) if run)


@pytest.mark.parametrize("name", RESULTS)
def test_real_etcd(name: str) -> None:
    """Grants: equal but for the page of bucket `key`, which lies in the root while it is empty. What commits write is equal, too.

    Revokes: bbolt merges small leaves in the order of a Go map, so files of one history differ.
    """
    result: dict[str, Any] = RESULTS[name]
    assert result["id_bytes"] == [9]
    replay = Replay(Case(**result["case"]))
    found = replay.steps()
    conserved(replay.pages)
    for step, seen in found.items():
        about = 1 if step in ("granted", "attached") else max(2, round(0.025 * result[step]["in_use"]))
        assert seen["in_use"] == pytest.approx(result[step]["in_use"], abs=about), step
        if "written" in result[step]:  # slowed down by strace, which lets old pages come free a commit later at times
            assert seen["written"] == result[step]["written"] - result["empty"]["written"], step
        else:
            assert seen["total"] == pytest.approx(result[step]["total"], abs=about), step
    if not replay.case.revoked:
        assert replay.leaves() == result["file"]["leaves"]
    assert sum(replay.leaves().values()) == pytest.approx(sum(result["file"]["leaves"].values()), rel=0.05, abs=1)


def test_without_leases_the_bucket_has_no_page() -> None:
    """Nor with a few: they lie in the root's leaf, to which they come back."""
    pages = Pages()
    element = leaf.lease(SERVER_LEASES, 3600)
    assert element == 16 + 8 + 10 + 3
    few = (INLINE - PAGE_HEADER) // element
    slots = [pages.leases.append(element) for _ in range(few)]
    pages.commit()
    pages.commit()
    in_use = pages.pages_in_use
    slots.append(pages.leases.append(element))
    pages.commit()
    pages.commit()
    conserved(pages)
    assert pages.pages_in_use == in_use + 1
    pages.leases.free(np.array(slots[:1], dtype=np.int64))
    pages.commit()
    pages.commit()
    conserved(pages)
    assert pages.pages_in_use == in_use


def test_a_commit_of_a_grant_writes_the_way_to_it() -> None:
    """Beside a put: its leaf and its branch; the root is written anyway."""
    pages = Pages()
    for _ in range(5_000):
        pages.append(300)
        pages.leases.append(37)
    pages.commit()
    pages.append(300)
    alone = pages.commit()
    pages.append(300)
    pages.leases.append(37)
    assert pages.commit() == alone + 2


def test_bytes_of_a_lease() -> None:
    """Written in the order of their ids, half a page a leaf: 76 bytes each and not 37."""
    pages = Pages()
    before = pages.bytes_in_use
    for _ in range(10_000):
        pages.leases.append(37)
        pages.commit()
    assert (pages.bytes_in_use - before) / 10_000 == pytest.approx(PAGE / 54, rel=0.05)
