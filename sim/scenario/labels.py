"""Labels and selectors, in Kubernetes' equality form: `app=web,tier=front`; an empty selector selects everything."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from sim.scenario.refusal import refused, shown

_PAIR: Final = r"[A-Za-z0-9][A-Za-z0-9_./-]*=[A-Za-z0-9_.-]*"
_LABELS: Final = re.compile(rf"({_PAIR}(,{_PAIR})*)?")


def _read(value: Any) -> Any:
    text = value.replace(" ", "") if isinstance(value, str) else None
    if text is None or not _LABELS.fullmatch(text):
        raise refused(f"{shown(value)} is not a list of labels; write app=web or app=web,tier=front")
    return text


Labels = Annotated[
    str,
    BeforeValidator(_read),
    WithJsonSchema({"type": "string", "pattern": f"^{_LABELS.pattern}$", "examples": ["app=web"]}),
]


def selects(selector: str, labels: str) -> bool:
    """Whether an object with these labels matches the selector."""
    return set(filter(None, selector.split(","))) <= set(filter(None, labels.split(",")))
