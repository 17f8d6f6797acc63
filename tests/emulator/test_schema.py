"""What the model writes where a schema asks for JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.testing.emulator.pattern import matching
from ostinato.testing.emulator.schema import instance

SEED = bytes(32)

TREE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["value", "next", "children"],
}


def satisfies(value: Any, schema: Any) -> bool:
    """Check what the schemas below say: a small validator of our own, beside the writer that it judges."""
    kinds: dict[str, type[Any]] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(satisfies(value, branch) for branch in schema["anyOf"])
    if schema["type"] == "null":
        return value is None
    if type(value) is not kinds[schema["type"]]:
        return False
    match schema["type"]:
        case "object":
            return set(value) == set(schema["properties"]) and all(
                satisfies(item, schema["properties"][name]) for name, item in value.items()
            )
        case "array":
            return schema["minItems"] <= len(value) <= schema["maxItems"] and all(
                satisfies(item, schema["items"]) for item in value
            )
        case "string":
            return bool(schema["minLength"] <= len(value) <= schema["maxLength"])
        case "integer":
            return bool(schema["minimum"] <= value <= schema["maximum"])
    return True


def bounded(low: str, high: str, kind: str) -> st.SearchStrategy[dict[str, Any]]:
    pairs = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)
    return pairs.map(lambda pair: {"type": kind, low: pair[0], high: pair[1]})


LEAVES = st.one_of(
    bounded("minLength", "maxLength", "string"),
    bounded("minimum", "maximum", "integer"),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(st.integers() | st.text(), min_size=1).map(lambda values: {"enum": values}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=5), inner, max_size=3).map(
            lambda named: {"type": "object", "properties": named, "required": list(named)}
        ),
        inner.map(lambda items: {"type": "array", "items": items, "minItems": 1, "maxItems": 2}),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(SCHEMAS, st.binary(min_size=32, max_size=32))
def test_an_instance_satisfies_its_schema_and_is_the_same_for_the_same_seed(schema: Any, seed: bytes) -> None:
    written = instance(schema, seed)

    assert satisfies(written, schema)
    assert instance(schema, seed) == written


def test_a_recursive_schema_ends() -> None:
    written = instance(TREE, SEED)

    assert len(json.dumps(written)) < 5000
    assert list(written) == ["value", "next", "children"]


def test_what_is_not_required_is_left_out_further_down() -> None:
    schema = {"type": "object", "properties": {"again": {"$ref": "#"}, "also": {"type": ["null", "string"]}}}

    written = instance(schema, SEED)
    depth = 0
    while "again" in written:
        written, depth = written["again"], depth + 1

    assert depth == 4
    assert written == {}


def test_a_schema_without_an_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="without end"):
        instance({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, SEED)
    with pytest.raises(ValueError, match="without end"):
        instance({"$ref": "#"}, SEED)


def test_references_are_followed_and_a_dangling_one_is_an_error() -> None:
    schema = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 5}}}

    assert instance(schema, SEED) == 5
    with pytest.raises(ValueError, match="nowhere"):
        instance({"$ref": "#/$defs/c"}, SEED)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 10}, 10),
        ({"type": "integer", "exclusiveMaximum": 5}, 4),
        ({"type": "integer", "multipleOf": 4}, 4),
        ({"type": "integer", "exclusiveMinimum": 8, "multipleOf": 4}, 12),
        ({"type": "number", "minimum": 0.1, "maximum": 0.2}, pytest.approx(0.15, abs=0.051)),
        ({"type": ["null", "boolean"]}, True),
        ({"allOf": [{"type": "object", "properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
         {"a": 1, "b": 2}),
        ({"oneOf": [{"type": "null"}, {"const": 3}]}, 3),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False}, [1, 2]),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"type": "object"}, {}),
    ],
)  # fmt: skip
def test_what_structured_outputs_allow_is_understood(schema: Any, expected: Any) -> None:
    assert instance(schema, SEED) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{2}-\d{4}$",
        r"^\+?[0-9]{7,15}$",
        r"^(foo|bar)+[^a-z]$",
        r"^[\w.%+-]+@[a-z0-9.-]+\.[a-z]{2,}$",
        r"^(?:#[0-9a-f]{6})$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(\.\d+)?Z?$",
        r"a?b*c+d{2,3}",
        r"^[]a]\\\/$",
        r"^$",
    ],
)
def test_a_text_is_found_for_a_pattern(pattern: str) -> None:
    assert re.search(pattern, instance({"type": "string", "pattern": pattern}, SEED))


def test_a_pattern_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(ValueError, match="script the answer"):
        matching(r"^(?=.*\d)(?=.*[a-z]).{4}$", "word")
