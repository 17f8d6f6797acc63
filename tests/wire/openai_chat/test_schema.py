from __future__ import annotations

from typing import Any

import pydantic
import pytest
from openai.lib._parsing import type_to_response_format_param

from ostinato.errors import BadRequestError
from ostinato.wire.openai_chat.schema import strict_format


class Unit(pydantic.BaseModel):
    name: str
    note: str | None = None


class Weather(pydantic.BaseModel):
    city: str = pydantic.Field(description="where")
    unit: Unit = pydantic.Field(description="of the temperature")
    other: Unit | None = None
    days: list[Unit] = []
    either: int | Unit = 1


class Tree(pydantic.BaseModel):
    label: str
    branches: list[Tree] = []


class Chain(pydantic.BaseModel):
    following: Chain | None = None
    last: Chain = pydantic.Field(description="a described reference to itself")


@pytest.mark.parametrize("model", [Unit, Weather, Tree])
def test_a_model_becomes_the_format_that_the_official_client_makes_of_it(model: Any) -> None:
    assert strict_format(model) == type_to_response_format_param(model)


def test_a_described_reference_back_to_itself_is_opened_once_and_ends() -> None:
    schema = strict_format(Chain)["json_schema"]["schema"]

    inner = schema["$defs"]["Chain"]["properties"]["last"]

    assert inner["description"] == "a described reference to itself"
    assert inner["properties"]["last"] == {"$ref": "#/$defs/Chain"}


def test_a_class_that_is_no_model_is_an_error() -> None:
    with pytest.raises(BadRequestError, match="'dict'"):
        strict_format(dict)
