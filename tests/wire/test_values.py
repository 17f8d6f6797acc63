from __future__ import annotations

import enum
from collections import OrderedDict
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import BadRequestError
from ostinato.records import Message
from ostinato.wire.values import MAX_DEPTH, check_json


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Exact(float):
    pass


class Model(pydantic.BaseModel):
    a: int
    b: str | None = None


def nested(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


recursive: dict[str, Any] = {}
recursive["self"] = [recursive]

WRONG = {
    "nan": (float("nan"), "value is nan"),
    "infinity": ({"a": [float("-inf")]}, "value.a[0] is -inf"),
    "bytes": ([b"x"], "value[0] is a bytes"),
    "a set": ({"a": {1}}, "value.a is a set"),
    "a decimal": (Decimal(1), "value is a Decimal"),
    "a uuid": (UUID(int=0), "value is a UUID"),
    "an object": ([object()], "value[0] is a object"),
    "a class": ([Model], "value[0] is a "),
    "a number as name": ({"a": {1: 2}}, "value.a has a name that is no str: 1"),
    "a surrogate": (["ok", "\ud800"], "value[1] holds a lone surrogate at character 0"),
    "a surrogate in a name": ({"a": {"\ud800": 1}}, "value.a holds a lone surrogate"),
    "a recursive object": (recursive, "or contains itself"),
    "too deep": (nested(MAX_DEPTH + 2), "nested more than 200 levels"),
    "deep in a tuple": ((1, ({"x": b""},)), "value[1][0].x is a bytes"),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_what_json_cannot_carry_is_an_error_that_names_the_place(value: Any, message: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_json(value, "value")
    assert message in str(caught.value)


PLAIN = {
    "a text enum": (Colour.RED, "red"),
    "an int enum": ({"a": Level.HIGH}, {"a": 3}),
    "a float of its own class": ([Exact(1.5)], [1.5]),
    "an ordered dict": (OrderedDict(a=1), {"a": 1}),
    "a mapping": ({"a": MappingProxyType({"b": Colour.RED})}, {"a": {"b": "red"}}),
    "a model": ([Model(a=1)], [{"a": 1}]),
    "a tuple": ({"a": (1, Colour.RED)}, {"a": [1, "red"]}),
    "a record": (Message(content="x"), {"content": "x"}),
}


@pytest.mark.parametrize(("value", "expected"), PLAIN.values(), ids=PLAIN)
def test_models_enums_and_the_like_become_plain_values(value: Any, expected: Any) -> None:
    checked = check_json(value, "value")

    assert checked == expected
    assert msgspec.json.decode(msgspec.json.encode(checked)) == expected


def test_a_value_that_is_replaced_leaves_the_original_and_shares_the_rest() -> None:
    kept = {"deep": ["x"]}
    given_: dict[str, Any] = {"kept": kept, "list": [Colour.RED, kept]}

    checked = check_json(given_, "value")

    assert checked == {"kept": kept, "list": ["red", kept]}
    assert given_["list"][0] is Colour.RED
    assert checked["kept"] is kept
    assert checked["list"][1] is kept


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(json_values)
def test_plain_json_is_returned_as_it_is(value: Any) -> None:
    assert check_json(value, "value") is value


def test_the_deepest_allowed_nesting_passes() -> None:
    value = nested(MAX_DEPTH)

    assert check_json(value, "value") is value
