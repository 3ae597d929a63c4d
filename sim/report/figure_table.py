"""The table of figures on a terminal: a row a figure, a column a variant, the ratio, what was published, what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from sim.analysis import goals
from sim.metrics.catalogue import Group, describe, order
from sim.report.declared import RATIO, references, standing
from sim.report.human import ABSENT, factor, human
from sim.report.summary import figures, ratio

if TYPE_CHECKING:
    from sim.result import Run, Runs

SHOWN: Final = (
    "etcd.keys_created", "etcd.keys_created_per_hour", "etcd.keys_live", "etcd.puts", "etcd.deletes",
    "etcd.revision", "etcd.revisions_retained",
    "etcd.wal_bytes_written", "etcd.wal_fsyncs",
    "etcd.apply_seconds.p50", "etcd.apply_seconds.p99", "etcd.apply_seconds.p999", "etcd.apply_seconds.max",
    "etcd.apply_execution_seconds.p99", "etcd.commit_seconds.p99",
    "etcd.wal_fsync_seconds.p50", "etcd.wal_fsync_seconds.p99", "etcd.wal_fsync_seconds.max",
    "etcd.backend_commit_seconds.p50", "etcd.backend_commit_seconds.p99", "etcd.backend_commit_seconds.max",
    "etcd.compaction_seconds.count", "etcd.compaction_seconds.p50", "etcd.compaction_seconds.max",
    "etcd.db_bytes_total", "etcd.db_bytes_in_use", "etcd.seconds_to_quota",
    "etcd.proposals_failed", "etcd.leader_changes", "etcd.request_seconds.p99", "apiserver.request_seconds.p99",
    "apiserver.conflicts", "apiserver.rejected", "apiserver.throttled", "apiserver.seat_wait_seconds.p99",
    "apiserver.unchanged", "watch.lag_seconds.p99", "watch.events_sent", "watch.relists", "watch.expired",
    "rest_client.requests", "rest_client.resent", "rest_client.rate_limiter_seconds.p99", "workqueue.depth.max",
    "workqueue.queue_seconds.p99", "workqueue.work_seconds.p99", "workqueue.retries", "workqueue.dropped",
    "controller.reconciles", "controller.errors", "controller.terminal_errors", "controller.panics", "controller.requeues",
    "controller.restarts", "leader_election.changes", "leader_election.leaderless_seconds",
    "leader_election.two_leaders_seconds", "writes.requests", "writes.succeeded", "writes.unchanged", "writes.conflicts",
    "writes.failed", "writes.given_up", "writes.lost_updates", "events.recorded", "events.skipped", "events.dropped",
    "events.created", "events.patched", "cache.zero_value_keys", "run.warm_up_seconds",
)  # fmt: skip
"""What a first look needs; all others stand in the JSON and in the files."""
_GROUP_TITLES: Final[dict[Group, str]] = {"API": "API server and etcd's clients", "controller": "controllers", "run": "this run"}
_BESIDE: Final = 3
"""So many variants stand side by side in 100 columns."""


def figure_tables(runs: Runs) -> list[Table]:
    """The figures worth a first look, and those that the scenario has a reference or an objective for."""
    wanted = set(SHOWN) | _declared(runs)
    declared = _declared(runs)
    present = [name for name in wanted & set(figures(runs)) if name in declared or _happened(runs, name)]
    names = sorted(present, key=order)
    variants = list(runs)
    parts = [variants[at : at + _BESIDE] for at in range(0, len(variants), _BESIDE)]
    return [_table(runs, names, part) for part in parts]


def _happened(runs: Runs, figure: str) -> bool:
    """Whether any variant has something to say: rows of nothing but zeros and absences only lengthen the table."""
    return any(run.metrics.get(figure) or run.status.get(figure) for run in runs.values())


def value(run: Run, figure: str) -> str:
    """A figure as people say it, with what it is if it is not simply there: `25.1 h extrapolated`, `never`."""
    known = describe(figure)
    found, status = run.metrics.get(figure), run.status.get(figure)
    if found is None:
        return status or ABSENT
    said = human(found, known.unit if known else "")
    return f"{said} {status}" if status == "extrapolated" else said


def plain_table() -> Table:
    """A table without lines but one below its head, one space between columns."""
    return Table(box=None, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="bold")


def _table(runs: Runs, names: Sequence[str], variants: Sequence[str]) -> Table:
    declared = references(runs.scenario)
    compared = len(runs) == 2
    published = any(variant in declared for variant in (*variants, RATIO))
    table = plain_table()
    table.add_column("figure", no_wrap=True, min_width=37)
    for variant in variants:
        table.add_column(variant, justify="right", min_width=12, max_width=14, overflow="fold")
    if compared:
        table.add_column("ratio", justify="right", min_width=7, no_wrap=True)
    if published:
        table.add_column("reference", justify="right", min_width=10, max_width=16)
    table.add_column("is", no_wrap=True)
    group = None
    for name in names:
        known = describe(name)
        if known is not None and known.group != group:
            group = known.group
            table.add_row(Text(_GROUP_TITLES.get(group, group), style="bold cyan"))
        cells = [f"  {name}", *(value(runs[variant], name) for variant in variants)]
        if compared:
            cells.append(factor(ratio(runs, name)))
        if published:
            cells.append(_reference(declared, name, variants, known.unit if known else ""))
        table.add_row(*map(Text, cells), Text(said := standing(runs.scenario, name), style=_STYLES[said]))
    return table


_STYLES: Final = {"fitted": "yellow", "assumed": "magenta", "predicted": "green"}


def _reference(declared: dict[str, dict[str, float]], name: str, variants: Sequence[str], unit: str) -> str:
    """What was published: a value for each variant, in their order (one for all where they agree), and a ratio."""
    published = [declared.get(variant, {}).get(name) for variant in variants]
    said = []
    known = {one for one in published if one is not None}
    if len(known) == 1 and len(variants) > 2:
        said.append(human(known.pop(), unit))
    elif known:
        said.append(" / ".join(human(one, unit) for one in published))
    if (times := declared.get(RATIO, {}).get(name)) is not None:
        said.append(f"x{times:g}")
    return "; ".join(said)


def _declared(runs: Runs) -> set[str]:
    named = {goal.figure for goal in goals(runs.scenario) if goal.variant is None or goal.variant in runs}
    for published in references(runs.scenario).values():
        named |= set(published)
    return named
