"""The JSON Schema describes what a user may write: our files pass, typical mistakes are marked, every quantity is explained."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sim import data
from sim.scenario import json_schema, load, scenarios, to_dict
from sim.scenario.yaml12 import read_file

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
NAMES = [name for name, _ in scenarios()]


def marked(document: dict[str, Any]) -> list[str]:
    """Paths of what an editor would mark."""
    return [".".join(str(part) for part in error.path) for error in VALIDATOR.iter_errors(json.loads(json.dumps(document)))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA)
    assert "x-ref" not in text
    assert '"oneOf"' not in text


@pytest.mark.parametrize("name", NAMES)
def test_our_scenarios_pass_as_written_and_as_resolved(name: str) -> None:
    assert marked(read_file(data.file("scenarios", name), name)) == []
    assert marked(to_dict(load(name))) == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"controlers": {}}, ""),
        ({"horizon": "5 m"}, "horizon"),
        ({"horizon": -1}, "horizon"),
        ({"etcd": {"quota": "2 gigs"}}, "etcd.quota"),
        ({"etcd": {"version": 3.5}}, "etcd.version"),
        ({"etcd": {"compaction": {"by": "nobody"}}}, "etcd.compaction.by"),
        ({"etcd": {"members": {"a": {"disk": "floppy"}}}}, "etcd.members.a.disk"),
        ({"etcd": {"costs": {"apply": {"median": "1ms"}}}}, "etcd.costs.apply"),
        ({"controllers": {"x": {"workers": 2.5}}}, "controllers.x.workers"),
        ({"controllers": {"x": {"stack": "controller-runtime-0.3"}}}, "controllers.x.stack"),
        ({"workloads": {"pod-churn": {"every": "exp(5 m)"}}}, "workloads.pod-churn"),
    ],
)
def test_a_mistake_is_marked(document: dict[str, Any], path: str) -> None:
    assert path in marked(document)


@pytest.mark.parametrize(
    "document",
    [
        {"horizon": 3600, "etcd": {"quota": "off", "members": {"a": None, "b": {"disk": "./my-disk.yaml"}}}},
        {"extends": "zero-value-leak", "objects": {"event": {"ttl": "never"}}},
        {"etcd": {"members": {"a": {"disk": {"fdatasync": {"quantiles": {"0": "80us", "99%": "1ms", "1": 0.002}}}}}}},
        {
            "etcd": {
                "costs": {"apply": {"mixture": [{"weight": "99%", "constant": 0.001}, {"weight": 0.01, "mean": "1s", "sd": "1s"}]}}
            }
        },
        {"controllers": {"x": {"client": {"qps": "600/min"}, "reconcile": {"every": "never"}}}},
        {"controllers": {"x": {"queue": {"limiter": {"kind": "max_of", "limiters": [{"kind": "bucket", "rate": 5}]}}}}},
        {"controllers": {"x": {"queue": {"limiter": {"max_of": [{"exponential": None}, {"bucket": {"rate": 5}}]}}}}},
        {"workloads": {"pod-churn": {"every": "exp(157s)"}, "look": {"kind": "lists", "every": 60, "from": "1h", "object": "pod"}}},
        {"etcd": {"preload": {"pod": 2.37e6}}},
    ],
)
def test_what_a_user_may_write_passes(document: dict[str, Any]) -> None:
    assert marked(document) == []


def test_every_key_is_described() -> None:
    def described(of: dict[str, Any]) -> bool:
        return "description" in of or ("$ref" in of and "description" in SCHEMA["$defs"][of["$ref"].rpartition("/")[2]])

    sections = {"": SCHEMA, **SCHEMA["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, of in section.get("properties", {}).items()
        if not described(of)
    ]
    assert silent == []
