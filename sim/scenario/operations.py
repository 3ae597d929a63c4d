"""What an operator does to the etcd cluster, and when."""

from __future__ import annotations

from typing import Literal

from sim.scenario.quantities import Duration
from sim.scenario.section import Section, required


class Operation(Section):
    """One command of an operator.

    compact: to the revision of that moment (etcdctl compact); defrag: of the leading member, which serves nobody meanwhile;
    disarm: the NOSPACE alarm, which never clears itself.
    """

    kind: Literal["compact", "defrag", "disarm"] = required("What is done.")
    at: Duration = required("When.")
