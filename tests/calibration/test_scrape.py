"""Texts of /metrics: real ones, differences, and what is refused in one line."""

from __future__ import annotations

import gzip

import pytest
from calibration_sample import DATA, drawn, exposition
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.calibration import scrape as names
from sim.calibration.scrape import Scrape, parse
from sim.calibration.sources import read_scrape
from sim.errors import InputError

FSYNC = names.WAL_FSYNC
WHOLE = exposition({FSYNC: drawn(1), names.COMMIT: drawn(2, 500, 0.002)}, gauges={"etcd_mvcc_put_total": 100})


def real(which: str) -> str:
    return gzip.decompress((DATA / f"etcd-3.5.1-{which}.txt.gz").read_bytes()).decode()


def test_a_real_scrape() -> None:
    scrape = parse(real("after"), "after.txt")
    assert scrape.version == "3.5.1"
    assert len(scrape.member) in (15, 16)
    histogram = scrape.histogram(FSYNC)
    assert histogram is not None
    assert (histogram.count, histogram.bounds[0], histogram.bounds[-1]) == (14980, 0.001, 8.192)
    applied = scrape.histogram(names.APPLY, op="Put", success="true", version="v3")
    assert applied is not None
    assert applied.count == 16785
    assert scrape.histogram(names.RTT) is None


def test_a_real_difference() -> None:
    before, after = (read_scrape(DATA / f"etcd-3.5.1-{which}.txt.gz") for which in ("before", "after"))
    both = after.since(before)
    histogram = both.histogram(FSYNC)
    assert histogram is not None
    assert histogram.count == 14975
    assert both.increase(names.PUTS) == 16785
    assert both.seconds == pytest.approx(14, abs=2)


def test_a_real_difference_of_another_release() -> None:
    before, after = (read_scrape(DATA / f"etcd-3.6.14-{which}.txt.gz") for which in ("before", "after"))
    both = after.since(before)
    histogram = both.histogram(FSYNC)
    assert histogram is not None
    assert (both.version, histogram.count, both.increase(names.PUTS)) == ("3.6.14", 3130, 4401)
    with pytest.raises(InputError, match=r"is of etcd 3\.6\.14, but .* is of etcd 3\.5\.1"):
        after.since(read_scrape(DATA / "etcd-3.5.1-before.txt.gz"))


@pytest.mark.parametrize("version", ["3.4.34", "3.5.1", "3.5.33", "3.6.14", "3.7.1"])
def test_releases(version: str) -> None:
    assert parse(exposition({FSYNC: drawn(1)}, version=version), "m").version == version


def test_only_the_clusters_version_is_known() -> None:
    text = "\n".join(line for line in WHOLE.splitlines() if "etcd_server_version" not in line) + "\n"
    assert parse(text, "m").version == "3.5"


def test_a_text_filtered_to_etcds_own() -> None:
    filtered = "\n".join(line for line in WHOLE.splitlines() if "etcd" in line) + "\n"
    assert parse(filtered, "m").version == "3.5.17"
    bare = "\n".join(line for line in filtered.splitlines() if not line.startswith("#")) + "\n"
    assert parse(bare, "m").version == "3.5.17"


def test_labels_with_braces_quotes_and_commas() -> None:
    text = WHOLE.replace("# HELP process", 'odd{a="x}\\"y,",b=""} 1 1700000000000\n# HELP process', 1)
    assert parse(text, "m").samples["odd"] == {(("a", 'x}"y,'), ("b", "")): 1.0}


REFUSED = {
    "empty": ("", "is empty"),
    "html": ("<!DOCTYPE html><html>", "is an HTML page"),
    "json": ('{"status": "ok"}', "is JSON"),
    "apiserver": ("# TYPE apiserver_request_total counter\napiserver_request_total 4\n", "is not of etcd: .* kube-apiserver"),
    "node": ("node_load1 0.1\n", "is not of etcd: .* node_exporter"),
    "other": ("my_counter 3\n", "is not of etcd: it has my_counter"),
    "release": (WHOLE.replace('"3.5.17"', '"3.3.25"'), r"is of etcd 3\.3\.25; .* 3\.4 to 3\.7"),
    "v2": (WHOLE.replace('"3.5.17"', '"2.3.8"'), r"is of etcd 2\.3\.8"),
    "twice": (WHOLE + WHOLE, "stands there twice"),
    "noise": (WHOLE.replace("etcd_mvcc_put_total 100", "etcd_mvcc_put_total many"), r'line \d+: .* "many" is not a number'),
    "no fsyncs": ("\n".join(line for line in WHOLE.splitlines() if FSYNC not in line) + "\n", f"{FSYNC} is missing"),
    "no version": ("\n".join(x for x in WHOLE.splitlines() if "_version" not in x) + "\n", "etcd_server_version is missing"),
    "no process": (WHOLE.partition("# HELP etcd_server")[0], "truncated"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    text, said = REFUSED[what]
    with pytest.raises(InputError, match=f"^m: .*{said}") as refusal:
        parse(text, "m")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999])
def test_a_real_scrape_that_was_cut_anywhere_is_refused(kept: float) -> None:
    text = real("after")
    with pytest.raises(InputError, match=r"^m: "):
        parse(text[: int(kept * len(text))], "m").histogram(FSYNC)


@pytest.mark.parametrize("kept", range(10, 1500, 149))
def test_and_one_that_was_cut_between_lines(kept: int) -> None:
    lines = real("after").splitlines(keepends=True)
    with pytest.raises(InputError, match=r"^m: .*(truncated|missing)"):
        parse("".join(lines[:kept]), "m").histogram(FSYNC)


def test_a_histogram_without_its_sum() -> None:
    text = "\n".join(line for line in WHOLE.splitlines() if f"{FSYNC}_sum" not in line) + "\n"
    with pytest.raises(InputError, match="_sum is missing"):
        parse(text, "m").histogram(FSYNC)


def test_a_count_that_contradicts_the_buckets() -> None:
    text = WHOLE.replace(f"{FSYNC}_count 20000", f"{FSYNC}_count 20001")
    with pytest.raises(InputError, match="its buckets hold 20,000 observations, its _count says 20,001"):
        parse(text, "m").histogram(FSYNC)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_whatever_happened_to_the_text_it_is_read_or_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    gone = data.draw(st.integers(0, 200))
    put = data.draw(st.sampled_from(["", "\n", "{", "}", '"', "NaN", "-1", "+Inf", 'le="x"', " 7", "\\", "# TYPE", "\x00", "0x10"]))
    said = "m: "
    try:
        scrape = parse(WHOLE[:at] + put + WHOLE[at + gone :], "m")
        for name in (FSYNC, names.COMMIT, names.APPLY, names.RTT):
            scrape.histogram(name)
        scrape.since(BEFORE)
    except InputError as error:
        said = str(error)
    assert said.startswith("m: ")
    assert "\n" not in said


def later(**changed: object) -> Scrape:
    grown = {FSYNC: drawn(1).plus(drawn(2)), names.COMMIT: drawn(2, 500, 0.002)}
    return parse(exposition(grown, **changed), "after.txt")  # type: ignore[arg-type]


BEFORE = parse(WHOLE, "before.txt")


def test_a_difference_is_what_happened_between() -> None:
    assert later().since(BEFORE).histogram(FSYNC) == drawn(1).plus(drawn(2)).minus(drawn(1))


@pytest.mark.parametrize(
    ("after", "before", "said"),
    [
        (BEFORE, later(), r"went down since after\.txt \(40,000 to 20,000 observations\); .* wrong order"),
        (later(member="aaaa"), BEFORE, r"member aaaa, but before\.txt is of member 8e9e05c52164694d"),
        (later(version="3.5.18"), BEFORE, r"is of etcd 3\.5\.18, but before\.txt is of etcd 3\.5\.17"),
        (later(started=1_700_009_999), BEFORE, r"began at 1700009999 .* restarted between them"),
    ],
)
def test_differences_that_are_none(after: Scrape, before: Scrape, said: str) -> None:
    with pytest.raises(InputError, match=said):
        after.since(before)
