"""Leases of keys that can be written again: attached by a put, taken off by the next one or a delete, gone with a revoke.

What stands behind the arrows was answered by a real etcd 3.5.1; to record it again:

    python tests/etcd/test_named_leases.py /path/to/etcd
"""

from __future__ import annotations

import sys

import pytest

from sim.etcd import leaf, wal
from sim.etcd.backend import Backend
from sim.etcd.bbolt import Pages
from sim.etcd.mvcc import Mvcc
from sim.etcd.request import SERVER_LEASES, Op, Outcome, Shape
from sim.etcd.rules import BackendCosts, BackendRules
from sim.hardware.disk import Disk, Stalls
from sim.units import MICROSECOND, MILLISECOND

# One line a request. @n: attached to lease n; =r: on condition that the key's mod revision is r. The answer of a revoke: the
# store's revision after it and the keys that went.
SCRIPTS = {
    "a revoke deletes what is attached, under one revision": """
        grant 1          -> ok
        create a @1      -> 2
        create b @1      -> 3
        create c         -> 4
        revoke 1         -> 5 a b
        revoke 1         -> lease not found
        create a         -> 6
    """,
    "a put without a lease takes the key off": """
        grant 1          -> ok
        create a @1      -> 2
        update a =2      -> 3
        revoke 1         -> 3
        update a =3      -> 4
    """,
    "a put with another lease moves the key": """
        grant 1          -> ok
        grant 2          -> ok
        create a @1      -> 2
        update a =2 @2   -> 3
        revoke 1         -> 3
        revoke 2         -> 4 a
    """,
    "a put with the same lease leaves it there once": """
        grant 1          -> ok
        create a @1      -> 2
        update a =2 @1   -> 3
        put a @1         -> 4
        revoke 1         -> 5 a
    """,
    "a put attaches a key that had none": """
        grant 1          -> ok
        put a            -> 2
        update a =2 @1   -> 3
        revoke 1         -> 4 a
    """,
    "a delete takes the key off, and a new key of that name is another": """
        grant 1          -> ok
        create a @1      -> 2
        delete a =2      -> 3
        create a         -> 4
        revoke 1         -> 4
        update a =4      -> 5
    """,
    "a lost race changes nothing, neither the key nor its lease": """
        grant 1          -> ok
        grant 2          -> ok
        create a @1      -> 2
        update a =9 @2   -> conflict
        update a =9      -> conflict
        create a @2      -> conflict
        delete a =9      -> conflict
        revoke 2         -> 2
        revoke 1         -> 3 a
    """,
    "a lease that is not there: refused where the condition holds, and not looked at where it does not": """
        create a @7      -> lease not found
        create a         -> 2
        update a =2 @7   -> lease not found
        update a =9 @7   -> conflict
        create a @7      -> conflict
        put a @7         -> lease not found
        update a =2      -> 3
    """,
    "a revoked lease does not come back": """
        grant 1          -> ok
        create a @1      -> 2
        revoke 1         -> 3 a
        create a @1      -> lease not found
        create a         -> 4
        update a =4 @1   -> lease not found
    """,
    "write-once keys and named ones go together": """
        grant 1          -> ok
        once x1 @1       -> 2
        create a @1      -> 3
        once x2 @1       -> 4
        put b @1         -> 5
        put b            -> 6
        revoke 1         -> 7 a x1 x2
        once x3 @1       -> lease not found
    """,
    "a lease is granted once": """
        grant 1          -> ok
        create a @1      -> 2
        grant 1          -> lease already exists
        revoke 1         -> 3 a
        grant 1          -> ok
    """,
    "a lease without keys": """
        grant 1          -> ok
        revoke 1         -> 1
        grant 1          -> ok
        put a @1         -> 2
        revoke 1         -> 3 a
    """,
}

REFUSALS = {
    Outcome.CONFLICT: "conflict", Outcome.LEASE_NOT_FOUND: "lease not found", Outcome.LEASE_EXISTS: "lease already exists"
}  # fmt: skip
KEY_BYTES, VALUE_BYTES = 39, 1000


class Entry:
    """An entry of the log, as the applier needs it."""

    def __init__(self, op: Op, shape: Shape, key=None, expected=0, lease=0, writer=0):
        self.op, self.shape, self.key, self.expected, self.lease, self.writer = op, shape, key, expected, lease, writer
        self.outcome, self.revision, self.handed, self.done = Outcome.UNCHANGED, 0, 0, 0


class Store:
    """A backend that is handed one entry after the other."""

    def __init__(self, commit_on_delete=True):
        self.leased = Shape("leased", KEY_BYTES, VALUE_BYTES, leased=True)
        self.plain = Shape("plain", KEY_BYTES, VALUE_BYTES)
        self.pages = Pages()
        self.mvcc = Mvcc(self.pages)
        self.backend = Backend(
            self.mvcc, self.pages, Disk(lambda: MILLISECOND, 1e12, Stalls()), lambda: 10 * MICROSECOND,
            BackendCosts(1000, 1000, 1000, 1000, 1000), BackendRules(commit_on_delete=commit_on_delete),
            [self.leased, self.plain], writers=3,
        )  # fmt: skip
        self.backend.begin()
        self.now = 0

    def do(self, op: Op, key=None, expected=0, lease=0, writer=0) -> Entry:
        entry = Entry(op, self.leased if lease else self.plain, key, expected, lease, writer)
        self.now = max(self.now + MILLISECOND, self.backend.free_at)
        self.backend.hand_over(self.now, [entry])
        return entry

    def is_sound(self) -> bool:
        mvcc = self.mvcc
        attached = {key: lease for lease, held in self.backend._leases.held.items() for key in held.named}
        return (
            mvcc.retained == mvcc.keys_live + mvcc.dead
            and sum(self.backend.live_by_writer) == mvcc.keys_live
            and attached == {key: state.lease for key, state in mvcc.named.items() if state.lease}
        )


def parsed(script: str):
    for line in script.strip().splitlines():
        request, answer = (part.strip() for part in line.split("->"))
        op, *words = request.split()
        lease = next((int(word[1:]) for word in words if word[0] == "@"), 0)
        expected = next((int(word[1:]) for word in words if word[0] == "="), 0)
        yield request, answer, op, words[0], expected, lease


def replayed(store: Store, op: str, name: str, expected: int, lease: int, once: dict[int, list[str]]) -> str:
    """What our store answers to one line."""
    if op == "grant":
        return REFUSALS.get(store.do(Op.LEASE_GRANT, lease=int(name)).outcome, "ok")
    if op == "revoke":
        entry = store.do(Op.LEASE_REVOKE, lease=int(name))
        gone = sorted([*store.backend.take_revoked(int(name)), *once.pop(int(name), [])])
        return REFUSALS.get(entry.outcome) or " ".join([str(store.mvcc.revision), *gone])
    if op == "once":
        entry = store.do(Op.CREATE_ONCE, lease=lease)
        if entry.outcome is Outcome.CREATED:
            once.setdefault(lease, []).append(name)
    else:
        entry = store.do(Op[op.upper()], name, expected, lease)
    return REFUSALS.get(entry.outcome) or str(entry.revision)


@pytest.mark.parametrize("title", SCRIPTS)
def test_answers_as_etcd_does(title):
    store, once = Store(), {}
    for request, answer, *line in parsed(SCRIPTS[title]):
        assert (request, replayed(store, *line, once)) == (request, answer)
        assert store.is_sound()


# ---- what a revoke leaves behind


def leased_keys(store: Store):
    """A lease with five keys of three writers: two write-once, three named, one of which another writer wrote last."""
    store.do(Op.LEASE_GRANT, lease=1)
    for writer, key in [(0, "c"), (1, "a"), (2, "b")]:
        store.do(Op.CREATE, key, lease=1, writer=writer)
    store.do(Op.UPDATE, "b", expected=store.mvcc.state("b").modified, lease=1, writer=0)
    for writer in (1, 1):
        store.do(Op.CREATE_ONCE, lease=1, writer=writer)


def test_a_revoke_leaves_a_tombstone_a_key_under_one_revision():
    store = Store()
    leased_keys(store)
    before, slots = store.mvcc.revision, store.mvcc.retained
    entry = store.do(Op.LEASE_REVOKE, lease=1)
    assert (entry.outcome, entry.revision) == (Outcome.UNCHANGED, before + 1)
    assert store.mvcc.revision == before + 1
    assert store.mvcc.retained == slots + 5
    assert store.mvcc.keys_live == 0
    assert store.mvcc.dead == store.mvcc.retained
    assert store.mvcc.slots_up_to(before) == slots
    assert [store.pages.element_of(slots + sub) for sub in range(5)] == [leaf.tombstone(KEY_BYTES)] * 5
    work = store.mvcc.compact(before + 1, 1000)
    assert len(work.removed) == slots  # the tombstones stay until the next one: they are AT the compaction's revision


def test_each_writer_loses_the_keys_it_created():
    store = Store()
    store.do(Op.CREATE, "stays", writer=2)
    leased_keys(store)
    assert store.backend.live_by_writer == [1, 3, 2]
    entry = store.do(Op.LEASE_REVOKE, lease=1)
    assert store.backend.live_by_writer == [0, 0, 1]
    assert {(writer, count) for _, writer, count in store.backend.revoked} == {(0, 1), (1, 3), (2, 1)}
    assert {at for at, _, _ in store.backend.revoked} == {entry.done - store.backend.commits.columns[0][-1]}  # then it commits


def test_names_that_went_are_told_once_and_in_order():
    store = Store()
    leased_keys(store)
    store.do(Op.LEASE_REVOKE, lease=1)
    assert store.backend.take_revoked(1) == ["a", "b", "c"]
    assert store.backend.take_revoked(1) == []


def test_a_delete_is_the_creators_loss():
    store = Store()
    entry = store.do(Op.CREATE, "a", writer=1)
    store.do(Op.DELETE, "a", expected=entry.revision, writer=2)
    assert store.backend.live_by_writer == [0, 0, 0]


@pytest.mark.parametrize(("commit_on_delete", "commits"), [(True, 1), (False, 0)])
def test_a_revoke_commits_at_once_where_the_version_does(commit_on_delete, commits):
    """And it leaves nothing pending: no commit of its own follows 100 ms later."""
    store = Store(commit_on_delete)
    leased_keys(store)
    store.backend.advance(store.now + 200 * MILLISECOND)
    before = len(store.backend.commits.times)
    store.now += 250 * MILLISECOND
    store.do(Op.LEASE_REVOKE, lease=1)
    assert len(store.backend.commits.times) - before == commits
    store.backend.advance(store.now + 500 * MILLISECOND)
    assert len(store.backend.commits.times) - before == 1


def test_a_revoke_of_what_is_not_there_changes_nothing():
    store = Store()
    store.backend.advance(150 * MILLISECOND)
    before = len(store.backend.commits.times)
    store.now = 150 * MILLISECOND
    assert store.do(Op.LEASE_REVOKE, lease=3).outcome is Outcome.LEASE_NOT_FOUND
    store.backend.advance(store.now + 500 * MILLISECOND)
    assert len(store.backend.commits.times) == before


# ---- sizes


def test_a_lease_costs_its_id_in_the_log_and_in_the_file():
    """Tag and varint of a 63-bit id: 10 bytes, where the put is; a delete names no lease."""
    leased, plain = Shape("leased", 39, 1000, leased=True), Shape("plain", 39, 1000)
    assert leased.create_data - plain.create_data == 10
    assert leased.update_data(5) - plain.update_data(5) == 10
    assert leased.update_data(5) == wal.proposal(wal.update(39, 1000, 5, SERVER_LEASES))
    assert leased.element(2, 3, 2, SERVER_LEASES) - plain.element(2, 3, 2, 0) == 10
    assert leased.delete_data(5) == plain.delete_data(5)
    assert leased.tombstone == plain.tombstone


def test_an_unleased_key_of_a_type_with_a_life_is_shorter():
    store = Store()
    store.plain = Shape("event", KEY_BYTES, VALUE_BYTES, leased=True)
    store.do(Op.PUT, "a")
    assert store.pages.element_of(0) == leaf.element(leaf.key_value(KEY_BYTES, VALUE_BYTES, 2, 2, 1))


# ---- recording


def record(binary: str) -> None:
    """Print every script with what a real etcd answers."""
    from base64 import b64decode

    from record_wal import Etcd, b64

    keys = {"key": b64(b"\0"), "range_end": b64(b"\0")}

    def compare(name: str, revision: int) -> list[dict[str, str]]:
        return [{"target": "MOD", "result": "EQUAL", "key": b64(name.encode()), "mod_revision": str(revision)}]

    def answer(etcd: Etcd, op: str, name: str, expected: int, lease: int) -> str:
        key = b64(name.encode())
        put = {"key": key, "value": b64(b"v")} | ({"lease": str(lease)} if lease else {})
        match op:
            case "grant":
                etcd.call("lease/grant", TTL="3600", ID=name)
                return "ok"
            case "revoke":
                before = [pair["key"] for pair in etcd.call("kv/range", **keys).get("kvs", [])]
                revision = etcd.call("lease/revoke", ID=name)["header"]["revision"]
                after = {pair["key"] for pair in etcd.call("kv/range", **keys).get("kvs", [])}
                return " ".join([revision, *(b64decode(gone).decode() for gone in before if gone not in after)])
            case "put":
                return str(etcd.call("kv/put", **put)["header"]["revision"])
            case "delete":
                success = {"request_delete_range": {"key": key}}
            case _:
                success = {"request_put": put}
        done = etcd.call("kv/txn", compare=compare(name, expected), success=[success])
        return str(done["header"]["revision"]) if done.get("succeeded") else "conflict"

    for title, script in SCRIPTS.items():
        with Etcd(binary) as etcd:
            print(f'    "{title}": """')
            for request, _, *line in parsed(script):
                try:
                    said = answer(etcd, *line)
                except ValueError as refused:
                    known = (told for told in ("lease not found", "lease already exists") if told in str(refused))
                    said = next(known, str(refused))
                print(f"        {request:<16} -> {said}")
            print('    """,')


if __name__ == "__main__":
    record(sys.argv[1])
