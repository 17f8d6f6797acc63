"""The mistakes that Bedrock refuses, and what recorded traffic shows it takes."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httpx2
import pytest

from ostinato.testing.emulator import Emulator
from ostinato.testing.emulator.anthropic.prompt import read_prompt
from ostinato.testing.emulator.bedrock.check import Refused, check_converse
from ostinato.testing.emulator.bedrock.converse import read_converse
from ostinato.testing.emulator.bedrock.invoke import read_invoke
from tests.corpus import open_records

MODEL = "eu.anthropic.claude-sonnet-4-6"
HI: list[Any] = [{"role": "user", "content": [{"text": "hi"}]}]
POINT = {"cachePoint": {"type": "default"}}
HOUR = {"cachePoint": {"type": "default", "ttl": "1h"}}
TOOL = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
USE = {"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "r"}]}}
DOCUMENT = {"document": {"name": "a", "format": "txt", "source": {"bytes": "eA=="}}}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


CONVERSE: dict[str, tuple[dict[str, Any], str]] = {
    "a parameter of another vendor": ({"max_tokens": 7}, "#: extraneous key [max_tokens] is not permitted"),
    "no message": ({"messages": []}, "A conversation must start with a user message."),
    "an assistant first": ({"messages": [assistant({"text": "x"})]}, "A conversation must start with a user message."),
    "two users in a row": ({"messages": HI * 2}, "A conversation must alternate between user and assistant roles."),
    "an unknown role": ({"messages": [{"role": "tool", "content": [{"text": "x"}]}]}, "#/messages/0/role"),
    "empty content": ({"messages": [user()]}, "The content field in the Message object at messages.0 is empty."),
    "content that is no list": ({"messages": [{"role": "user", "content": "x"}]}, "The content field in the Message"),
    "an empty text": ({"messages": [user({"text": ""})]}, "at messages.0.content.0 is blank"),
    "a block of two kinds": ({"messages": [user({"text": "x", **POINT})]}, "exactly one of the members"),
    "a document alone": ({"messages": [user(DOCUMENT)]}, "A text block must be included"),
    "a document with a dot in its name": (
        {"messages": [user({"text": "x"}, {"document": {**DOCUMENT["document"], "name": "a.txt"}})]},
        "The document file name can only contain alphanumeric characters",
    ),
    "a tool's input as text": (
        {"messages": [*HI, assistant({"toolUse": {**USE["toolUse"], "input": "{}"}}), user(RESULT)]},
        "messages.1.content.0.toolUse.input is invalid",
    ),
    "a call without its result": (
        {"messages": [*HI, assistant(USE), *HI], "toolConfig": {"tools": [TOOL]}},
        "Expected toolResult blocks at messages.2.content for the following Ids: tooluse_1",
    ),
    "a result without its call": (
        {"messages": [user(RESULT)], "toolConfig": {"tools": [TOOL]}},
        "The number of toolResult blocks at messages.0.content exceeds",
    ),
    "calls without tools": (
        {"messages": [*HI, assistant(USE), user(RESULT)]},
        "The toolConfig field must be defined",
    ),
    "no tool in a list of tools": ({"toolConfig": {"tools": []}}, "The value at toolConfig.tools"),
    "a schema of a text": (
        {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "string"}}}}]}},
        "must be one of the following: object",
    ),
    "a choice of another tool": (
        {"toolConfig": {"tools": [TOOL], "toolChoice": {"tool": {"name": "g"}}}},
        "is not among toolConfig.tools",
    ),
    "no tokens": ({"inferenceConfig": {"maxTokens": 0}}, "inferenceConfig.maxTokens"),
    "a schema that is no text": (
        {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": {}}}}}},
        "is not a JSON object in a string",
    ),
    "five checkpoints": ({"system": [{"text": "x"}, *[POINT] * 5]}, "A maximum of 4 cachePoint blocks"),
    "a checkpoint of another type": ({"system": [{"text": "x"}, {"cachePoint": {"type": "ephemeral"}}]}, "cachePoint"),
    "an hour behind five minutes": ({"system": [{"text": "x"}, POINT, HOUR]}, "must not come after"),
}
INVOKE: dict[str, tuple[dict[str, Any], str]] = {
    "no version": ({"anthropic_version": None}, "#: required key [anthropic_version] not found"),
    "a model": ({"model": "x"}, "#: extraneous key [model] is not permitted"),
    "a stream": ({"stream": True}, "#: extraneous key [stream] is not permitted"),
    "automatic caching": ({"cache_control": {"type": "ephemeral"}}, "#: extraneous key [cache_control]"),
    "no max_tokens": ({"max_tokens": None}, "max_tokens: Field required"),
    "an image by its URL": (
        {"messages": [user({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})]},
        "messages.0.content.0.image.source.base64: Field required",
    ),
}


def refused(http: httpx2.Client, emulator: Emulator, operation: str, body: Any, model: str = MODEL) -> str:
    """Return the words with which a request was refused."""
    url = f"{emulator.bedrock_url}/model/{model}/{operation}"
    answer = http.post(url, json=body, headers={"authorization": "Bearer k"})

    assert (answer.status_code, answer.headers["x-amzn-errortype"].partition(":")[0]) == (400, "ValidationException")
    assert answer.json().keys() == {"message"}
    return str(answer.json()["message"])


@pytest.mark.parametrize(("change", "words"), CONVERSE.values(), ids=CONVERSE)
def test_a_mistake_in_converse_is_a_validation_error(
    http: httpx2.Client, emulator: Emulator, change: dict[str, Any], words: str
) -> None:
    assert words in refused(http, emulator, "converse", {"messages": HI, **change})


@pytest.mark.parametrize(("change", "words"), INVOKE.values(), ids=INVOKE)
def test_a_mistake_in_an_invoked_body_is_a_validation_error(
    http: httpx2.Client, emulator: Emulator, change: dict[str, Any], words: str
) -> None:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hi"}],
        **change,
    }
    body = {name: value for name, value in body.items() if value is not None}

    assert words in refused(http, emulator, "invoke", body)


def test_another_body_than_anthropics_is_sent_to_converse(http: httpx2.Client, emulator: Emulator) -> None:
    assert "through Converse" in refused(http, emulator, "invoke", {"inputText": "hi"}, "amazon.titan-text-express-v1")


def test_a_count_is_of_one_body(http: httpx2.Client, emulator: Emulator) -> None:
    words = refused(http, emulator, "count-tokens", {"input": {}}, "anthropic.claude-sonnet-4-6")

    assert words == "Exactly one of converse and invokeModel is required in input."


IN_A_ROW = "brc-convs-46e557e427"
"""Two users in a row, which a guardrail stopped before the model saw them."""


def test_every_recorded_request_that_was_answered_is_taken() -> None:
    refusals = {}
    for record in [*open_records(provider="bedrock-converse"), *open_records(provider="bedrock-invoke")]:
        body = record["request"]["json"]
        if record["response"]["status"] != 200 or not is_spoken(record):
            continue
        model = unquote(record["request"]["path"].removeprefix("/model/").rpartition("/")[0])
        try:
            if record["api"].startswith("converse"):
                check_converse(body)
                read_prompt(read_converse(model, body))
            else:
                read_prompt(read_invoke(model, body))
        except Refused as exc:
            refusals[record["id"]] = str(exc)

    assert refusals.keys() == {IN_A_ROW}


def is_spoken(record: dict[str, Any]) -> bool:
    """Return whether the emulator speaks the wire of a recorded request."""
    if record["api"] == "count-tokens" or "non-anthropic-body" in record["tags"]:
        return False
    # The oldest Claude completed a text; that is no Messages body.
    return "prompt" not in record["request"]["json"]
