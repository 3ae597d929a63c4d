"""Raw clients that grant and revoke leases, with and without keys."""

from __future__ import annotations

from typing import Any

import pytest

from sim.assembly import World, build
from sim.errors import InputError
from sim.etcd import wal
from sim.etcd.request import SERVER_LEASES, Op
from sim.processes.events import NOTHING, Call
from sim.scenario.model import from_dict
from sim.units import SECOND


def world(horizon: str = "20s", **load: Any) -> World:
    described = {
        "horizon": horizon,
        "etcd": {
            "members": {"a": {"disk": {"fdatasync": "1ms", "bandwidth": "8GB/s"}}}, "compaction": {"by": "never"}
        },
        "apiservers": {},
        "clients": {"load": {"clients": 2, "think": "100ms", **load}},
    }  # fmt: skip
    made = build(from_dict(described), 1)
    made.env.advance(made.scenario.horizon)
    made.backend.advance(made.scenario.horizon)
    return made


def test_leases_that_are_granted_expire_with_their_keys() -> None:
    made = world(op="grant", lease_ttl="5s", lease_keys=3)
    granted = made.lessor.expired + made.backend.leases_held
    assert granted == pytest.approx(20 / 0.109 * 2, rel=0.1)  # a pause, a grant and three puts
    assert made.backend.leases_held == pytest.approx(5.25 / 20 * granted, rel=0.1)
    assert made.backend.mvcc.keys_live == pytest.approx(3 * made.backend.leases_held, abs=6)
    assert made.backend.mvcc.revision > 3 * granted


def test_leases_that_are_revoked_are_gone() -> None:
    made = world(op="revoke", lease_keys=1)
    assert made.backend.leases_held <= 2
    assert made.backend.mvcc.keys_live <= 2
    assert made.lessor.expired == 0
    assert made.backend.mvcc.revision > 500


def test_a_grant_and_a_revoke_write_what_they_write_to_the_log() -> None:
    """A server's id is 9 bytes in each of them."""
    made = world(op="revoke")
    grant, revoke = (wal.proposal(size) for size in (wal.lease_grant(60, SERVER_LEASES), wal.lease_revoke(SERVER_LEASES)))
    pairs = made.leader.entries / 2
    index = 200
    expected = pairs * (wal.entry_frame(grant, index) + wal.entry_frame(revoke, index))
    assert sum(made.leader.bytes_by_writer) == pytest.approx(expected, rel=0.01)
    assert made.backend.mvcc.revision == 1  # neither makes one


@pytest.mark.parametrize("lease", [1_000_001, SERVER_LEASES + 5])
def test_who_gives_the_id_decides_how_long_the_revoke_is(lease: int) -> None:
    """A client's own id is as short as it is, also where the lessor revokes it."""
    made = world(op="get", clients=1, think="1h")
    already, grant = made.leader.log.written, Call(made.env, made.leader.propose, 0)
    grant.op, grant.shape, grant.lease, grant.expected = Op.LEASE_GRANT, NOTHING, lease, 2 * SECOND
    grant.data = wal.proposal(wal.lease_grant(2, lease))
    grant.send(0, 0)
    made.env.advance(30 * SECOND)
    assert made.lessor.expired == 1
    frames = wal.entry_frame(grant.data, 1), wal.entry_frame(wal.proposal(wal.lease_revoke(lease)), 2)
    assert sum(made.leader.bytes_by_writer) == sum(frames)
    assert made.leader.log.written - already >= sum(frames)


def test_what_is_no_operation_is_refused() -> None:
    with pytest.raises(InputError, match=r"clients\.load\.op"):
        world(op="lease")


def test_keepalives_after_the_end_take_a_new_lease() -> None:
    """A pause longer than the lease: each round grants again, under another id."""
    made = world(op="keepalive", lease_ttl="2s", think="3s")
    assert made.leader.entries >= 2 * (20 // 3.1 + 20 // 4)
    assert made.lessor.expired > 0


def test_ids_rise_in_the_order_of_the_grants() -> None:
    made = world(op="grant", lease_ttl="60s")
    held = list(made.backend._leases.held)
    assert held == sorted(held)
    assert held[0] >= SERVER_LEASES
    assert made.env.now == 20 * SECOND
