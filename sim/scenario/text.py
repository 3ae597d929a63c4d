"""A scenario as YAML text: whole, with units, defaults included; `load` reads it back to the same scenario."""

from __future__ import annotations

import io
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from sim.scenario.model import Scenario

_FLOW_WIDTH: Final = 100


def dump(scenario: Scenario) -> str:
    """The whole scenario as YAML, with units; what is not set is left out, unless empty is not what it is by default."""
    data = scenario.model_dump(by_alias=True)
    full = {name for name, field in type(scenario).model_fields.items() if field.get_default(call_default_factory=True)}
    data["variants"] = dict(scenario.variants)
    yaml = YAML()
    yaml.width = 140
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(_laid_out({key: value for key, value in data.items() if key in full or value not in ({}, "")}, top=True), out)
    return out.getvalue()


def _laid_out(value: Any, top: bool = False) -> Any:
    """Block style, with the small mappings and lists at the ends of branches on one line."""
    if isinstance(value, dict):
        mapping = CommentedMap({key: _laid_out(item) for key, item in value.items() if item is not None})
        if not top and _small(mapping):
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq([_laid_out(item) for item in value])
        if _small(sequence):
            sequence.fa.set_flow_style()
        return sequence
    return value


def _small(value: CommentedMap | CommentedSeq) -> bool:
    items = list(value.values() if isinstance(value, CommentedMap) else value)
    if any(isinstance(item, CommentedMap | CommentedSeq) and not item.fa.flow_style() for item in items):
        return False
    return len(str(dict(value) if isinstance(value, CommentedMap) else list(value))) < _FLOW_WIDTH
