"""Every mechanism that a golden trace may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sim.conform.election import ELECTION_MECHANISMS
from sim.conform.flow import FLOW_MECHANISMS
from sim.conform.format import Mechanism
from sim.conform.informer import INFORMER_MECHANISMS
from sim.conform.mechanisms import CLIENT_MECHANISMS
from sim.conform.store import STORE_MECHANISMS
from sim.conform.watch import WATCH_MECHANISMS

MECHANISMS: Final[Mapping[str, Mechanism]] = {
    mechanism.name: mechanism
    for mechanism in (
        *CLIENT_MECHANISMS, *ELECTION_MECHANISMS, *INFORMER_MECHANISMS, *FLOW_MECHANISMS, *WATCH_MECHANISMS,
        *STORE_MECHANISMS
    )
}  # fmt: skip
