"""Every mechanism that a golden trace may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sim.conform import mechanisms
from sim.conform.election import ELECTION_MECHANISMS
from sim.conform.flow import FLOW_MECHANISMS, Rows, Settings
from sim.conform.informer import INFORMER_MECHANISMS
from sim.conform.mechanisms import Config, Mechanism, Operation, Operations
from sim.conform.watch import WATCH_MECHANISMS


def _of_rows(build: Callable[[Settings], Rows]) -> Callable[[Config], Operations]:
    """The operations of a mechanism of the API server, which knows nothing of this room."""
    return lambda config: {op: Operation(*row) for op, row in build(config).items()}


MECHANISMS: Final[Mapping[str, Mechanism]] = {
    **mechanisms.MECHANISMS,
    **{mechanism.name: mechanism for mechanism in (*ELECTION_MECHANISMS, *INFORMER_MECHANISMS)},
    **{name: Mechanism(name, _of_rows(build)) for name, build in (*FLOW_MECHANISMS.items(), *WATCH_MECHANISMS.items())},
}
