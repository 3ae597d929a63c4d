"""`etcdsim systems`: what it prints, keeps and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.cli import main
from sim.systems.registry import systems

SMALL = ["systems", "--quick", "--only", "S1"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first system's quick form, kept in a directory."""
    out = tmp_path_factory.mktemp("systems") / "out"
    assert main([*SMALL, "-o", str(out)]) == 0
    return out


def test_json_is_one_object_whose_verdict_follows_its_figures(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--json", "-o", str(kept)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((kept / "systems.json").read_text())
    (one,) = told["systems"]
    assert (one["id"], one["scenario"], one["without"], one["with"]) == ("S1", "zero-value-leak", "leaking", "fixed")
    check = one["checks"][0]
    assert check["value"] == pytest.approx(check["without"] / check["with"], rel=1e-6)
    assert (one["verdict"] == "reproduced") == (abs(check["value"] - 14) <= 1.4)


def test_started_again_it_simulates_nothing(
    kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in kept.iterdir() if file.is_file()}
    assert {"S1.png", "systems.md", "systems.json"} == set(before)

    def never(*_: object) -> None:
        raise AssertionError("it was simulated again")

    monkeypatch.setattr("sim.sweeps.runner.Runner._start", never)
    assert main([*SMALL, "-o", str(kept)]) == 0
    assert {file.name: file.read_bytes() for file in kept.iterdir() if file.is_file()} == before
    assert "S1" in capsys.readouterr().out


def test_every_line_fits_into_a_hundred_columns(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "-o", str(kept)]) == 0
    assert max(len(line.rstrip()) for line in capsys.readouterr().out.splitlines()) <= 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "S99"], '--only: "S99" is not the id of a system'),
        (["--only", ","], "--only:"),
        (["-o", "missing/out"], "--out: missing/out: there is no directory"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["systems", *arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert said in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["systems", "--only", "S1", "-o", str(tmp_path)]) == 2
    assert "not made by this command" in capsys.readouterr().err


def test_ids_are_in_order() -> None:
    numbers = [int("".join(filter(str.isdigit, one.id))) for one in systems() if one.id.startswith("S")]
    assert numbers == sorted(numbers)
