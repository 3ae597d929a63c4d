"""Informers over time: watches that end, servers that are away, resyncs, handlers that are slow (facts 2.1, 2.4, 5.1)."""

from __future__ import annotations

import pytest
from small_cluster import SERVER, apps, controller, simulate


def watching(horizon: str, change_every: str | None = None, objects: int = 10, own=None, **sections):
    changes = {} if change_every is None else {"change_every": change_every}
    return simulate(horizon, workloads=apps(objects, **changes), controllers=own or controller(), **sections)


@pytest.mark.parametrize("change_every", [None, "10s"])
def test_a_watch_that_is_over_is_opened_again_without_a_list(change_every):
    """A watch lasts 5 to 10 minutes: 6 to 12 in an hour. Nothing is listed again, nothing is lost, nothing comes twice."""
    run = watching("60m", change_every)
    assert 6 <= run.metrics["watch.closed"] <= 12
    assert run.metrics["rest_client.requests"] == run.metrics["watch.closed"] + 1
    assert run.metrics["watch.relists"] == run.metrics["watch.expired"] == 0
    changes = 0 if change_every is None else 359
    assert run.metrics["watch.events_sent"] == run.metrics["controller.reconciles"] == 10 + changes


def outage(lasts: str, servers, **sections):
    fault = {"o": {"kind": "apiserver_outage", "target": "apiservers.down", "at": "60s", "for": lasts}}
    return watching("5m", "1s", apiservers=dict.fromkeys(servers, SERVER), faults=fault, **sections)


@pytest.mark.parametrize(("lasts", "lost"), [("20s", 20), ("100s", 100)])
def test_while_the_only_server_is_down_nothing_happens_and_nothing_is_listed_again(lasts, lost):
    run = outage(lasts, ["down"])
    assert run.metrics["etcd.puts"] == 299 - lost
    assert run.metrics["watch.relists"] == run.metrics["watch.expired"] == 0
    assert run.metrics["watch.events_sent"] == 10 + 299 - lost  # those after it came late, but they came


@pytest.mark.parametrize("lasts", ["20s", "100s"])
def test_a_server_that_comes_back_has_forgotten_what_others_wrote_meanwhile(lasts):
    """Its cache starts from a list of etcd: a watch from before it is told 410, and its informer lists again, once."""
    run = outage(lasts, ["up", "down"])  # users are at the first, the controller at the second
    assert run.metrics["etcd.puts"] == 299
    assert run.metrics["watch.expired"] == run.metrics["watch.relists"] == 1
    missed = 10 + 299 + 10 - run.metrics["watch.events_sent"]  # told in the second list instead
    assert float(lasts[:-1]) - 1 <= missed <= float(lasts[:-1]) + 2 * 60 + 5  # a back-off before the watch, one before the list


def test_the_other_servers_outage_is_nothing_to_me():
    run = outage("20s", ["down", "up"])
    assert run.metrics["watch.closed"] == run.metrics["watch.relists"] == 0
    assert run.metrics["etcd.puts"] == 279


def test_a_resync_is_work_without_a_request():
    pool = {"pool": {"object": "app", "resync": "1m"}}
    run = watching("10m", own=controller(watches={}, informers=["pool"]), informers=pool)
    assert run.metrics["controller.reconciles"] == 10 * (1 + 9)
    assert run.metrics["watch.events_sent"] == 10
    assert run.metrics["rest_client.requests"] == 1 + run.metrics["watch.closed"]
    never = {"pool": {"object": "app", "resync": "never"}}
    assert watching("10m", own=controller(watches={}, informers=["pool"]), informers=never).metrics["controller.reconciles"] == 10


def test_a_watch_of_ones_own_can_be_set_too():
    often = watching("530s", own=controller(watches={"apps": {"resync": "2m", "streaming_list": False}}))
    assert often.metrics["controller.reconciles"] == 10 * (1 + 4)  # each 2 min, a tenth more or less
    assert often.metrics["rest_client.requests"] == 2 + often.metrics["watch.closed"]  # a list, then a watch; a stream is both


@pytest.mark.parametrize(
    ("stack", "predicate", "resyncs"),
    [
        ("controller-runtime-0.23", "none", 2),
        ("controller-runtime-0.23", "resource_version_changed", 0),
        ("client-go-0.34", "none", 0),
    ],
)
def test_the_stack_decides_how_often(stack, predicate, resyncs):
    """controller-runtime: 10 h, a tenth more or less; a program on client-go alone: never. A predicate keeps them out."""
    run = watching("22h", own=controller(stack=stack, watches={"apps": {"predicate": predicate}}))
    assert run.metrics["controller.reconciles"] == 10 * (1 + resyncs)


def test_a_slow_handler_delays_its_own_work_only():
    """100 ms for each notification, one each 50 ms after 100 at once: ten a second come through, the other controller has all."""
    own = {"x": controller(watches={"apps": {"handler": {"constant": "100ms"}}})["x"], "y": controller()["x"]}
    run = watching("30s", "50ms", objects=100, own=own)
    assert run.metrics["controllers.x.reconciles"] == pytest.approx(10 * 30, abs=2)
    assert run.metrics["controllers.y.reconciles"] == pytest.approx(100 + 20 * 30, abs=4)
    assert run.metrics["watch.lag_seconds.max"] < 3e-3  # the connection and the store are not behind
