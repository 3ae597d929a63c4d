"""Objects without names in an informer: two keys for all of them, and what store, queue and controller then do not know."""

from __future__ import annotations

import zlib

import pytest
from small_cluster import apps, controller, simulate

from sim.apiserver.objects import ApiObject, EventType
from sim.clientgo.informer import SharedInformer
from sim.clientgo.malformed import Malformer

COUNT = 300


def _nameless(share: float, number: int) -> tuple[int, int]:
    """Of the objects apps-0, apps-1 ...: how many keep their namespace alone, how many nothing at all."""
    at = [zlib.crc32(f"default/apps-{i}".encode()) / 2**32 for i in range(number)]
    return sum(share / 2 <= x < share for x in at), sum(x < share / 2 for x in at)


def _item(name: str, version: int = 1) -> ApiObject:
    return ApiObject("default", name, frozenset(), version)


@pytest.mark.parametrize("fifo", ["delta", "real"])
def test_a_store_keeps_one_of_all_that_share_a_key(fifo):
    malformer, informer, told = Malformer(1.0), SharedInformer(fifo), []
    names = [f"apps-{i}" for i in range(COUNT)]
    empty = [name for name in names if malformer.malformed(_item(name)).namespace == ""]
    informer.handlers.append(told.append)
    informer.list(malformer.list(map(_item, names)))
    assert sorted(informer.store.list_keys()) == ["", "default/"]
    assert malformer.keys(informer.store) == 2
    assert malformer.collisions == malformer.lost(informer.store) == COUNT - 2
    assert len(told) == COUNT  # two adds, and what another object brings is an update of the one that was there
    gone = _item(empty[0], 2)
    informer.event(EventType.DELETED, malformer.event(EventType.DELETED, gone))
    assert informer.store.list_keys() == ["default/"]  # one object went, the key of all went with it
    assert malformer.lost(informer.store) == COUNT - 2  # one less that exists, one less that is known
    changed = _item(empty[1], 3)
    informer.event(EventType.MODIFIED, malformer.event(EventType.MODIFIED, changed))
    assert informer.store.get_by_key("").resource_version == 3  # the next event of any of them is an add
    assert malformer.lost(informer.store) == COUNT - 3


@pytest.mark.parametrize("fifo", ["delta", "real"])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_what_an_informer_lists_and_loses_in_a_run(fifo, share):
    named, empty = _nameless(share, COUNT)
    keys = (named > 0) + (empty > 0)
    watches = {"apps": {"fifo": fifo}}
    run = simulate("5s", workloads=apps(COUNT), controllers=controller(watches=watches), hypotheses={"degenerate_keys": share})
    metrics = run.metrics
    assert metrics["informer.keys"] == metrics["controller.reconciles"] == COUNT - named - empty + keys
    assert metrics["informer.degenerate_keys"] == keys
    assert metrics["informer.objects_lost"] == metrics["informer.collisions"] == named + empty - keys
    assert (named + empty > 20) == (share > 0)


def test_a_relist_counts_only_who_is_new_to_a_key():
    malformer = Malformer(1.0)
    names = [f"apps-{i}" for i in range(COUNT)]
    malformer.list(map(_item, names))
    malformer.list(map(_item, names[1:]))
    assert malformer.collisions == COUNT - 2
    malformer.list(map(_item, [*names[1:], names[0]]))
    assert malformer.collisions == COUNT - 1


def test_their_controller_never_writes_to_them_and_tries_for_ever():
    """The client sends nothing to an object without a name: an error, so the key comes back, later and later."""
    writes = {"status": {"verb": "update", "sets": "generation"}}
    named, empty = _nameless(0.1, COUNT)
    run = simulate(
        "10s", workloads=apps(COUNT), controllers=controller(reconcile={"writes": writes}), hypotheses={"degenerate_keys": 0.1}
    )
    sound = COUNT - named - empty
    assert run.metrics["writes.requests"] == run.metrics["writes.succeeded"] > sound
    assert run.writers["x"]["puts"] == sound
    assert run.metrics["controller.errors"] in range(2 * 9, 2 * 12)  # 5 ms doubled: ten or eleven tries in 10 s, for both keys
