"""`etcdsim results --sql`: the tables are the store's, and nothing in the store can be changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from sweep_help import QPS, tiny

from sim.cli import main
from sim.sweeps.api import Sweep, sweep

duckdb = pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep]:
    path = tmp_path_factory.mktemp("sql") / "store"
    return path, sweep(tiny("1s"), {QPS: [2, 50]}, replications=2, workers=1, store=path)


def asked(capsys: pytest.CaptureFixture[str], store: Path, text: str, *options: str) -> tuple[int, str, str]:
    code = main(["results", str(store), "--sql", text, *options])
    return code, *capsys.readouterr()


def rows(capsys: pytest.CaptureFixture[str], store: Path, text: str) -> list[list[object]]:
    code, out, err = asked(capsys, store, text, "--json")
    assert code == 0, err
    found = json.loads(out)
    return [[row[name] for name in found["columns"]] for row in found["rows"]]


def test_means_are_those_of_pandas(store: tuple[Path, Sweep], capsys: pytest.CaptureFixture[str]) -> None:
    path, frame = store
    text = f'select variant, "{QPS}" q, avg("etcd.apply_seconds.mean"), count(*) from runs group by all order by all'
    grouped = frame.groupby(["variant", QPS])["etcd.apply_seconds.mean"].mean()
    expected = [[variant, qps, pytest.approx(mean), 2] for (variant, qps), mean in grouped.items()]
    assert rows(capsys, path, text) == expected
    assert len(rows(capsys, path, "select * from runs limit 1")[0]) == len(frame.columns) + 1  # and the sweep


def test_series_status_and_sweeps(store: tuple[Path, Sweep], capsys: pytest.CaptureFixture[str]) -> None:
    path, frame = store
    last = rows(capsys, path, 'select point, variant, replication, max("etcd.puts") from series group by all order by all')
    puts = frame.sort_values(["point", "variant", "replication"])
    assert last == puts[["point", "variant", "replication", "etcd.puts"]].to_numpy().tolist()
    figures = [row[0] for row in rows(capsys, path, "select distinct figure from status")]
    assert "etcd.seconds_to_quota" in figures
    assert rows(capsys, path, "select runs, done, replications from sweeps") == [[8, 8, 2]]
    assert rows(capsys, path, "select count(*) from failures") == [[0]]


def test_people_get_a_table(store: tuple[Path, Sweep], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = asked(capsys, store[0], "select variant, count(*) as n from runs group by 1 order by 1")
    assert (code, out.split()) == (0, ["variant", "n", "fixed", "4", "leaking", "4"])


def test_a_query_changes_nothing(store: tuple[Path, Sweep], capsys: pytest.CaptureFixture[str]) -> None:
    before = (store[0] / "ledger.sqlite").read_bytes()
    for text in ("drop view runs", "delete from runs", "create table x as select * from runs"):
        asked(capsys, store[0], text)
    assert (store[0] / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "said"), [("select nothing from runs", "nothing"), ("selec", "syntax error"), ("select * from rnus", "rnus")]
)
def test_mistakes_are_one_line(text: str, said: str, store: tuple[Path, Sweep], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = asked(capsys, store[0], text)
    assert (code, out) == (2, "")
    assert err.startswith("etcdsim: --sql: ")
    assert said in err
    assert err.count("\n") == 1


def test_without_duckdb(
    store: tuple[Path, Sweep], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    code, _, err = asked(capsys, store[0], "select 1")
    assert (code, err) == (2, "etcdsim: --sql: DuckDB is not installed; pip install 'etcdsim[sql]'\n")
