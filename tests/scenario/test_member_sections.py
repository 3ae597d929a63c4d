"""Members on machines, and the link between two of them."""

from __future__ import annotations

from typing import Any

import pytest

from sim.scenario import from_dict
from sim.scenario.links import path
from sim.scenario.machines import device
from sim.units import MILLISECOND


def cluster(members: dict[str, Any], **etcd: Any) -> Any:
    machines = {"m": {"disks": {"log": {"profile": "nvme"}, "data": {"profile": "hdd"}}}}
    return from_dict({"horizon": "1m", "machines": machines, "etcd": {"members": members, **etcd}})


def test_each_file_lies_on_the_disk_that_was_named() -> None:
    scenario = cluster({"a": {}, "b": {"machine": "m"}, "c": {"machine": "m", "backend": "data"}})
    on = {name: [device(scenario, name, file).name for file in ("wal", "backend")] for name in "abc"}
    assert on == {
        "a": ["members.a"] * 2,
        "b": ["machines.m.disks.log"] * 2,
        "c": ["machines.m.disks.log", "machines.m.disks.data"],
    }
    assert device(scenario, "c", "backend").profile != device(scenario, "b", "backend").profile


LINKS = {"default": {"rtt": "1ms"}, "z1-z2": {"rtt": "8ms", "loss": "1%"}, "c-a": {"jitter": "2ms"}}


@pytest.mark.parametrize(
    ("one", "other", "rtt", "jitter", "loss"), [("a", "b", 1, 3, 0.0), ("b", "c", 8, 3, 0.01), ("a", "c", 8, 2, 0.01)]
)
def test_the_link_of_two_members_counts_before_that_of_their_zones(
    one: str, other: str, rtt: float, jitter: float, loss: float
) -> None:
    members = {"a": {"zone": "z1"}, "b": {"zone": "z1"}, "c": {"zone": "z2"}}
    etcd = cluster(members, network={"jitter": "3ms", "rtt": "9ms"}, links=LINKS).etcd
    for link in (path(etcd, one, other), path(etcd, other, one)):
        assert (link.rtt, link.jitter, link.loss) == (rtt * MILLISECOND, jitter * MILLISECOND, loss)


def test_names_with_hyphens_make_links_too() -> None:
    etcd = cluster({"node-a": {}, "node-b": {}}, links={"node-b-node-a": {"rtt": "5ms"}}).etcd
    assert path(etcd, "node-a", "node-b").rtt == 5 * MILLISECOND
