"""The documents name what exists: files, links, figures, mechanisms; and their scenarios are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.conform.registry import MECHANISMS
from sim.metrics.catalogue import catalogue, describe
from sim.report import declared
from sim.scenario import load
from sim.scenario.stacks import STACKS
from sim.systems.registry import systems

ROOT = Path(__file__).parents[1]
ROOMS = ("data", "docs", "sim", "tests")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.md")))]
FILES = re.compile(r"`((?:sim|tests|docs|data)/[\w./-]+)`")
LINKS = re.compile(r"\]\(([^)#:]+)\)")
BLOCKS = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)
PARTS = "etcd|apiserver|watch|rest_client|workqueue|controller|leader_election|writes|events|cache"
FIGURES = re.compile(rf"`((?:{PARTS})\.[a-z0-9_.]*[a-z0-9_])(?:\.\*)?(?<!\.py)`")
FIGURES_IN = ["README.md", "docs/model.md", "docs/simplifications.md", "docs/controllers.md"]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_files_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert [file for file in FILES.findall(text) if not (ROOT / file).exists()] == []
    assert [link for link in LINKS.findall(text) if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_scenarios_are_valid(document: Path, tmp_path: Path) -> None:
    blocks = BLOCKS.findall(document.read_text(encoding="utf-8"))
    for number, text in enumerate(block for block in blocks if re.search("^horizon:", block, re.M)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        declared.check(load(file))


@pytest.mark.parametrize("name", FIGURES_IN)
def test_figures_are_reported(name: str) -> None:
    known = [figure.name for figure in catalogue()]
    found = FIGURES.findall((ROOT / name).read_text(encoding="utf-8"))
    unknown = [figure for figure in found if describe(figure) is None and not any(a.startswith(f"{figure}.") for a in known)]
    assert unknown == []


def test_every_recorded_mechanism_stands_in_the_table() -> None:
    rows = (ROOT / "sim" / "clientgo" / "README.md").read_text(encoding="utf-8")
    bracketed = set(re.findall(r"\[`([\w.*]+)`\]", rows))
    assert {name for name in MECHANISMS if name not in bracketed and f"{name.split('.')[0]}.*" not in bracketed} == set()
    assert {name for name in bracketed if not name.endswith("*")} <= set(MECHANISMS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_counts_are_right(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert {int(number) for number in re.findall(r"\b(\d+) (?:library )?releases\b", text)} <= {len(STACKS)}
    assert {int(number) for number in re.findall(r"\b(\d+) mechanisms\b", text)} <= {len(MECHANISMS)}


def test_readme_shows_the_verdicts_of_the_systems() -> None:
    """README's table is that of docs/systems.md, which `python docs/refresh.py` makes from fresh runs."""
    verdict = "(reproduced|refuted|not comparable)"
    shown = re.findall(rf"^\| (\w+) \|.*\| {verdict} \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    printed = re.findall(rf"^([SH]\w+) .* {verdict}$", (ROOT / "docs" / "systems.md").read_text(encoding="utf-8"), re.M)
    assert shown == printed
    assert {name for name, _ in shown} == {system.id for system in systems()}
