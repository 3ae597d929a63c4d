"""A result as a directory: whole or not at all, the same bytes for the same run, and restored exactly."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_sample import runs

from sim.errors import InputError
from sim.report import store
from sim.result import Runs


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs().save(tmp_path_factory.mktemp("results") / "first")


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_the_files_of_a_result(saved: Path) -> None:
    assert list(contents(saved)) == [
        "incidents.json", "overview.png", "provenance.json", "scenario.yaml", "summary.json",
        "variants/fixed/distributions.parquet", "variants/fixed/series.parquet",
        "variants/leaking/distributions.parquet", "variants/leaking/series.parquet",
    ]  # fmt: skip
    assert list(saved.parent.glob(".*")) == [], "nothing half-written beside it"
    assert saved.stat().st_mode & 0o777 == 0o777 & ~umask(), "readable as any directory"


def umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_the_same_run_gives_the_same_bytes(saved: Path) -> None:
    again = runs()
    again.wall_seconds = 99.0
    later = time.time() + 1.1  # a date in a file would be another one
    while time.time() < later:
        time.sleep(0.05)
    assert contents(again.save(saved.parent / "second")) == contents(saved)


def test_no_wall_time_date_or_path(saved: Path) -> None:
    words = [b"wall", datetime.now().strftime("%Y-%m-%d").encode(), str(saved.parent).encode(), str(Path.cwd()).encode()]
    for name, text in contents(saved).items():
        assert not [word for word in words if word in text], name
    assert b"Software" not in (saved / "overview.png").read_bytes()


def test_what_is_loaded_is_what_was_saved(saved: Path) -> None:
    before, after = runs(), Runs.load(saved)
    assert after.to_json() == {**before.to_json(), "wall_seconds": 0}
    assert (after.name, after.seed, after.version, list(after)) == (before.name, before.seed, before.version, list(before))
    assert after.scenario == before.scenario
    for variant, run in before.items():
        pd.testing.assert_frame_equal(after[variant].series, run.series)
        assert after[variant].incidents == run.incidents
        assert list(after[variant].distributions) == list(run.distributions)
        for name, of in run.distributions.items():
            assert after[variant].distributions[name].figures(name) == of.figures(name)
        for name, windows in run.windows.items():
            assert [one.figures(name) for one in after[variant].windows[name]] == [one.figures(name) for one in windows]


def test_saving_what_was_loaded_changes_nothing(saved: Path) -> None:
    assert contents(Runs.load(saved).save(saved.parent / "third")) == contents(saved)


def test_the_parquet_files_are_readable_without_us(saved: Path) -> None:
    series = pd.read_parquet(saved / "variants/leaking/series.parquet")
    assert series["seconds"].iloc[-1] == 86_400
    table = pd.read_parquet(saved / "variants/leaking/distributions.parquet")
    whole = table[(table["figure"] == "etcd.apply_seconds") & table["window"].isna()]
    assert whole["count"].sum() == 4000
    assert np.all(np.diff(whole["upper_seconds"]) > 0)
    assert table["window"].max() == 23


def test_the_json_has_the_keys_that_others_rely_on() -> None:
    found = runs().to_json()
    assert list(found) == [
        "schema_version", "scenario", "seed", "version", "mode", "horizon_seconds", "wall_seconds", "variants", "replications",
        "objectives",
    ]  # fmt: skip
    leaking = found["variants"]["leaking"]
    assert list(leaking) == ["metrics", "status", "intervals", "writers", "incidents"]
    assert found["variants"]["fixed"]["metrics"]["etcd.seconds_to_quota"] is None
    assert found["variants"]["fixed"]["status"]["etcd.seconds_to_quota"] == "never"
    assert leaking["incidents"] == [
        {"at_seconds": 63_252, "kind": "quota", "about": "half of the quota is used", "bytes": 1_073_741_824, "share": 0.5}
    ]
    assert isinstance(leaking["metrics"]["etcd.keys_live"], int)
    json.dumps(found, allow_nan=False)


def test_the_order_of_the_metrics_in_a_run_does_not_matter() -> None:
    of = runs()
    turned = {name: replace(run, metrics=dict(reversed(run.metrics.items()))) for name, run in of.items()}
    assert json.dumps(Runs(of.scenario, 7, turned, wall_seconds=12.5, version="0.1.0").to_json()) == json.dumps(of.to_json())


def test_numbers_have_nine_digits_unless_they_are_whole() -> None:
    from sim.report.document import number

    assert [number(1 / 3), number(12_345_678_901.0), number(None), number(0.1 + 0.2)] == [0.333333333, 12_345_678_901, None, 0.3]
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="is not a result"):
            number(wrong)


def test_an_existing_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there exists"):
        runs().save(tmp_path / "there")
    with pytest.raises(InputError, match="there is no directory"):
        runs().save(tmp_path / "no" / "where")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["there"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_nothing_stays_of_an_interrupted_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(store, "_write_distributions", fail)
    with pytest.raises(error):
        runs().save(tmp_path / "result")
    assert list(tmp_path.iterdir()) == []


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def scrambled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)


def removed(path: Path) -> None:
    path.unlink()


def of_another_shape(path: Path) -> None:
    path.write_text('{"a": 1}')


FILES = [
    "summary.json", "incidents.json", "scenario.yaml", "variants/leaking/series.parquet", "variants/fixed/distributions.parquet",
]  # fmt: skip


DAMAGES = [(name, damage) for name in FILES for damage in (emptied, cut, removed, of_another_shape)]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_result_is_refused_with_the_file_s_name(
    saved: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    directory = Path(shutil.copytree(saved, tmp_path / "result"))
    damage(directory / name)
    with pytest.raises(InputError) as refused:
        Runs.load(directory)
    said = str(refused.value)
    assert name in said or (damage is removed and name == "summary.json")
    assert "\n" not in said


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("parquet")])
def test_a_flipped_bit_is_noticed(saved: Path, tmp_path: Path, name: str) -> None:
    directory = Path(shutil.copytree(saved, tmp_path / "result"))
    scrambled(directory / name)
    with pytest.raises(InputError, match=name):
        Runs.load(directory)


def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a result of etcdsim: it has no summary\.json"):
        Runs.load(tmp_path)
    with pytest.raises(InputError, match="is not a directory"):
        Runs.load(tmp_path / "nothing")
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(InputError, match=r"summary.json: not a result"):
        Runs.load(tmp_path)


def test_a_foreign_summary_cannot_send_us_elsewhere(saved: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(saved, tmp_path / "result"))
    summary = json.loads((directory / "summary.json").read_text())
    summary["variants"]["../../elsewhere"] = summary["variants"].pop("leaking")
    (directory / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="is not the name of a variant"):
        Runs.load(directory)


def test_a_result_of_another_schema_is_refused(saved: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(saved, tmp_path / "result"))
    text = (directory / "summary.json").read_text()
    (directory / "summary.json").write_text(text.replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(InputError, match="schema_version 99 is not 1"):
        Runs.load(directory)
