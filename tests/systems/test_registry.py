"""The declared systems are valid in both forms, and bad ones are refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from sim.errors import InputError
from sim.systems.declared import System
from sim.systems.registry import chosen, from_dict, scenario, systems

KNOWN = systems()
GOOD: dict[str, Any] = {
    "id": "S1", "name": "n", "claim": "c", "source": "s", "scenario": "zero-value-leak", "without": "leaking", "with": "fixed",
    "checks": {"keys": {"shows": "keys", "figure": "etcd.keys_created", "at_least": 2}},
}  # fmt: skip


@pytest.mark.parametrize("system", KNOWN, ids=lambda system: system.id)
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_scenarios_exist_and_have_the_variants(system: System, quick: bool) -> None:
    made = scenario(system, quick)
    for name in system.variant_names():
        made.variant(name)
    assert made.provenance, f"{system.scenario} does not say where its numbers are from"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"without": None}, "without: missing"),
        ({"colour": 1}, "colour: unknown key"),
        ({"checks": {}}, "checks: missing"),
        ({"checks": {"keys": {"shows": "k", "figure": "etcd.keyz"}}}, "checks.keys.figure: no run reports"),
        ({"checks": {"keys": {"shows": "k", "figure": "etcd.keys_created", "article": 5}}}, "checks.keys.within: missing"),
        ({"checks": {"keys": {"shows": "k", "figure": "etcd.keys_created", "article": "five", "within": "1%"}}}, "article:"),
        ({"checks": {"keys": {"shows": "k", "figure": "etcd.keys_created", "quick": {"at_least": 1}}}}, "quick.why: missing"),
        ({"checks": {"keys": {"shows": "k", "figure": "etcd.keys_created", "compare": "sum"}}}, "compare:"),
        ({"checks": {"keys": {"shows": "k"}}}, "checks.keys.figure: missing"),
        ({"checks": {"keys": {"shows": "k", "names": {"fixed": "disc"}}}}, "checks.keys.names.fixed"),
        ({"checks": {"keys": {"shows": "k", "names": {"fixed": "disk"}, "at_least": 1}}}, "checks.keys.at_least: not allowed"),
        ({"checks": {"keys": {"shows": "k", "names": {"fixed": "disk"}, "with": "fixed"}}}, "checks.keys.with: not allowed"),
        ({"checks": {"keys": {"shows": "k", "names": {"fixed": "disk"}}}}, "picture: missing"),
    ],
)
def test_bad_entries_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        from_dict({**GOOD, **change}, "bad")
    assert str(refused.value).startswith("systems/bad.yaml: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_unknown_variants_and_scenarios_are_refused() -> None:
    named = {"checks": {"keys": {"shows": "k", "names": {"fixt": "disk"}}}, "picture": {"figure": "etcd.puts"}}
    for change, said in (
        (named, '"fixt" is not a declared variant'),
        ({"with": "fixt"}, '"fixt" is not a declared variant'),
        ({"scenario": "zero"}, '"zero" is not a scenario'),
    ):
        with pytest.raises(InputError, match=said):
            scenario(from_dict({**GOOD, **change}, "bad"), quick=False)


def test_ids_are_chosen_whatever_their_case_and_by_family() -> None:
    ids = [system.id for system in KNOWN]
    assert [system.id for system in chosen(["s1"])] == ["S1"]
    assert [system.id for system in chosen([])] == ids
    family = [one for one in ids if one.startswith("S13")]
    if family:
        assert [system.id for system in chosen(["S13"])] == family
    with pytest.raises(InputError, match=r'--only: "S99" is not the id of a system'):
        chosen(["S99"])
