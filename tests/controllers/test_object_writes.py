"""Several who write the same objects: what each verb answers, what it costs etcd, and whose work is lost (facts 4.1, 4.2)."""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate


def fight(horizon: str = "1s", clients: int = 10, objects: int = 1, **write):
    """Clients that read an object, add one to a number in it, and write it, every 100 ms and all at about the same moment."""
    hypotheses = write.pop("hypotheses", {})
    think = {"constant": "100ms"}
    workload = {"kind": "writers", "object": "app", "clients": clients, "objects": objects, "think": think, "write": write}
    run = simulate(horizon, workloads={"w": workload}, hypotheses=hypotheses)
    metrics, etcd = run.metrics, run.writers["w"]
    under_way = clients
    assert metrics["writes.requests"] - metrics["writes.succeeded"] - metrics["writes.conflicts"] in range(under_way + 1)
    assert etcd["puts"] == pytest.approx(metrics["writes.succeeded"] - metrics["writes.unchanged"], abs=under_way)
    # A failed transaction is an entry of the log all the same, without a revision.
    assert metrics["objects.app.wal_entries"] == pytest.approx(etcd["puts"] + etcd["conflicts"], abs=under_way)
    assert metrics["writes.transactions"] == pytest.approx(etcd["puts"] + etcd["conflicts"], abs=under_way)
    assert metrics["etcd.revision"] == objects + 1 + etcd["puts"]
    return metrics, etcd


ROUNDS = 9
"""A round is 100 ms and a read and a write of together 5 ms: nine in a second."""


def test_of_ten_updates_at_a_time_one_gets_through():
    metrics, etcd = fight(verb="update")
    assert metrics["writes.succeeded"] == etcd["puts"] == ROUNDS
    assert metrics["writes.conflicts"] == metrics["apiserver.conflicts"] == 9 * ROUNDS
    assert etcd["conflicts"] == 9 * ROUNDS  # the server's copy looked current: the transaction failed
    assert metrics["objects.app.wal_entries"] == 10 * ROUNDS
    assert metrics["writes.given_up"] == metrics["writes.lost_updates"] == 0


def test_a_locked_patch_is_an_update():
    assert fight(verb="merge_patch_locked") == fight(verb="update")


@pytest.mark.parametrize("verb", ["merge_patch", "json_patch", "apply"])
def test_a_patch_without_lock_never_conflicts_and_loses_what_others_wrote(verb):
    """All ten read n and write n + 1: one put, nine that change nothing, and nine of ten increments are gone."""
    metrics, etcd = fight(verb=verb)
    assert metrics["writes.conflicts"] == metrics["apiserver.conflicts"] == 0
    assert metrics["writes.succeeded"] == 10 * ROUNDS
    assert metrics["writes.lost_updates"] == 9 * ROUNDS
    # Increments that are there, increments that are not.
    assert etcd["puts"] + metrics["writes.lost_updates"] == metrics["writes.succeeded"]
    assert etcd["conflicts"] == 9 * ROUNDS  # the server tried again by itself, once each


def test_what_a_change_costs_etcd_and_its_author():
    """Ten at a time. Locked or merged: ten transactions for one change, since the nine that lost a race change nothing more."""
    alone, _ = fight(clients=1, verb="update")
    locked, _ = fight(verb="update")
    merged, _ = fight(verb="merge_patch")
    assert alone["writes.transactions_per_change"] == alone["writes.changed"] / ROUNDS == 1
    assert locked["writes.transactions_per_change"] == 10
    assert merged["writes.transactions_per_change"] == 10  # the server's second try finds nothing left to change
    assert merged["writes.changed"] + merged["writes.lost_updates"] == merged["writes.succeeded"]
    assert alone["writes.change_seconds.max"] == pytest.approx(0.0055, abs=0.001)
    retried, _ = fight("10s", retry="default")
    assert locked["writes.change_seconds.max"] == pytest.approx(alone["writes.change_seconds.max"], abs=0.001)  # or not at all
    assert retried["writes.change_seconds.max"] > 0.040 + alone["writes.change_seconds.max"]  # the last try, after four pauses
    assert retried["writes.transactions_per_change"] < 5


def test_if_a_merge_patch_locked_it_would_be_an_update():
    """The article's claim about MergeFrom, as a hypothesis: conflicts in place of lost updates."""
    claimed, _ = fight(verb="merge_patch", hypotheses={"merge_patch_locks": True})
    assert claimed["writes.conflicts"] == 9 * ROUNDS
    assert claimed["writes.lost_updates"] == 0
    asked, _ = fight(verb="json_patch", hypotheses={"merge_patch_locks": True})
    assert asked["writes.conflicts"] == 0  # it is a claim about merge patches


def test_retry_on_conflict_gets_nearly_all_through():
    """Five tries, 10 ms apart with a tenth of jitter: the ten spread, until each finds the object for itself."""
    metrics, _ = fight("10s", retry="default")
    once, _ = fight("10s")
    assert metrics["writes.succeeded"] > 2.5 * once["writes.succeeded"]
    assert 0 < metrics["writes.given_up"] < 0.05 * metrics["writes.succeeded"]
    assert metrics["writes.lost_updates"] == once["writes.given_up"] == 0
    spread, _ = fight("10s", retry="backoff")  # four tries, 10, 50, 250 ms
    assert 0 < spread["writes.given_up"] < metrics["writes.given_up"]


def test_the_first_round_gives_up_after_five_tries():
    """In each try of a group one wins: of ten in step five give up, having tried five times each."""
    metrics, _ = fight("0.3s", retry="default")
    assert 1 <= metrics["writes.given_up"] <= 6
    assert metrics["writes.conflicts"] >= 5 * metrics["writes.given_up"]


def test_apply_without_force_is_refused_for_anothers_field():
    """Two managers of one field: the first owns it, the other is refused every time, after one read of etcd and no entry."""
    metrics, etcd = fight("10s", clients=2, verb="apply", force=False)
    assert metrics["writes.succeeded"] == pytest.approx(10 / 0.1025, rel=0.02)  # a pause, a read and a write
    assert metrics["writes.conflicts"] == pytest.approx(10 / 0.109, rel=0.04)  # and etcd is asked, which waits for the other's save
    assert etcd["conflicts"] <= 1
    # Each round is a read of both clients and the server's look before it refuses.
    assert metrics["apiserver.etcd_reads"] == pytest.approx(3 * 10 / 0.1057, rel=0.05)
    forced, _ = fight("10s", clients=2, verb="apply", force=True)
    assert forced["writes.conflicts"] == 0


def test_what_changes_nothing_never_reaches_the_log():
    metrics, etcd = fight("10s", clients=1, sets="constant")
    assert etcd["puts"] == metrics["objects.app.wal_entries"] == 1
    assert metrics["writes.unchanged"] == metrics["writes.succeeded"] - 1 == metrics["apiserver.unchanged"]
    # The client's read, and the server's before it says that nothing is to do.
    assert metrics["apiserver.etcd_reads"] == pytest.approx(2 * metrics["writes.requests"], abs=2)
    counting, _ = fight("10s", clients=1)
    assert counting["apiserver.etcd_reads"] == pytest.approx(counting["writes.requests"], abs=1)


def test_objects_of_their_own_do_not_conflict():
    metrics, etcd = fight("2s", objects=10)
    assert metrics["writes.conflicts"] == etcd["conflicts"] == 0


def test_a_copy_that_is_clearly_old_is_refused_after_one_read():
    """50 ms of work on a copy that others change each 10 ms: a read of etcd, a 409, nothing in the log."""
    reconcile = {"duration": {"constant": "50ms"}, "writes": {"status": {"verb": "update"}}}
    run = simulate("10s", workloads=apps(1, change_every="10ms"), controllers=controller(reconcile=reconcile))
    conflicts = run.metrics["writes.conflicts"]
    assert conflicts == run.metrics["controller.errors"] == run.metrics["controller.reconciles"]
    assert conflicts == pytest.approx(10 / 0.052, rel=0.03)  # woken by the next change, whatever the limiter says
    assert run.metrics["objects.app.wal_entries"] == run.writers["apps"]["puts"] == pytest.approx(999, abs=1)
    assert run.metrics["apiserver.etcd_reads"] == conflicts + 1  # and the first list's


def contenders(field: str, verb: str = "merge_patch"):
    """Two controllers that each add one to a field of the same object, 20 ms after they have looked."""
    controllers = {
        name: controller(
            watches={"apps": {"predicate": "generation_changed"}},
            reconcile={"duration": {"constant": "20ms"}, "every": "100ms", "writes": {"s": {"verb": verb, "field": own}}},
        )["x"]
        for name, own in (("x", "status"), ("y", field))
    }  # fmt: skip
    return simulate("10s", workloads=apps(1), controllers=controllers)


def test_controllers_in_step_undo_each_other_only_in_one_field():
    same, other = contenders("status"), contenders("other")
    runs = 2 * 10 / 0.1241
    for run in (same, other):
        assert run.metrics["controller.reconciles"] == pytest.approx(runs, rel=0.02)
        assert run.metrics["writes.conflicts"] == 0
    assert same.metrics["writes.lost_updates"] == pytest.approx(runs / 2, abs=2)
    assert other.metrics["writes.lost_updates"] == 0
    assert other.metrics["etcd.puts"] == pytest.approx(2 * same.metrics["etcd.puts"], abs=2)


def test_an_update_locks_the_whole_object():
    """One key for all fields: an update of another one conflicts too. That error takes the two out of step, for good."""
    run = contenders("other", verb="update")
    assert (
        run.metrics["controller.errors"]
        == run.metrics["writes.conflicts"]
        == run.metrics["workqueue.retries"] - (run.metrics["controller.reconciles"] - run.metrics["controller.errors"])
    )
    assert run.metrics["writes.conflicts"] >= 1


def test_a_run_behind_its_own_writes_conflicts_with_itself():
    """Two writes in a run: the first one's event wakes the next run before the second one's event is there (facts 3.1)."""
    both = controller(reconcile={"writes": {"a": {"sets": "generation", "field": "a"}, "b": {"sets": "generation", "field": "b"}}})
    run = simulate("10s", workloads=apps(10), controllers=both)
    assert run.writers["x"]["puts"] == 20
    assert run.metrics["controller.errors"] == run.metrics["writes.conflicts"] > 0
    locked = both["x"]["reconcile"]["writes"]
    quiet = controller(reconcile={"writes": {name: {**write, "verb": "merge_patch"} for name, write in locked.items()}})
    run = simulate("10s", workloads=apps(10), controllers=quiet)
    assert run.writers["x"]["puts"] == 20
    assert run.metrics["controller.errors"] == 0
