"""From what was measured to the cluster section of a scenario: which field gets which law, why, and what could not be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sim.calibration import scrape as names
from sim.calibration.commits import Twice, fit_half
from sim.calibration.fio import FioMeasurement
from sim.calibration.fit import FEWEST, Fit, Fitted, empirical, fit, judge
from sim.calibration.histogram import Histogram
from sim.calibration.laws import Law, Lognormals, mixture, quantile, written
from sim.calibration.network import fit_link
from sim.calibration.ridges import Below, Ridge, applies, below, shared_disk, tails
from sim.calibration.scrape import Scrape
from sim.calibration.stalls import Stalls, differences, fit_stalls
from sim.errors import InputError
from sim.scenario.device import DeviceProfile
from sim.scenario.etcd import Costs, Etcd
from sim.scenario.quantities import read_bandwidth
from sim.units import format_size, seconds

_LINK_MISFIT: Final = 0.03
MEMBER_NAMES: Final = ("a", "b", "c", "d", "e", "f", "g")
_PAGE: Final = 4096
_FILL: Final = 0.9
_ELEMENT: Final = 16 + 17 + 12
"""bbolt's leaf element and key, and the rest of etcd's KeyValue around key and value (facts of storage: elements per leaf)."""
_FIXED_PAGES: Final = 4
"""Pages that each commit writes whatever it holds: right edge, root, meta bucket, bolt's meta page."""
_BANDWIDTH: Final = float(DeviceProfile.model_fields["bandwidth"].default)

TITLES: Final = {
    names.WAL_FSYNC: "WAL fsync",
    names.COMMIT: "backend commit",
    names.REBALANCE: "  of it rebalance",
    names.SPILL: "  of it spill",
    names.WRITE: "  of it write",
    names.RTT: "peer round trip",
    names.APPLY: "apply",
}


@dataclass
class Calibration:
    """What was measured, what was fitted to it, and the cluster section that follows.

    fits: metric to its law and the candidates; half: the law of one backend fdatasync; etcd: fields of a scenario's section;
    provenance: path to entry; remarks: what a reader should know, a line each.
    """

    version: str | None = None
    member: str = ""
    seconds: float | None = None
    histograms: dict[str, Histogram] = field(default_factory=dict)
    fits: dict[str, Fitted] = field(default_factory=dict)
    half: Fit | None = None
    hidden: Below | None = None
    fio: FioMeasurement | None = None
    stalls: Stalls | None = None
    ridges: list[Ridge] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)
    etcd: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, dict[str, str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def calibrate(
    scrape: Scrape | None = None,
    series: Sequence[Scrape] = (),
    fio: FioMeasurement | None = None,
    members: Sequence[str] | None = None,
    slow: float | None = None,
) -> Calibration:
    """Everything that can be said of a cluster from these measurements.

    scrape: one member's, or a difference of two; series: of that member, in order of time (its first and last make the scrape
    where none is given); members: the names that the cluster's members get; slow: seconds above which an fsync is slow, a
    bound of the histogram. Raises InputError if nothing is given, or too little was observed.
    """
    if scrape is None and series:
        scrape = series[-1].since(series[0])
    if scrape is None and fio is None:
        raise InputError("nothing to calibrate from; give --metrics, --series, --endpoint, --prometheus or --fio")
    found = Calibration(fio=fio)
    if scrape is not None:
        _read_histograms(found, scrape)
    if len(series) > 2:
        found.stalls = fit_stalls(*differences(series), slow)
        if found.stalls is None:
            found.remarks.append("series: fewer than 8 slow fsyncs; when they came cannot be told")
    _wal(found, scrape)
    if scrape is not None:
        _backend(found, scrape)
        _bytes(found, scrape)
        _network(found, scrape)
        _apply(found, scrape)
        _rest(found, scrape)
    _members(found, scrape, members)
    return found


def source_of(scrape: Scrape) -> str:
    """What a file may say of where a scrape is from: a file's name, never a path or a host."""
    names_ = [_short(one.called) for one in (scrape.before, scrape) if one is not None]
    return " to ".join(names_)


def _short(called: str) -> str:
    if "://" not in called:
        return Path(called).name
    return "a Prometheus server" if " at " in called else "a running member"


def _read_histograms(found: Calibration, scrape: Scrape) -> None:
    found.version, found.member, found.seconds = scrape.version, scrape.member, scrape.seconds
    for name in TITLES:
        labels = {"success": "true", "version": "v3"} if name == names.APPLY else {}
        if name == names.APPLY:
            ops = [op for op in scrape.labels(f"{names.APPLY}_bucket", "op") if op in ("Put", "Txn", "DeleteRange")]
            parts = [scrape.histogram(name, op=op, **labels) for op in ops]
            held = [part for part in parts if part is not None and part.count]
            histogram = held[0] if held else None
            for part in held[1:]:
                histogram = histogram.plus(part) if histogram is not None else part
        else:
            histogram = scrape.histogram(name)
        if histogram is None or not histogram.count:
            continue
        found.histograms[name] = histogram
        if histogram.count >= FEWEST and histogram.sum > 0:
            found.fits[name] = fit(histogram)
        elif name in (names.WAL_FSYNC, names.COMMIT, names.RTT):
            found.remarks.append(f"{name}: {histogram.count} observations are too few to fit a law; at least {FEWEST}")
    if names.WAL_FSYNC not in found.fits:
        seen = found.histograms.get(names.WAL_FSYNC)
        raise InputError(
            f"{scrape.called}: {names.WAL_FSYNC} holds {seen.count if seen else 0} observations"
            f"{' since ' + scrape.before.called if scrape.before else ''}; at least {FEWEST} are needed"
        )


def _wal(found: Calibration, scrape: Scrape | None) -> None:
    """The law of the WAL's fsync into the profile: fio's where there is only fio, its shape under the lowest bound where
    there are both."""
    fio = found.fio
    law: Law
    if scrape is None:
        assert fio is not None
        law = fio.law
        told = f"{_short(fio.called)}: {fio.samples:,} writes of {fio.block_bytes} bytes, each with an fdatasync ({fio.release})"
        found.profile = {"about": "A disk measured with fio.", "source": told, "fdatasync": law.declared()}
    else:
        histogram, best = found.histograms[names.WAL_FSYNC], found.fits[names.WAL_FSYNC].best
        law = best.law
        told = f"{histogram.count:,} fsyncs of etcd {scrape.version} in {source_of(scrape)}: {law}"
        found.hidden = below(histogram)
        if fio is not None and found.hidden is not None:
            law, said = _with_fio(histogram, best, fio)
            told += said
            found.remarks.append(said.strip("; "))
        found.profile = {
            "about": f"The disk under the WAL of an etcd {scrape.version}.",
            "source": told,
            "fdatasync": law.declared(),
        }
        ridge = tails(best.law, histogram, found.seconds)
        if ridge is not None and found.stalls is None:
            found.ridges.append(ridge)
        elif found.stalls is not None and found.stalls.kind != "each fsync":
            found.remarks.append(
                f"slow fsyncs come as {found.stalls.kind} in time; a profile draws each fsync "
                "by itself: same counts and sum, but not in a row"
            )
    if fio is not None and fio.bandwidth is not None:
        found.profile["bandwidth"] = f"{fio.bandwidth / 1e6:.0f}MB/s" if fio.bandwidth >= 1e7 else f"{fio.bandwidth / 1e3:.0f}kB/s"
    elif fio is not None:
        found.remarks.append(
            f"bandwidth: fio's {fio.turns / 1e6:.1f} MB/s with an fdatasync after each block is the latency's reciprocal, not the "
            "device's: "
            "the default stands; a second job with --bs=1m --end_fsync=1 and without fdatasync would measure it"
        )
    else:
        found.remarks.append("bandwidth: etcd shows no metric of it")


def _bytes(found: Calibration, scrape: Scrape) -> None:
    """The metric's fsync has its bytes in it; the simulator adds them at the bandwidth: by how much, a reader should know."""
    written_bytes, fsyncs = scrape.increase(names.WAL_BYTES), found.histograms[names.WAL_FSYNC]
    if written_bytes is None or written_bytes <= 0:
        return
    bandwidth = read_bandwidth(found.profile.get("bandwidth", _BANDWIDTH))
    each = written_bytes / fsyncs.count / (2 if scrape.version.startswith(("3.4", "3.5")) else 1)
    found.remarks.append(
        f"WAL fsync: it encloses fdatasync alone, here of {each:,.0f} bytes on average; a run adds its own bytes at the bandwidth "
        f"({each / bandwidth * 1e6:.0f} us for so many at {bandwidth / 1e6:.0f} MB/s)"
    )


def _with_fio(histogram: Histogram, best: Fit, fio: FioMeasurement) -> tuple[Law, str]:
    """etcd's own shares at its bounds; under the lowest bound, where it says nothing, the shape that fio measured."""
    import numpy as np

    bound = histogram.bounds[0]
    under = float(fio.law.cdf(np.array([bound]))[0])
    share = histogram.counts[0] / histogram.count
    if under < 0.05:
        return best.law, f"; fio has only {under:.1%} under {written(bound)}, etcd {share:.1%}: its shape is not used"
    law = empirical(histogram, best.law, lowest=fio.law)
    return law, f"; under {written(bound)} ({share:.1%} of them, {under:.1%} in fio) the shape is that of {_short(fio.called)}"


def _backend(found: Calibration, scrape: Scrape) -> None:
    commits = found.histograms.get(names.COMMIT)
    if names.COMMIT not in found.fits or commits is None:
        found.remarks.append("etcd.members.*.disk.backend_fdatasync: too few commits; the WAL's law stands")
        return
    pages, note = _pages(scrape, commits)
    bandwidth = _BANDWIDTH if found.fio is None or found.fio.bandwidth is None else found.fio.bandwidth
    page_write = seconds(Costs().page_write)
    earliest = commits.bracket(0.05)[0]
    most = min(commits.mean / 2, *([earliest] if earliest > 0 else [commits.mean / 2]))
    if pages * (page_write + _PAGE / bandwidth) > most and pages * page_write < most and bandwidth == _BANDWIDTH:
        bandwidth = _PAGE / (most / pages - page_write)
        found.profile["bandwidth"] = f"{bandwidth / 1e6:.0f}MB/s"
        note += f"; with the default of {_BANDWIDTH / 1e6:.0f} MB/s commits would be longer than they are: at least "
        note += str(found.profile["bandwidth"])
    each = page_write + _PAGE / bandwidth
    constant = min(pages * each, most)
    found.half = fit_half(commits, constant)
    assert isinstance(found.half.law, Twice)
    found.profile["backend_fdatasync"] = found.half.law.of.declared()
    phases = [found.histograms[name].mean for name in (names.REBALANCE, names.SPILL) if name in found.histograms]
    cpu = f"; {sum(phases) * 1e3:.3g} ms of a commit are rebalance and spill" if phases else ""
    fsync = found.histograms[names.WAL_FSYNC].mean
    found.ridges.append(shared_disk(commits.mean, fsync, pages, constant))
    found.remarks.append(
        f"backend_fdatasync: {note}; {constant * 1e3:.3g} ms of a mean commit of {commits.mean * 1e3:.3g} ms are their writing{cpu}"
    )


def _pages(scrape: Scrape, commits: Histogram) -> tuple[float, str]:
    """Dirty pages of a commit, from the puts between two commits and their size."""
    puts, bytes_ = scrape.increase(names.PUTS), scrape.increase(names.PUT_BYTES)
    if not puts or bytes_ is None or puts < 0 or bytes_ < 0:
        return float(_FIXED_PAGES + 2), "pages of a commit are not known: 6 assumed"
    size = bytes_ / puts
    pages = puts / commits.count * (_ELEMENT + size) / (_PAGE * _FILL) + _FIXED_PAGES
    return pages, f"about {pages:.0f} pages a commit ({puts / commits.count:.0f} puts of {size:.0f} bytes)"


def _network(found: Calibration, scrape: Scrape) -> None:
    fitted = found.fits.get(names.RTT)
    histogram = found.histograms.get(names.RTT)
    if histogram is None:
        found.remarks.append("etcd.network.rtt: no peers; the default stands")
        return
    source = f"{histogram.count:,} probes of {len(scrape.labels(f'{names.RTT}_count', 'To'))} peers in {source_of(scrape)}"
    if fitted is None:
        found.etcd["network"] = {"rtt": written(histogram.mean), "jitter": "0s"}
        found.provenance["etcd.network"] = {"is": "measured", "source": f"{source}: their mean; too few for a law"}
        return
    link = fit_link(histogram)
    found.etcd["network"] = link.law.declared()
    found.provenance["etcd.network"] = {"is": "measured", "source": f"{source}: {link.law}"}
    if histogram.bracket(0.1) == histogram.bracket(0.9):
        found.remarks.append("etcd.network.jitter: nearly all probes lie in one bucket; their spread follows from the sum alone")
    if link.ks > _LINK_MISFIT:
        found.remarks.append(
            f"etcd.network: rtt and jitter follow the probes to {100 * link.ks:.1f} percentage points only (p99 "
            f"{written(link.quantile(0.99))}, measured {written(fitted.best.quantile(0.99))}): a scenario's link has no longer tail"
        )
    found.remarks.append("peer round trip: etcd probes by HTTP every 4 s, not by the raft messages' own stream")


def _apply(found: Calibration, scrape: Scrape) -> None:
    histogram, fitted = found.histograms.get(names.APPLY), found.fits.get(names.APPLY)
    if histogram is None or fitted is None:
        found.remarks.append(
            "etcd.costs.apply: the metric is missing (it exists from 3.5 on) or has too few observations; the default stands"
        )
        return
    law = _mixture_of(fitted)
    commits = found.histograms.get(names.COMMIT)
    body = _unlocked(law, commits)
    puts, bytes_ = scrape.increase(names.PUTS), scrape.increase(names.PUT_BYTES)
    size = bytes_ / puts if puts and puts > 0 and bytes_ is not None and bytes_ >= 0 else 0.0
    costs = Costs()
    txns = scrape.histogram(names.APPLY, op="Txn", success="true", version="v3")
    added = size / 1024 * seconds(costs.apply_per_kib)
    if txns is not None and histogram.count:
        added += seconds(costs.txn_apply) * min(txns.count / histogram.count, 1.0)
    added = min(added, 0.7 * body.mean)
    cost = body.scaled((body.mean - added) / body.mean)
    found.etcd["costs"] = {"apply": cost.declared()}
    found.provenance["etcd.costs.apply"] = {
        "is": "fitted",
        "to": f"{histogram.count:,} applies in {source_of(scrape)}, without their slow part (taken for the wait for the batch "
        f"lock) and "
        f"without {added * 1e6:.1f} us for values of {size:.0f} bytes and for transactions",
    }
    held = None
    if commits is not None and commits.count and found.seconds and names.COMMIT in found.fits:
        # An arrival at random meets a commit for its share of the time, and waits half its squared mean over its mean.
        best = found.fits[names.COMMIT].best
        second = sum((quantile(best.law, (at + 0.5) / 200)) ** 2 for at in range(200)) / 200
        held = min(commits.sum / found.seconds * second / (2 * commits.mean), histogram.mean)
    found.ridges.append(applies(histogram.mean, body.mean, held))
    found.remarks.append(
        "etcd.costs.apply: cost by bytes, by watcher and of transactions is not in the metric apart; apply_per_kib and txn_apply "
        "stay at their defaults"
    )


def _mixture_of(fitted: Fitted) -> Lognormals:
    laws = [one for one in fitted.candidates if isinstance(one.law, Lognormals)]
    best = fitted.best if isinstance(fitted.best.law, Lognormals) else min(laws, key=lambda one: one.bic)
    assert isinstance(best.law, Lognormals)
    return best.law


def _unlocked(law: Lognormals, commits: Histogram | None) -> Lognormals:
    """The law without the components that reach as far as a commit lasts: those are taken for the wait behind one."""
    body = max(law.parts, key=lambda part: part.weight)
    commit = commits.mean if commits is not None and commits.count else 0.0
    middle, far = max(5 * body.median, commit / 4), max(30 * body.median, commit / 2)
    kept = [part for part in law.parts if part.median < middle and part.p99 < far] or [body]
    return mixture([part.weight for part in kept], [part.median for part in kept], [part.sigma for part in kept])


def _rest(found: Calibration, scrape: Scrape) -> None:
    source = source_of(scrape)
    version = scrape.version
    if version.count(".") == 1:
        default = Etcd.model_fields["version"].default
        version = default if str(default).startswith(version + ".") else f"{version}.0"
        found.remarks.append(f"etcd.version: only {scrape.version} is known; {version} is assumed")
        found.provenance["etcd.version"] = {"is": "assumed", "why": f"only {scrape.version} is known of {source}"}
    else:
        found.provenance["etcd.version"] = {"is": "measured", "source": source}
    found.etcd["version"] = version
    quota = scrape.value(names.QUOTA)
    if quota and quota > 0:
        found.etcd["quota"] = format_size(round(quota))
        found.provenance["etcd.quota"] = {"is": "measured", "source": source}
    if found.seconds is not None and scrape.taken is None and scrape.before is None:
        found.remarks.append(
            "rates per time: the scrape's own time is taken from its last garbage collection, up to 2 minutes early"
        )


def _members(found: Calibration, scrape: Scrape | None, members: Sequence[str] | None) -> None:
    peers = len(scrape.labels(f"{names.RTT}_count", "To")) if scrape is not None else 0
    count = peers + 1 if scrape is not None else 3
    called = list(members) if members else list(MEMBER_NAMES[:count])
    if members and scrape is not None and len(called) != count:
        found.remarks.append(f"the cluster that was measured has {count} member{'s' * (count > 1)}, {len(called)} are written")
    found.etcd["members"] = {name: {"disk": found.profile} for name in called}
    for place, name in enumerate(called):
        at = f"etcd.members.{name}.disk"
        if place == 0:
            found.provenance[f"{at}.fdatasync"] = {"is": "measured", "source": found.profile["source"]}
            if "bandwidth" in found.profile:
                found.provenance[f"{at}.bandwidth"] = _bandwidth_is(found)
            if found.half is not None and scrape is not None:
                found.provenance[f"{at}.backend_fdatasync"] = {
                    "is": "fitted",
                    "to": f"{found.half.histogram.count:,} commits in {source_of(scrape)}, each two fdatasyncs and its pages",
                }
        else:
            found.provenance[at] = {"is": "assumed", "why": f"as that of {called[0]}, the member that was measured"}
    order = ("version", "members", "network", "quota", "costs")
    found.etcd = {key: found.etcd[key] for key in order if key in found.etcd}


def _bandwidth_is(found: Calibration) -> dict[str, str]:
    if found.fio is not None and found.fio.bandwidth is not None:
        return {"is": "measured", "source": f"a sequential job in {_short(found.fio.called)}"}
    return {"is": "fitted", "to": "backend commits: the least with which they can be as short as they are"}


__all__ = ["TITLES", "Calibration", "calibrate", "judge", "source_of"]
