from __future__ import annotations

import re
from typing import Any

import pytest

from ostinato.errors import APIResponseError, AuthenticationError, BadRequestError
from ostinato.wire.openai_embeddings import build_embeddings, split_embeddings
from tests.corpus import OPENAI_SPEAKING, open_records


def test_a_request_holds_the_inputs_and_the_parameters() -> None:
    request = build_embeddings("m", ["a", [1, 2]], {"dimensions": 3, "user": None, "extra_body": {"x": 1}})

    assert request.path == "/embeddings"
    assert request.body == {"model": "m", "input": ["a", [1, 2]], "dimensions": 3, "x": 1}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "at least one"),
        ("a", "at least one"),
        (["a", None], "input[1] must be a text"),
        ([[]], "input[0] must be a text"),
        ([[1, "a"]], "input[0] must be a text"),
        ([[True]], "input[0] must be a text"),
        (["\ud800"], "input[0] holds a lone surrogate"),
    ],
)
def test_inputs_that_have_no_embedding_are_an_error_that_names_the_place(inputs: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(message)):
        build_embeddings("m", inputs, {})


@pytest.mark.parametrize("params", [{"dimensions": float("nan")}, {"extra_body": 1}, {"extra_body": {"x": {1}}}])
def test_parameters_that_cannot_be_sent_are_an_error(params: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        build_embeddings("m", ["a"], params)


def items(*indexes: Any) -> dict[str, Any]:
    return {"data": [{"object": "embedding", "index": index, "embedding": [float(index)]} for index in indexes]}


def test_items_are_returned_in_the_order_of_the_inputs() -> None:
    assert [item["embedding"] for item in split_embeddings(items(2, 0, 1))] == [[0.0], [1.0], [2.0]]


def test_items_without_an_index_are_in_order() -> None:
    assert split_embeddings({"data": [{"embedding": "aa"}, {"embedding": "bb"}]})[1]["embedding"] == "bb"


@pytest.mark.parametrize(
    "body",
    [{}, [], {"data": {}}, {"data": [{"index": 0}]}, {"data": ["x"]}, items(0, 0), items(1), items(0, 2)],
    ids=str,
)
def test_an_answer_that_does_not_number_its_inputs_is_an_error(body: Any) -> None:
    with pytest.raises(APIResponseError):
        split_embeddings(body)


def test_an_error_inside_a_200_is_raised() -> None:
    with pytest.raises(AuthenticationError) as caught:
        split_embeddings({"error": {"message": "m", "code": "invalid_api_key"}}, {"x-request-id": "r"})
    assert caught.value.request_id == "r"


def test_recorded_requests_and_answers_go_through_unchanged() -> None:
    records = [record for record in open_records(api="embeddings") if record["provider"] in OPENAI_SPEAKING]
    for record in records:
        request, response = record["request"]["json"], record["response"]
        inputs = request["input"]
        several = inputs if isinstance(inputs, list) and not isinstance(inputs[0], int) else [inputs]
        rest = {name: value for name, value in request.items() if name not in {"model", "input"}}

        built = build_embeddings(request["model"], several, rest)

        assert built.body == {**request, "input": several}, record["id"]
        if response["status"] == 200:
            data = sorted(response["json"]["data"], key=lambda item: item["index"])
            assert split_embeddings(response["json"]) == data, record["id"]
    assert records
