"""What an object's life costs etcd (facts 4.3).

    no finalizer                 create, delete                                        2
    a controller's finalizer     create, finalizer, deletionTimestamp, delete          4
    n that it is created with    create, deletionTimestamp, n - 1 updates, delete      2 + n

The update that would empty the list of finalizers is the delete.
"""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate

LIVES = 29
"""One object replaced each second, in half a minute."""


def lives(finalizers: int = 0, replaced: bool = True, workers: int = 1, **reconcile):
    workload = apps(10, finalizers=finalizers, **({"replace_every": "1s"} if replaced else {}))
    return simulate("30s", workloads=workload, controllers=controller(workers=workers, reconcile=reconcile))


def test_without_finalizer_a_life_is_two_writes():
    run = lives()
    assert run.writers["apps"]["puts"] == run.writers["apps"]["deletes"] == LIVES
    assert "x" not in run.writers
    assert run.metrics["etcd.revision"] == 1 + 10 + 2 * LIVES
    assert run.metrics["apiserver.etcd_reads"] == LIVES + 1  # a delete looks at etcd first; the list


def test_a_controllers_finalizer_makes_it_four():
    run = lives(finalizer=True)
    users, own = run.writers["apps"], run.writers["x"]
    assert users["puts"] == 2 * LIVES  # create, deletionTimestamp
    assert users["deletes"] == 0
    assert own["puts"] == 10 + LIVES  # a finalizer for what was there, and for each new one
    assert own["deletes"] == LIVES
    assert run.metrics["etcd.revision"] == 1 + 10 + 10 + 4 * LIVES
    assert run.metrics["etcd.keys_live"] == 10
    assert run.metrics["controller.errors"] == run.metrics["apiserver.conflicts"] == 0
    # The list, and each write.
    assert run.metrics["watch.events_sent"] == 10 + 10 + 4 * LIVES


def test_each_finalizer_more_is_a_write_more():
    for finalizers in (1, 2, 3):
        run = lives(finalizers, finalizer=True)
        assert run.metrics["etcd.revision"] == 1 + 10 + (2 + finalizers) * LIVES
        assert run.writers["x"]["deletes"] == LIVES


def test_a_finalizer_that_nobody_takes_keeps_the_object():
    run = lives(1)
    assert run.metrics["etcd.deletes"] == 0
    assert run.metrics["etcd.keys_live"] == 10 + LIVES
    assert run.metrics["etcd.revision"] == 1 + 10 + 2 * LIVES


def test_a_status_makes_it_five():
    """And a conflict: the finalizer's event wakes a run that does not see the status yet; its retry finds nothing to do."""
    run = lives(finalizer=True, writes={"status": {"sets": "generation"}})
    objects = 10 + LIVES
    assert run.writers["x"]["puts"] == 2 * objects
    assert run.writers["x"]["deletes"] == LIVES
    assert run.metrics["etcd.revision"] == 1 + 10 + 20 + 5 * LIVES
    assert run.metrics["apiserver.conflicts"] == run.metrics["controller.errors"] == pytest.approx(objects, abs=1)


def test_nothing_is_replaced_nothing_is_written():
    run = lives(replaced=False, finalizer=True)
    assert run.writers["x"]["puts"] == 10
    assert run.metrics["etcd.deletes"] == 0
