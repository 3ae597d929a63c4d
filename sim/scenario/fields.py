"""Every field of a scenario with what it is: for `show`, for reviews, and to find what a default rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic.fields import FieldInfo

from sim.scenario.distribution import Constant, Empirical, Gamma, Lognormal, Mixture
from sim.scenario.model import Scenario
from sim.scenario.refusal import join, shown
from sim.scenario.section import Section

_ONE_VALUE: Final = (Constant, Empirical, Gamma, Lognormal, Mixture)
_REVIEW: Final = ("extends", "variants", "objectives", "provenance", "reference")


@dataclass(frozen=True, slots=True)
class Field:
    """One field. value: as a file writes it, with its unit; source: of the default, empty where there is none.

    unit: what a bare number counts, empty for counts and words; is_default: whether the value is the default.
    """

    path: str
    value: str
    unit: str
    description: str
    source: str
    is_default: bool


_UNITS: Final = {
    "Duration": "s", "DurationOrNever": "s", "Distribution": "s", "Every": "s", "Size": "B", "SizeOrOff": "B",
    "Bandwidth": "B/s", "Rate": "1/s", "RateOrOff": "1/s",
}  # fmt: skip


def fields(scenario: Scenario) -> list[Field]:
    """The fields of a scenario that decide what is simulated, in the order of `dump`; what is not set is left out."""
    return list(_fields(scenario, scenario.model_dump(mode="json", by_alias=True), ""))


def _fields(section: Section, data: dict[str, Any], above: str) -> Iterator[Field]:
    for name, info in type(section).model_fields.items():
        key = info.alias or name
        value, written = getattr(section, name), data[key]
        path = join(above, key)
        if (value is None and written is None) or (not above and key in _REVIEW):
            continue
        if isinstance(value, Section) and not isinstance(value, _ONE_VALUE):
            yield from _fields(value, written, path)
        elif isinstance(value, dict) and any(isinstance(item, Section) for item in value.values()):
            for item_name, item in value.items():
                yield from _fields(item, written[item_name], join(path, item_name))
        else:
            is_default = not info.is_required() and value == info.get_default(call_default_factory=True)
            yield Field(
                path=path,
                value=shown(written, longest=None)[1:-1],
                unit=_unit(info),
                description=info.description or "",
                source=_source(info) if is_default else "",
                is_default=is_default,
            )


def _source(info: FieldInfo) -> str:
    extra = info.json_schema_extra
    return str(extra.get("x-source", "")) if isinstance(extra, dict) else ""


def _unit(info: FieldInfo) -> str:
    for metadata in info.metadata:
        schema = getattr(metadata, "json_schema", None)
        if isinstance(schema, dict) and "x-ref" in schema:
            return _UNITS.get(schema["x-ref"], "")
    return ""
