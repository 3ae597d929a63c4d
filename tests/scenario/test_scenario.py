"""Loading, extending, overriding, variants: what holds in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.errors import InputError
from sim.scenario import Scenario, dump, fields, from_dict, load, parse_assignment, scenarios, to_dict, warnings
from sim.scenario.device import DeviceProfile
from sim.scenario.labels import selects
from sim.units import HOUR, MILLISECOND, SECOND

NAMES = [name for name, _ in scenarios()]
QPS = "controllers.zero-pod-writer.client.qps"
ON_DELETE = "controllers.zero-pod-writer.cache.on_delete"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_package_has_named_scenarios_each_with_a_line() -> None:
    assert {"zero-value-leak", "zero-value-leak-small", "apply-peak"} <= set(NAMES)
    assert all(about and "\n" not in about for _, about in scenarios())


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_written_out_reads_back_the_same(name: str, tmp_path: Path) -> None:
    scenario = load(name)
    assert scenario.name == name
    again = load(written(tmp_path, "again", dump(scenario)))
    assert to_dict(again) == to_dict(scenario)
    assert dump(again) == dump(scenario)
    assert from_dict(to_dict(scenario)) == scenario


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_stands_alone(name: str, tmp_path: Path) -> None:
    scenario = load(name)
    for variant in scenario.variant_names():
        made = scenario.variant(variant)
        assert made.variant_names() == ["default"]
        assert to_dict(load(written(tmp_path, variant, dump(made)))) == to_dict(made)


def test_without_an_api_server_it_reads_back_without_one(tmp_path: Path) -> None:
    etcd = {"members": {"a": {"disk": "nvme"}}, "compaction": {"by": "never"}}
    bare = from_dict({"horizon": "1m", "apiservers": {}, "background": {"nodes": 0, "leader_elections": 0}, "etcd": etcd})
    assert to_dict(load(written(tmp_path, "bare", dump(bare)))) == to_dict(bare)


def test_the_leak_is_what_its_file_says() -> None:
    leak = load("zero-value-leak")
    assert leak.horizon == 24 * HOUR
    assert list(leak.etcd.members) == ["a", "b", "c"]
    assert leak.etcd.release == (3, 5, 33)
    assert leak.etcd.entries_per_snapshot == 100_000
    assert leak.background.leader_elections == 2
    assert leak.workloads["pod-churn"].every.mean == 157 * SECOND
    controller = leak.controllers["zero-pod-writer"]
    assert controller.workers == 500
    assert controller.leader_election
    assert controller.watches["pods"].object == "pod"
    assert controller.reconcile.every == 10 * SECOND
    assert controller.reconcile.on_zero_value is not None
    assert controller.reconcile.on_zero_value.create == "junk-pod"
    assert leak.variant("leaking").controllers["zero-pod-writer"].cache.on_delete == "keep-zero-value"
    assert leak.variant("fixed").controllers["zero-pod-writer"].cache.on_delete == "remove-key"
    assert leak.objectives["quota"].min == 30 * 86_400
    assert leak.reference["leaking"] == {"etcd.keys_created": 2.37e6, "etcd.apply_seconds.max": 1.8}
    assert leak.reference["ratio"] == {"etcd.wal_bytes_written": 17.0}


def test_the_small_leak_has_the_same_rates_for_a_tenth_of_the_time() -> None:
    small, leak = load("zero-value-leak-small"), load("zero-value-leak")
    assert small.horizon * 10 == leak.horizon
    assert small.workloads["pod-churn"].every.mean * 10 == leak.workloads["pod-churn"].every.mean
    assert small.controllers == leak.controllers
    assert small.reference == {}
    assert small.provenance["workloads.pod-churn.every"].is_ == "assumed"


def test_each_cause_of_the_apply_peak_is_a_variant() -> None:
    peak = load("apply-peak")
    baseline = peak.variant("baseline")
    assert baseline.etcd.preload == {}
    assert baseline.etcd.compaction.by == "never"
    assert peak.variant("compaction").etcd.preload == {"junk-pod": 2_370_000}
    assert {member.disk for member in peak.variant("hdd").etcd.members.values()} == {"hdd"}
    stall = peak.variant("disk-stall").faults["stall"]
    assert (stall.victim, stall.for_) == ("a", 1800 * MILLISECOND)
    apart = peak.variant("db-stall")
    assert (apart.etcd.members["a"].wal, apart.etcd.members["a"].backend) == ("log", "data")
    assert apart.faults["stall"].target == "machines.m1.disks.data"
    assert stall.hits("a", "wal")
    assert stall.hits("a", "backend")
    assert not stall.hits("b", "wal")
    assert peak.variant("list").workloads["full-list"].kind == "lists"
    quota = peak.variant("quota").etcd.quota
    assert quota is not None
    assert quota < 2 * 2**30


# extends

BASE = """
horizon: 1h
etcd:
  members: {a: {}, b: {}, c: {}}
  quota: 8GiB
  costs: {apply: {median: 25us, p99: 120us}}
objects: {junk: {key_bytes: 50, value_bytes: 600}}
workloads: {look: {kind: lists, every: 1m, object: junk}}
variants: {small: {etcd.quota: 1GiB}, large: {etcd.quota: 16GiB}}
"""


def test_a_scenario_extends_another_mapping_by_mapping(tmp_path: Path) -> None:
    written(tmp_path, "base", BASE)
    child = load(
        written(
            tmp_path,
            "child",
            "extends: ./base.yaml\nabout: A child.\netcd: {members: {d: {disk: hdd}, c: null}}\n"
            "objects: {junk: {value_bytes: 2kB}, pod: {value_bytes: 9kB}}\nvariants: {large: null}\n",
        )
    )
    assert (child.name, child.about) == ("child", "A child.")
    assert {name: member.disk for name, member in child.etcd.members.items()} == {"a": "cloud-ssd", "b": "cloud-ssd", "d": "hdd"}
    assert child.etcd.quota == 8 * 2**30
    assert (child.objects["junk"].key_bytes, child.objects["junk"].value_bytes) == (50, 2000)
    assert (child.objects["pod"].key_bytes, child.objects["pod"].value_bytes) == (45, 9000)
    assert child.variant_names() == ["small"]
    assert child.extends is None


def test_a_distribution_and_another_kind_replace_the_whole_value(tmp_path: Path) -> None:
    written(tmp_path, "base", BASE)
    child = load(
        written(
            tmp_path,
            "child",
            "extends: ./base.yaml\netcd: {costs: {apply: {mean: 30us, sd: 10us}, delete: 3us}}\n"
            "workloads: {look: {kind: pod_churn, every: 2m}}\n",
        )
    )
    assert to_dict(child)["etcd"]["costs"]["apply"] == {"mean": "30us", "sd": "10us"}
    assert child.etcd.costs.delete == 3000
    assert child.workloads["look"].kind == "pod_churn"


def test_a_circle_of_extends_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "one", "extends: ./two.yaml\n")
    written(tmp_path, "two", "extends: ./one.yaml\n")
    with pytest.raises(InputError, match=r'^extends: "\./one\.yaml" extends itself: one -> two -> one$'):
        load(tmp_path / "one.yaml")
    with pytest.raises(InputError, match=r'^"nothing" is not a scenario; one of '):
        load(written(tmp_path, "three", "extends: nothing\n"))
    with pytest.raises(InputError, match=r"no such file$"):
        load(written(tmp_path, "four", "extends: ./nothing.yaml\n"))
    with pytest.raises(InputError, match=r'^extends: "5" is not the name of a scenario or a path to its file$'):
        load(written(tmp_path, "five", "extends: 5\n"))


# overrides and variants


def test_an_override_is_validated_again_and_leaves_the_original_alone() -> None:
    leak = load("zero-value-leak")
    limited = leak.with_({QPS: 20, "horizon": "1h", "etcd.members.b.disk": "hdd"})
    assert limited.controllers["zero-pod-writer"].client.qps == 20
    assert (limited.horizon, limited.etcd.members["b"].disk) == (HOUR, "hdd")
    assert leak.controllers["zero-pod-writer"].client.qps is None
    assert limited.with_({QPS: None}).controllers["zero-pod-writer"].client.qps is None
    assert load("zero-value-leak", set={QPS: 20}).controllers == limited.controllers


def test_an_explicit_value_wins_over_a_variant() -> None:
    explicit = load("zero-value-leak", set={ON_DELETE: "keep-zero-value"})
    assert explicit.variant("fixed").controllers["zero-pod-writer"].cache.on_delete == "keep-zero-value"
    whole = load("apply-peak", set={"etcd.members": {"a": {"disk": "nvme"}}, "variants.disk-stall": None})
    assert whole.variant("hdd").etcd.members["a"].disk == "nvme"
    below = load("apply-peak", set={"etcd.preload.junk-pod": 1000})
    assert below.variant("compaction").etcd.preload == {"junk-pod": 1000}


def test_an_explicit_value_survives_being_saved(tmp_path: Path) -> None:
    explicit = load("zero-value-leak", set={ON_DELETE: "keep-zero-value"})
    again = load(written(tmp_path, "again", dump(explicit)))
    assert again.variant("fixed").controllers["zero-pod-writer"].cache.on_delete == "keep-zero-value"


def test_a_given_value_no_longer_claims_the_old_ones_provenance() -> None:
    leak = load("zero-value-leak", set={"workloads.pod-churn.every": "100s", "etcd.costs.scan": "1us", "etcd.max_gap": 1000})
    assert leak.provenance["workloads.pod-churn.every"].is_ == "assumed"
    assert leak.provenance["etcd.costs.scan"].why == "given explicitly, in place of the scenario's own value"
    assert leak.provenance["etcd.costs"] == load("zero-value-leak").provenance["etcd.costs"]
    assert "etcd.max_gap" not in leak.provenance
    assert "etcd.preload.junk-pod" not in load("apply-peak", set={"etcd.preload": {}}).provenance


def test_a_place_that_only_a_variant_has_can_be_set() -> None:
    longer = load("apply-peak", set={"faults.stall.for": "3s"})
    assert longer.variant("disk-stall").faults["stall"].for_ == 3 * SECOND
    assert longer.variant("baseline").faults == {}


def test_a_new_name_may_be_added_at_the_end_of_a_path() -> None:
    more = load("zero-value-leak", set={"faults.stall": {"kind": "disk_stall", "target": "members.a", "at": "1h", "for": "2s"}})
    assert more.faults["stall"].at == HOUR
    assert more.with_({"faults.stall": None}).faults == {}


def test_a_list_is_reached_by_index() -> None:
    limiter = {"kind": "max_of", "limiters": [{"kind": "exponential"}, {"kind": "bucket"}]}
    path = "controllers.zero-pod-writer.queue.limiter"
    made = load("zero-value-leak", set={path: limiter}).with_({f"{path}.limiters.1.rate": "50/s"})
    assert to_dict(made)["controllers"]["zero-pod-writer"]["queue"]["limiter"]["limiters"][1]["rate"] == "50/s"
    with pytest.raises(InputError, match=r"limiters\.2: unknown index; there are 2 elements, counted from 0$"):
        made.with_({f"{path}.limiters.2.rate": 1})


def test_a_limiter_in_short_is_the_one_with_its_kind() -> None:
    path = "controllers.zero-pod-writer.queue.limiter"
    exponential, bucket = {"base": "1ms", "max": "1m"}, {"rate": 5, "burst": 7}
    short = {"with_max_wait": {"limiter": {"max_of": [{"exponential": exponential}, {"bucket": bucket}]}, "max": "30s"}}
    parts = [{"kind": "exponential", **exponential}, {"kind": "bucket", **bucket}]
    spelled_out = {"kind": "with_max_wait", "limiter": {"kind": "max_of", "limiters": parts}, "max": "30s"}
    assert to_dict(load("zero-value-leak", set={path: short})) == to_dict(load("zero-value-leak", set={path: spelled_out}))


def test_assignments_are_read_as_yaml() -> None:
    assert parse_assignment(f"{QPS}=20") == (QPS, 20)
    assert parse_assignment(f"{QPS}=off") == (QPS, "off")
    assert parse_assignment("etcd.preload.pod=2.37e6") == ("etcd.preload.pod", 2.37e6)
    assert parse_assignment("etcd.members.a={disk: hdd}") == ("etcd.members.a", {"disk": "hdd"})
    assert parse_assignment("about=a = b") == ("about", "a = b")
    assert parse_assignment("etcd.quota=") == ("etcd.quota", None)


def test_without_variants_there_is_one_called_default() -> None:
    bare = from_dict({"horizon": "1h", "etcd": {"members": {"a": {}}}})
    assert bare.variant_names() == ["default"]
    assert to_dict(bare.variant("default")) == to_dict(bare)
    assert bare.apiservers["api"].count == 1


# device profiles by path


def test_a_profile_by_path_is_read_with_the_scenario_and_kept(tmp_path: Path) -> None:
    (tmp_path / "disks").mkdir()
    written(tmp_path / "disks", "mine", "about: mine\nsource: measured\nfdatasync: {median: 1ms, p99: 3ms}\n")
    head = "horizon: 1h\netcd: {members: {a: {disk: ./disks/mine.yaml}}}\n"
    written(tmp_path, "base", head + "variants: {v: {etcd.members.a.disk: disks/mine.yaml, etcd.quota: 1GiB}}\n")
    deeper = tmp_path / "deeper"
    deeper.mkdir()
    scenario = load(written(deeper, "child", "extends: ../base.yaml\n"))
    disk = scenario.etcd.members["a"].disk
    assert isinstance(disk, DeviceProfile)
    assert disk.about == "mine"
    assert scenario.etcd.members["a"].profile is disk
    assert str(tmp_path) not in dump(scenario)
    assert scenario.variant("v").etcd.members["a"].disk == disk
    with_path = load("zero-value-leak").with_({"etcd.members.a.disk": "./mine.yaml"}, folder=tmp_path / "disks")
    assert with_path.etcd.members["a"].disk == disk


# warnings

WARNED: dict[str, tuple[dict[str, Any], str]] = {
    "even": (
        {"etcd": {"members": {"a": {}, "b": {}}}},
        "etcd.members: 2 members tolerate no more failures than 1 and need a larger quorum; write 1 or 3",
    ),
    "quota": (
        {"etcd": {"members": {"a": {}}, "quota": "16GiB"}},
        'etcd.quota: "16GiB" is above the 8GiB that etcd suggests; it warns, too',
    ),
    "object": (
        {"objects": {"huge": {"key_bytes": 50, "value_bytes": "2MB"}}},
        'objects.huge.value_bytes: "2MB" is above what etcd takes in one request (1536KiB)',
    ),
    "client": (
        {"clients": {"c": {"clients": 1, "value_bytes": "2MiB"}}},
        'clients.c.value_bytes: "2MiB" is above what etcd takes in one request (1536KiB)',
    ),
    "fault": (
        {"faults": {"f": {"kind": "disk_stall", "target": "members.a", "at": "2h", "for": "1s"}}},
        "faults.f.at: begins after the horizon and never happens",
    ),
    "list": (
        {"workloads": {"lists": {"every": "1m", "from": "1h", "object": "pod"}}},
        "workloads.lists.from: begins after the horizon and never happens",
    ),
    "selector": (
        {"workloads": {"pod-churn": {"every": "1m"}}, "controllers": {"x": {"watches": {"pods": {"selector": "app=api"}}}}},
        'controllers.x.watches.pods.selector: "app=api" matches the labels of no workload',
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_what_is_allowed_but_odd_is_warned_about(name: str) -> None:
    sections, warning = WARNED[name]
    assert warnings(from_dict({"horizon": "1h", "etcd": {"members": {"a": {}}}, **sections})) == [warning]


@pytest.mark.parametrize("name", NAMES)
def test_our_own_scenarios_give_no_warning(name: str) -> None:
    scenario = load(name)
    assert [warning for variant in scenario.variant_names() for warning in warnings(scenario.variant(variant))] == []


def test_selectors_select() -> None:
    assert selects("", "app=web")
    assert selects("app=web", "app=web,tier=front")
    assert not selects("app=web,tier=front", "app=web")


# fields


def test_every_field_says_what_it_is_and_reads_back_by_its_path() -> None:
    leak = load("zero-value-leak")
    listed = {field.path: field for field in fields(leak)}
    assert all(field.description for field in listed.values())
    assert listed["etcd.quota"].value == "2GiB"
    assert listed["etcd.costs.apply"].value == "{median: 25us, p99: 120us}"
    assert (listed["horizon"].unit, listed["etcd.quota"].unit, listed["etcd.costs.apply"].unit) == ("s", "B", "s")
    assert listed["etcd.compaction.pause"].source.startswith("etcd: ")
    assert listed["etcd.max_gap"].is_default
    assert not listed["controllers.zero-pod-writer.workers"].is_default
    plain = {path: field for path, field in listed.items() if path not in ("about", "notes")}
    again = leak.with_({path: parse_assignment(f"x={field.value}")[1] for path, field in plain.items()})
    assert to_dict(again) == {**to_dict(leak), "variants": to_dict(again)["variants"]}


@pytest.mark.parametrize("name", ["zero-value-leak", "apply-peak"])
def test_what_is_assumed_by_default_is_declared(name: str) -> None:
    """Every default without a source is covered by the scenario's provenance: nothing assumed stays silent."""
    scenario = load(name)
    covered = list(scenario.provenance)
    used = {"zero-value-leak": ("etcd.", "apiservers.", "workloads.", "controllers."), "apply-peak": ("etcd.",)}[name]
    silent = [
        field.path
        for field in fields(scenario)
        if field.source.startswith("assumed")
        and field.path.startswith(used)
        and not any(field.path == path or field.path.startswith(f"{path}.") for path in covered)
    ]
    assert silent == []


def test_a_scenario_is_frozen() -> None:
    leak = load("zero-value-leak")
    with pytest.raises(ValueError, match="frozen"):
        leak.etcd.quota = None  # type: ignore[misc]
    assert isinstance(leak, Scenario)


def test_a_value_inside_what_a_variant_takes_away_is_written_everywhere_else() -> None:
    changed = load("write-limiter", set={"guards.limiter.look": "250ms"})
    assert changed.variant("limited").guards["limiter"].look == 250_000_000
    assert not changed.variant("unlimited").guards
