"""Every recorded request of OpenAI's chat, built anew."""

from __future__ import annotations

import copy
from typing import Any

from ostinato.errors import BadRequestError
from ostinato.providers import PROVIDERS
from ostinato.wire.contract import Call
from tests.wire.openai_chat.recorded import WIRE, chats


def unmarked(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request without its cache marks, at the places where they may stand."""
    request = copy.deepcopy(request)
    for message in request["messages"]:
        message.pop("cache_control", None)
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            part.pop("cache_control", None)
        for tool_call in message.get("tool_calls") or ():
            tool_call.pop("cache_control", None)
    for tool in request.get("tools") or ():
        tool.pop("cache_control", None)
        tool.get("function", {}).pop("cache_control", None)
    request.pop("stream", None)
    return request


def marks_lowered(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request with the marks of messages on their texts."""
    request = copy.deepcopy(request)
    for message in request["messages"]:
        if "cache_control" in message:
            mark = message.pop("cache_control")
            message["content"] = [{"type": "text", "text": message["content"], "cache_control": mark}]
    request.pop("stream", None)
    return request


def test_every_recorded_request_is_built_as_it_was_sent() -> None:
    for record in chats() + chats(failed=True):
        request = copy.deepcopy(record["request"]["json"])
        params = {name: value for name, value in request.items() if name not in {"model", "messages"}}
        seller = "openrouter" if record["request"]["path"].startswith("/api/v1") else "openai_compatible"
        provider = {"openai": "openai", "deepseek": "deepseek"}.get(record["provider"], seller)
        call = Call(request.get("model", "named in the path"), request["messages"], params)
        try:
            body = WIRE.build(call, PROVIDERS[provider]).body
        except BadRequestError:
            # What cannot be built the vendor has refused as well.
            assert record["response"]["status"] in {400, 422}, record["id"]
            continue
        lowered = provider == "openrouter" and call.model.startswith("anthropic/")
        sent = {"model": call.model, **(marks_lowered(request) if lowered else unmarked(request))}
        expected = {name: value for name, value in sent.items() if value is not None}
        if provider == "openai" and "max_completion_tokens" not in request and "max_completion_tokens" in body:
            expected["max_completion_tokens"] = expected.pop("max_tokens")

        assert body == expected, record["id"]
        assert request == record["request"]["json"], record["id"]
