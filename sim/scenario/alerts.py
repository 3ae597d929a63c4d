"""Alert rules that are evaluated on the run's own metrics."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from sim.errors import InputError
from sim.promql.syntax import parse
from sim.scenario.quantities import Duration
from sim.scenario.refusal import refused
from sim.scenario.section import Section, field, required


def _expression(value: Any) -> Any:
    try:
        parse(value)
    except InputError as error:
        raise refused(str(error)) from None
    return value


Expression = Annotated[
    str, AfterValidator(_expression), WithJsonSchema({"type": "string", "examples": ["rate(etcd_mvcc_put_total[5m]) > 100"]})
]
"""PromQL, as far as `sim.promql` goes."""


class Alert(Section):
    """A rule as Prometheus evaluates it: firing once its expression has held for a while."""

    expr: Expression = required("PromQL over the run's metrics; it holds where it has a value.")
    for_: Duration = field(0, "How long it has to hold before the alert fires.", alias="for")
    too_late: Expression | None = field(
        None, "PromQL that holds once what the alert should warn of has happened: the lead time is counted up to then."
    )
