"""The JSON Schema of a scenario file, so that an editor completes it and marks what is wrong.

It describes what a user may write (text with a unit, or a number), not what is stored. It never calls a section
incomplete: a file that extends another may give any part; `etcdsim check` says what is missing.
"""

from __future__ import annotations

from typing import Any, Final

from sim import data
from sim.scenario.device import DeviceProfile
from sim.scenario.limiters import LIMITERS
from sim.scenario.model import Scenario

Schema = dict[str, Any]

_DURATION: Final = r"(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d))+"
_NUMBER: Final = r"[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?"
_SIZE: Final = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*(B|[kKMGT]B|[KMGT]iB?)?"


def _text(pattern: str, *examples: str) -> Schema:
    return {"type": "string", "pattern": f"^({pattern})$", "examples": list(examples)}


def _words(*words: str) -> Schema:
    return {"enum": list(words)}


def _form(properties: Schema, *more: str) -> Schema:
    needed = [name for name in properties if name not in more]
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _shape(name: str) -> Schema:
    """The properties of one form of a distribution."""
    duration = _ref("Duration")
    return {
        "constant": {"constant": duration},
        "lognormal": {"median": duration, "p99": duration},
        "gamma": {"mean": duration, "sd": duration},
        "empirical": {
            "quantiles": {
                "type": "object",
                "patternProperties": {f"^({_NUMBER})\\s*%?$": duration},
                "additionalProperties": False,
                "examples": [{"0": "80us", "0.5": "118us", "0.99": "230us", "1": "15ms"}],
            }
        },
        "mixture": {"mixture": {"type": "array", "minItems": 1, "items": {"anyOf": []}}},
    }[name]


def _distribution() -> Schema:
    forms = ("constant", "lognormal", "gamma", "empirical")
    mixture = _shape("mixture")
    mixture["mixture"]["items"]["anyOf"] = [_form({"weight": _ref("Fraction"), **_shape(form)}) for form in forms]
    return {
        "description": "A duration (constant), {median, p99} (lognormal), {mean, sd} (gamma), {quantiles} or {mixture}.",
        "anyOf": [_ref("Duration"), *(_form(_shape(form)) for form in forms), _form(mixture)],
    }


def _quantities() -> dict[str, Schema]:
    zero_up = {"type": "number", "minimum": 0}
    above_zero = {"type": "number", "exclusiveMinimum": 0}
    duration = {
        "description": "A duration: text with a unit, or seconds.",
        "anyOf": [_text(_DURATION, "300ms", "5m", "1h30m"), zero_up],
    }
    size = {
        "description": "A size: text with a unit, or bytes.",
        "anyOf": [_text(_SIZE, "600B", "64MB", "2GiB"), zero_up],
    }
    rate = {
        "description": "A rate: text per time, or a number per second.",
        "anyOf": [_text(rf"{_NUMBER}\s*/\s*(s|min|m|h|d)", "27/s", "600/min"), above_zero],
    }
    none = _words("off", "never", "none")
    return {
        "Duration": duration,
        "DurationOrNever": {"description": "A duration, or never.", "anyOf": [_ref("Duration"), none]},
        "DurationOrAdaptive": {
            "description": "A duration, adaptive, or off.",
            "anyOf": [_ref("Duration"), _words("adaptive"), none],
        },
        "Size": size,
        "SizeOrOff": {"description": "A size, or off.", "anyOf": [_ref("Size"), none]},
        "Rate": rate,
        "RateOrOff": {"description": "A rate, or off.", "anyOf": [_ref("Rate"), none]},
        "Fraction": {
            "description": "A share: 12% or a number from 0 to 1.",
            "anyOf": [_text(rf"{_NUMBER}\s*%", "12%"), {"type": "number", "minimum": 0, "maximum": 1}],
        },
        "Bandwidth": {
            "description": "Bytes per second: text, or a number.",
            "anyOf": [_text(rf"{_SIZE}\s*/s", "200MB/s"), above_zero],
        },
        "Every": {
            "description": "An interval, or exp(mean) for exponential gaps.",
            "anyOf": [_ref("Duration"), _text(rf"exp\(\s*{_DURATION}\s*\)", "exp(157s)")],
        },
        "Value": {
            "description": "A figure's value: a number in its unit, or text with a unit.",
            "anyOf": [{"type": "number"}, _text(_DURATION, "1.8s"), _text(_SIZE, "2GiB")],
        },
        "Distribution": _distribution(),
        "Limiter": _limiter(),
        "Disk": {
            "description": "A device profile: a name, a path to a YAML file, or the profile itself.",
            "anyOf": [
                _words(*data.names("devices")),
                _text(r".*[/\\].*|.*\.ya?ml", "./my-disk.yaml"),
                _ref("DeviceProfile"),
            ],
        },
    }


def _limiter() -> Schema:
    """A limiter with its `kind`, or in short under the name of its kind."""
    short = {kind: {"anyOf": [_ref(section.__name__), {"type": "null"}]} for kind, section in LIMITERS.items()}
    short["max_of"]["anyOf"].append({"type": "array", "items": _ref("Limiter"), "minItems": 1})
    return {
        "description": "{kind: bucket, rate: 10, burst: 100}, or in short {bucket: {rate: 10, burst: 100}}; {max_of: [...]}.",
        "anyOf": [*(_ref(section.__name__) for section in LIMITERS.values()), *(_form({kind: of}) for kind, of in short.items())],
    }


def json_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a scenario file."""
    schema = Scenario.model_json_schema(by_alias=True)
    profile = DeviceProfile.model_json_schema(by_alias=True)
    definitions: dict[str, Schema] = {
        **schema.pop("$defs", {}),
        **profile.pop("$defs", {}),
        "DeviceProfile": profile,
        **{section.__name__: section.model_json_schema(by_alias=True) for section in LIMITERS.values()},
    }
    quantities = {name: {**of, "anyOf": [*of["anyOf"], {"type": "null"}]} for name, of in _quantities().items()}
    whole = {name: _for_editors(definition) for name, definition in definitions.items()} | quantities
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_for_editors(schema),
        "title": "etcdsim scenario",
        "$defs": dict(sorted(whole.items())),
        "type": "object",
    }


def _for_editors(value: Any) -> Any:
    """Quantities as references, unions open, nothing required; `null` where a mapping may stand: it means the default."""
    if isinstance(value, list):
        return [_for_editors(item) for item in value]
    if not isinstance(value, dict):
        return value
    made: Schema = {}
    for key, item in value.items():
        match key, item:
            case "x-ref", str():
                made["$ref"] = f"#/$defs/{item}"
            case "oneOf", list():
                made["anyOf"] = _for_editors(item)
            case ("discriminator", _) | ("required", list()) | ("title", str()) | ("default", dict()):
                continue
            case "type", "object":
                made["type"] = ["object", "null"]
            case _:
                made[key] = _for_editors(item)
    return made
