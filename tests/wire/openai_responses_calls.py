"""Calls as a test writes them, and the official client's types and accumulator to hold what they become against."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import openai
import pydantic
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent, response_create_params

from ostinato.providers import Provider
from ostinato.wire.contract import Call
from ostinato.wire.openai_responses import WIRE

Json = dict[str, Any]

PROVIDER = Provider("openai", wire="openai_responses", base_url="https://api.openai.com/v1")
OTHER = Provider("openrouter", wire="openai_responses", base_url="https://openrouter.ai/api/v1")

PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
HELLO = {"role": "user", "content": "hello"}


def build(*messages: Any, drop: bool = False, provider: Provider = PROVIDER, **params: Any) -> Json:
    call = Call("gpt-5.1", list(messages) or [HELLO], params, drop_params=drop)
    return WIRE.build(call, provider).body


def items(*messages: Any, **params: Any) -> list[Json]:
    """Return the input that messages become."""
    made: list[Json] = build(*messages, **params)["input"]
    return made


def answer(*output: Json, **members: Any) -> Json:
    """Return the body of a response."""
    usage: Json = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    body: Json = {"id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "error": None}
    body |= {"incomplete_details": None, "model": "gpt-5.1", "output": list(output), "usage": usage}
    return {**body, **members}


def said(text: str, **members: Any) -> Json:
    part = {"type": "output_text", "text": text, "annotations": [], **members}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def called(arguments: str = '{"city":"Bern"}', call_id: str = "call_1", **members: Any) -> Json:
    item = {"id": f"fc_{call_id}", "type": "function_call", "status": "completed", "call_id": call_id}
    return {**item, "name": "weather", "arguments": arguments, **members}


def thought(text: str = "hm", item_id: str = "rs_1") -> Json:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": "gAAA"}


def folded(events: Any) -> Any:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold


def validate(body: Json) -> None:
    """Check a body against the types of the official client, and that it knows every member."""
    _consume(_requests().validate_python(body))

    assert body.keys() <= response_create_params.ResponseCreateParamsBase.__annotations__.keys()


@cache
def _requests() -> Any:
    return pydantic.TypeAdapter(response_create_params.ResponseCreateParamsNonStreaming)


def _consume(value: Any) -> None:
    """Read lazily checked iterables to their end, which is when they are checked."""
    if isinstance(value, Mapping):
        for item in value.values():
            _consume(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            _consume(item)


def official(events: list[Json]) -> tuple[Any, list[tuple[str, str]]]:
    """Return what the official client makes of a stream: the final response without nulls, the texts of its deltas."""
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=openai.omit, text_format=openai.omit)
    with warnings.catch_warnings():
        # Members of an item that the client does not know make its own copies complain.
        warnings.simplefilter("ignore", UserWarning)
        for event in events:
            state.handle_event(construct_type_unchecked(type_=cast("Any", ResponseStreamEvent), value=event))
    final = state._completed_response
    snapshot = state._ResponseStreamState__current_snapshot  # type: ignore[attr-defined]
    whole = None if final is None else without_nulls(final.to_dict(mode="json", warnings=False))
    return whole, texts(snapshot.to_dict(mode="json", warnings=False))


def texts(body: Json) -> list[tuple[str, str]]:
    """Return the words and the arguments of a response, the only deltas that the official client gathers."""
    found = []
    for item in body["output"]:
        if item["type"] == "message":
            found += [("text", part["text"]) for part in item["content"] if part["type"] == "output_text"]
        elif item["type"] == "function_call":
            found.append(("arguments", item["arguments"]))
    return found


def without_nulls(value: Any) -> Any:
    """Return a JSON value without nulls, and without what the client parses for its reader."""
    if isinstance(value, dict):
        return {
            name: without_nulls(item)
            for name, item in value.items()
            if item is not None and name not in {"parsed", "parsed_arguments"}
        }
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
