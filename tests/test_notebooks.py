"""The notebooks run from their sources in a fresh kernel, and what is committed is what they print."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.py"))
REBUILD = "run: python notebooks/build.py"
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """notebooks/build.py, which is a script beside the package."""
    spec = importlib.util.spec_from_file_location("build_notebooks", ROOT / "notebooks" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def committed(build: ModuleType, source: Path) -> Any:
    return nbformat.read(build.target(source), as_version=4)


def test_there_are_notebooks() -> None:
    assert SOURCES
    assert {path.stem for path in SOURCES} == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_is_committed_is_its_source(build: ModuleType, source: Path) -> None:
    def cells(notebook: Any) -> list[tuple[str, str, str]]:
        return [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells]

    assert cells(committed(build, source)) == cells(build.parse(source.read_text(encoding="utf-8"))), REBUILD


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_holds_nothing_of_the_machine_that_made_it(build: ModuleType, source: Path) -> None:
    notebook = committed(build, source)
    text = re.sub(r'"image/png": "[^"]*"', "", json.dumps(notebook))  # a picture's letters spell anything
    for place in ("site-packages", tempfile.gettempdir(), str(Path.home()), str(ROOT), sys.prefix):
        assert place not in text
    assert notebook.metadata == build._METADATA
    for cell in notebook.cells:
        assert not cell.metadata
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr"
            assert not output.get("metadata")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_runs_and_prints_what_is_committed(build: ModuleType, source: Path) -> None:
    """Numbers within 1%: versions of pandas round and lay out differently, a model that has changed differs by more."""
    ran = build.execute(build.parse(source.read_text(encoding="utf-8")))
    for now, before in zip(ran.cells, committed(build, source).cells, strict=True):
        assert [sorted(kinds(output)) for output in now.get("outputs", [])] == [
            sorted(kinds(output)) for output in before.get("outputs", [])
        ], REBUILD
        assert numbers(now) == pytest.approx(numbers(before), rel=0.01, abs=1e-12), f"{now.source}\n{REBUILD}"


def kinds(output: Any) -> list[str]:
    """What forms an output has: text, table, picture."""
    return list(output.get("data", {output.output_type: None}))


def numbers(cell: Any) -> list[float]:
    """The numbers that a cell prints; tables as HTML, which is never broken into columns or shortened."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        text = output.get("text", "") or data.get("text/html") or data.get("text/plain", "")
        text = re.sub(r"<style.*?</style>|<[^>]*>", " ", text, flags=re.S)
        found += [float(number.replace(",", "")) for number in NUMBER.findall(text)]
    return found


@pytest.mark.slow
def test_the_documents_show_what_is_printed() -> None:
    """Every command that README and docs show prints what stands below it. Some simulate whole days."""
    ran = subprocess.run([sys.executable, ROOT / "docs" / "refresh.py", "--check"], stdout=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout}run: python docs/refresh.py"
