"""The simulated half: clients that send what the generator sends, as many and when."""

from __future__ import annotations

from typing import Any

import pytest
from validation.test_compare import inputs

from sim.errors import InputError
from sim.etcd import wal
from sim.scenario.load_test import LoadTest
from sim.validation.predict import Predicted, predict, scenario, unsimulated
from sim.validation.workload import arrivals


def a_load(**fields: Any) -> LoadTest:
    return LoadTest.model_validate({"name": "w", "seconds": 0.5, "warmup_seconds": 0.1, **fields})


def predicted(load: LoadTest, requests: int = 0, seed: int = 1, **changes: Any) -> Predicted:
    return predict("3.5.1", load, inputs(), seed, requests, {path.replace("__", "."): value for path, value in changes.items()})


def figures(found: Predicted) -> dict[str, float]:
    return {name: value for name, value in found.figures.items() if value is not None}


def frames(data: int, first: int, count: int) -> int:
    """Bytes of `count` entries of the same data from a raft index on."""
    return sum(wal.entry_frame(data, index) for index in range(first, first + count))


def test_a_closed_loop_has_the_counts_of_as_many_requests_as_were_measured() -> None:
    found = figures(predicted(a_load(clients=3, value_bytes=500), 1234))
    assert (found["etcd.keys_live"], found["etcd.revision"], found["etcd.wal_entries"]) == (1234, 1235, 1234)
    assert found["etcd.wal_entry_bytes"] == frames(wal.proposal(wal.put(32, 500)), 1, 1234)
    assert found["etcd.wal_bytes_written"] > found["etcd.wal_entry_bytes"]
    assert found["etcd.requests_per_second"] > 1000  # of the run that lasts half a second, not of the 1234 requests


def test_an_open_loop_sends_at_the_generators_times() -> None:
    load = a_load(rate=300, seconds=2, warmup_seconds=0.5)
    found = predicted(load, seed=7)
    due = arrivals(load, 7)
    assert sorted(found.records.began) == due
    assert found.figures["etcd.wal_entries"] == len(due)
    assert found.figures["etcd.requests_per_second"] == pytest.approx(sum(at >= 0.5e9 for at in due) / 1.5, abs=1.5)


def test_a_mix_of_everything_does_to_the_store_what_it_says() -> None:
    mix = {"put_new": 3, "put_over": 2, "delete": 2, "txn": 2, "get": 1, "get_serializable": 1, "list": 1}
    load = a_load(rate=800, op="mix", mix=mix, key_space=20, preload=10, seconds=2)
    found = predicted(load)
    records = found.records
    assert records.well.all()
    kinds = {name: int((records.kind == place).sum()) for place, name in enumerate(load_kinds())}
    writes = sum(kinds[kind] for kind in ("put_new", "put_over", "delete", "txn"))
    assert found.figures["etcd.wal_entries"] == writes
    assert all(count > 0 for count in kinds.values())
    live = found.figures["etcd.keys_live"]
    assert live is not None
    assert kinds["put_new"] - kinds["delete"] <= live <= kinds["put_new"] + 20
    for kind in mix:
        assert found.figures[f"etcd.request_seconds.{kind}.p50"]


def load_kinds() -> tuple[str, ...]:
    from sim.scenario.load_test import KINDS

    return KINDS


def test_deletes_of_what_is_not_there_change_nothing() -> None:
    found = figures(predicted(a_load(clients=2, op="delete", key_space=5), 100))
    assert (found["etcd.keys_live"], found["etcd.revision"], found["etcd.wal_entries"]) == (0, 1, 100)


def test_transactions_lose_races_as_the_api_servers_do() -> None:
    """Eight clients on one key: most expectations are stale; a lost race writes an entry and no revision."""
    found = predicted(a_load(clients=8, op="txn", key_space=1), 500)
    assert found.figures["etcd.wal_entries"] == 500
    revision = found.figures["etcd.revision"]
    assert revision is not None
    assert 1 + 500 / 8 * 0.8 <= revision < 400


def test_leases_of_a_storm_expire_together() -> None:
    load = a_load(rate=20, lease_count=100, lease_ttl=2, lease_at_seconds=0.2, seconds=5)
    found = figures(predicted(load))
    assert 2.0 <= found["etcd.leases_gone_after_seconds"] <= 3.2
    puts = len(arrivals(load, 1))
    assert found["etcd.wal_entries"] == puts + 3 * 100
    assert (found["etcd.keys_live"], found["etcd.revision"]) == (puts, 1 + puts + 200)


def test_overwrites_are_compacted_when_the_load_says() -> None:
    load = a_load(rate=500, op="put_over", key_space=50, compact_every_seconds=0.5, seconds=2)
    found = predicted(load)
    assert found.figures["etcd.keys_live"] == 50
    assert found.run.distributions["etcd.compaction_seconds"].count == 3
    assert found.figures["etcd.wal_entries"] == len(arrivals(load, 1)) + 3


def test_a_quota_is_reached_and_said_as_etcd_says_it() -> None:
    found = predicted(a_load(clients=4, value_bytes=3000, quota_bytes=4_000_000, seconds=1))
    assert list(found.records.failures) == ["RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded"]
    assert found.figures["etcd.keys_live"] == pytest.approx(1000, rel=0.3)


def test_keys_exist_beforehand() -> None:
    found = figures(predicted(a_load(rate=50, preload=3000, value_bytes=100)))
    assert found["etcd.keys_live"] == 3000 + found["etcd.wal_entries"]
    assert found["etcd.revision"] == 1 + found["etcd.keys_live"]


def test_more_members_wait_for_each_other_and_followers_ask_the_leader() -> None:
    alone, three, follower = (
        figures(predicted(a_load(clients=1, **fields)))["etcd.request_seconds.p50"]
        for fields in ({}, {"members": 3}, {"members": 3, "target": "follower"})
    )
    assert three > alone + 50e-6
    assert follower > three + 30e-6


def test_each_watcher_takes_its_part_of_every_apply() -> None:
    alone, watched = (predicted(a_load(rate=100, seconds=1, watchers=count)).run.distributions for count in (0, 20))
    added = (watched["etcd.apply_execution_seconds"].mean or 0) - (alone["etcd.apply_execution_seconds"].mean or 0)
    assert added == pytest.approx(20 * 2e-6, rel=0.2)  # costs.watch_event: 2 us


def test_clients_think() -> None:
    found = figures(predicted(a_load(clients=10, think_seconds=0.05, seconds=2)))
    assert found["etcd.requests_per_second"] == pytest.approx(10 / 0.051, rel=0.05)
    drawn = figures(predicted(a_load(clients=40, think_seconds=0.05, think="exponential", seconds=2)))
    assert drawn["etcd.requests_per_second"] == pytest.approx(40 / 0.051, rel=0.1)


def test_fields_of_the_scenario_can_be_set() -> None:
    slow = figures(predicted(a_load(clients=1), etcd__costs__ready="2ms"))
    assert slow["etcd.request_seconds.p50"] > 0.002


def test_flags_that_are_fields_are_simulated_and_others_are_named() -> None:
    load = a_load(clients=1, flags=["--snapshot-count=5000", "--heartbeat-interval=50"])
    assert scenario("3.5.1", load, inputs(), {}).etcd.snapshot_count == 5000
    assert unsimulated(load) == ["--heartbeat-interval=50"]
    with pytest.raises(InputError, match=r'w: flags: "--snapshot-count=many" is not what etcd takes'):
        scenario("3.5.1", a_load(clients=1, flags=["--snapshot-count=many"]), inputs(), {})


def test_the_same_inputs_give_the_same_prediction() -> None:
    first, second = (predicted(a_load(clients=8, seconds=0.3), 100, seed=5).figures for _ in range(2))
    assert first == second
