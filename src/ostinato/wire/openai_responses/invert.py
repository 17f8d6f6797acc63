"""The wire from the other side: a Responses request, read as a call.

What chat's shapes can say is said in them, so that any vendor can answer; the rest stays the item, the part or the
parameter it was, which this wire sends on as it is. Not kept: `status` and `id` of what the user or a tool said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostinato.errors import APIResponseError, BadRequestError
from ostinato.wire.contract import Built, Call, Json
from ostinato.wire.openai_responses.items import answer_items, is_item
from ostinato.wire.openai_responses.parts import chat_parts
from ostinato.wire.openai_responses.render import Renderer, render, render_error
from ostinato.wire.openai_responses.request import PATH
from ostinato.wire.openai_responses.response import message_of
from ostinato.wire.openai_responses.settings import LOGPROBS
from ostinato.wire.openai_responses.thoughts import thinking_block
from ostinato.wire.openai_responses.tools import nested_choice, nested_tool
from ostinato.wire.values import Flaw, kind_of

__all__ = ["Renderer", "pass_on", "read_request", "render", "render_error"]

_APART = frozenset({"input", "model", "stream"})


def read_request(body: Json) -> Call:
    """Return the call that a request asks for; whether it wants a stream is left to its `stream`.

    Raises: BadRequestError: it is no request for a response; the message names the place.
    """
    model, items = body.get("model"), body.get("input")
    if not isinstance(model, str) or not model:
        raise BadRequestError(f"model must be a str, not {kind_of(model)}")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items:
        raise BadRequestError("input must be a str or a list of at least one item")
    params = {name: value for name, value in body.items() if name not in _APART and value is not None}
    messages: list[Json] = []
    if isinstance(params.get("instructions"), str):
        messages.append({"role": "system", "content": params.pop("instructions")})
    reader = _Reader(messages)
    for index, item in enumerate(items):
        reader.take(item, f"input[{index}]")
    reader.end_answer()
    _read_params(params)
    return Call(model, messages, params)


def pass_on(body: Json, model: str, headers: Mapping[str, str]) -> Built:
    """Return a request as a vendor with this API is to get it: untouched but for the model's name."""
    passed = {name: value for name, value in body.items() if name != "stream"} | {"model": model}
    return Built(PATH, passed, headers)


class _Reader:
    """The messages so far, and the items of the answer that is being read."""

    def __init__(self, messages: list[Json]) -> None:
        self._messages = messages
        self._answer: list[Json] = []
        self._spoke = False
        self._place = ""
        self._custom: set[str] = set()

    def take(self, item: Any, place: str) -> None:
        if not isinstance(item, dict):
            raise BadRequestError(f"{place} must be an object, not {kind_of(item)}")
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") != "assistant":
            self.end_answer()
            self._messages.append(self._words(item, place))
        elif kind == "function_call_output" or (kind == "custom_tool_call_output" and self._called(item)):
            self.end_answer()
            self._messages.append(_result(item, place))
        elif is_item(item):
            self.end_answer()
            self._messages.append({"role": "user", "content": [item]})
        else:
            self._take_answer(item, kind, place)

    def _called(self, item: Json) -> bool:
        call_id = item.get("call_id")
        return isinstance(call_id, str) and call_id in self._custom

    def _take_answer(self, item: Json, kind: Any, place: str) -> None:
        """Take an item of the assistant's. Each of its messages begins a message of chat's."""
        if kind == "message" and self._spoke:
            self.end_answer()
        if kind != "reasoning":
            self._spoke = True
        if kind == "custom_tool_call" and isinstance(item.get("call_id"), str):
            self._custom.add(item["call_id"])
        self._place = self._place or place
        self._answer.append(item)

    def end_answer(self) -> None:
        """Make a message of the assistant's items, if there are any."""
        items, place = self._answer, self._place
        if not items:
            return
        self._answer, self._spoke, self._place = [], False, ""
        blocks = [block for item in items if (block := thinking_block(item)) is not None]
        own = [item for item in items if thinking_block(item) is None] if blocks else items
        try:
            message = message_of(own)
            message.pop("annotations", None)
            if blocks:
                message["thinking_blocks"] = blocks
            kept = message.pop("output_items", None)
            if kept is not None and answer_items(message) != kept:
                message["output_items"] = kept
        except (APIResponseError, Flaw):
            raise BadRequestError(f"{place}: an item lacks what its type needs") from None
        self._messages.append(message)

    def _words(self, item: Json, place: str) -> Json:
        role, content = item.get("role"), item.get("content")
        if role not in ("user", "system", "developer"):
            raise BadRequestError(f"{place}.role must be user, system, developer or assistant, not {role!r}")
        if isinstance(content, list):
            content = chat_parts(content)
        elif not isinstance(content, str):
            raise BadRequestError(f"{place}.content must be a str or a list of parts, not {kind_of(content)}")
        elif role == "system" and not self._messages:
            # A text alone at the start would become the instructions.
            content = [{"type": "text", "text": content}]
        return {"role": role, "content": content}


def _result(item: Json, place: str) -> Json:
    call_id, output = item.get("call_id"), item.get("output")
    if not isinstance(call_id, str) or not call_id:
        raise BadRequestError(f"{place}.call_id must be the id of a call, not {kind_of(call_id)}")
    if isinstance(output, list):
        output = chat_parts(output)
    elif not isinstance(output, str):
        raise BadRequestError(f"{place}.output must be a str or a list of parts, not {kind_of(output)}")
    return {"role": "tool", "tool_call_id": call_id, "content": output}


def _read_params(params: Json) -> None:
    """Read the parameters in chat's words, in place."""
    if "max_output_tokens" in params:
        params["max_tokens"] = params.pop("max_output_tokens")
    if isinstance(tools := params.get("tools"), list):
        params["tools"] = [nested_tool(tool) for tool in tools]
    if "tool_choice" in params:
        params["tool_choice"] = nested_choice(params["tool_choice"])
    if isinstance(text := params.get("text"), dict):
        _read_text(params, dict(text))
    reasoning = params.get("reasoning")
    if isinstance(reasoning, dict) and isinstance(reasoning.get("effort"), str):
        params["reasoning_effort"] = reasoning["effort"]
        _keep(params, "reasoning", {name: value for name, value in reasoning.items() if name != "effort"})
    include = params.get("include")
    if isinstance(include, list) and LOGPROBS in include:
        params["logprobs"] = True
        _keep(params, "include", [item for item in include if item != LOGPROBS])


def _read_text(params: Json, text: Json) -> None:
    wanted = text.get("format")
    if isinstance(wanted, dict):
        del text["format"]
        schema = {name: value for name, value in wanted.items() if name != "type"}
        params["response_format"] = (
            {"type": "json_schema", "json_schema": schema} if wanted.get("type") == "json_schema" else wanted
        )
    if isinstance(text.get("verbosity"), str):
        params["verbosity"] = text.pop("verbosity")
    _keep(params, "text", text)


def _keep(params: Json, name: str, rest: Any) -> None:
    if rest:
        params[name] = rest
    else:
        params.pop(name, None)
