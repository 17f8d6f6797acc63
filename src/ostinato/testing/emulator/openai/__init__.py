"""OpenAI's wires at its own addresses, with and without `/v1`, and at Azure's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.testing.emulator.calls import RecordedCall, mask
from ostinato.testing.emulator.dialect import Answer, World
from ostinato.testing.emulator.model import digest
from ostinato.testing.emulator.openai import models, responses
from ostinato.testing.emulator.openai.check import Refused, check_chat
from ostinato.testing.emulator.openai.embeddings import embed
from ostinato.testing.emulator.openai.prompt import count_prompt_tokens, read_prompt, use_cache
from ostinato.testing.emulator.openai.render import envelope, render_body, render_events, usage_of
from ostinato.testing.emulator.openai.responses_check import check_responses
from ostinato.testing.emulator.openai.responses_read import as_chat
from ostinato.testing.emulator.openai.turn import compose
from ostinato.testing.emulator.script import Reply

__all__ = ["OpenAI", "count_prompt_tokens"]

Json = dict[str, Any]

_DONE = b"data: [DONE]\n\n"
_EDGE = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
_ERRORS: dict[int, tuple[str, str, str | None]] = {
    400: ("Invalid request.", "invalid_request_error", None),
    403: ("You are not allowed to sample from this model", "invalid_request_error", None),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    413: ("Request body is too large.", "invalid_request_error", None),
    429: ("Rate limit reached on requests per min (RPM): Limit 500, Used 500.", "requests", "rate_limit_exceeded"),
}
_SERVER_ERROR = ("The server had an error while processing your request.", "server_error", None)


class OpenAI:
    """OpenAI's dialect."""

    name = "openai"

    def owns(self, call: RecordedCall) -> bool:
        route = _route(call.path)
        return route in _METHODS or route.startswith("models/")

    def key(self, call: RecordedCall) -> str | None:
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key:
            return key
        return call.headers.get("api-key") if _AZURE.match(call.path) else None

    def answer(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        route = _route(call.path)
        if call.method != _METHODS.get(route, "GET"):
            return self.error(call, 405, f"Invalid method for URL ({call.method} {call.path})")
        try:
            match route:
                case "chat/completions":
                    return self._chat(call, reply, world)
                case "responses":
                    return self._responses(call, reply, world)
                case "embeddings":
                    return self._embeddings(call, reply, world)
                case _:
                    return self._models(call, route, world)
        except Refused as refused:
            return self.error(call, refused.status, refused.error)

    def error(self, call: RecordedCall, status: int, error: str | Mapping[str, Any] | None = None) -> Answer:
        if status == 503 and error is None:
            # It is the edge, not the API, that answers this: plain text, as recorded.
            return Answer(503, {"content-type": "text/plain"}, _EDGE.encode())
        kind = "application/json" if status == 400 else "application/json; charset=utf-8"
        headers = {"content-type": kind, "x-request-id": _request_id(call)}
        return Answer(status, headers, msgspec.json.encode({"error": self._error_object(call, status, error)}))

    def frame(self, event: Mapping[str, Any]) -> bytes:
        # Events of a response name themselves; chunks of chat do not.
        name = event.get("type")
        head = f"event: {name}\n".encode() if isinstance(name, str) else b""
        return head + b"data: " + msgspec.json.encode(event) + b"\n\n"

    def _error_object(self, call: RecordedCall, status: int, error: str | Mapping[str, Any] | None) -> Json:
        if status == 401:
            message, kind, code = self._unauthorised(call)
        else:
            usual = _SERVER_ERROR if status >= 500 else ("Request refused.", "invalid_request_error", None)
            message, kind, code = _ERRORS.get(status, usual)
        said = {"message": message, "type": kind, "param": None, "code": code}
        if isinstance(error, str):
            # Our own words for a route that is not there must not carry the code for a model that is not.
            return {**said, "message": error, "code": None if status == 404 else code}
        return {**said, **(error or {})}

    def _unauthorised(self, call: RecordedCall) -> tuple[str, str, str | None]:
        key = self.key(call)
        if key is None:
            return "You didn't provide an API key.", "invalid_request_error", None
        where = "You can find your API key at https://platform.openai.com/account/api-keys."
        return f"Incorrect API key provided: {mask(key)}. {where}", "invalid_request_error", "invalid_api_key"

    # Routes.

    def _chat(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        body = call.body
        check_chat(body)
        _check_exists(body["model"], world)
        prompt = read_prompt(body)
        cached = use_cache(prompt, body, self.key(call) or "", world.prompt_cache)
        turn = compose(body, reply, call.number)
        usage = {**usage_of(turn, prompt.tokens, cached.read, cached.written), **(reply.usage or {})}
        env = envelope(body, call.number, world.now())
        headers = _headers(call, "text/event-stream; charset=utf-8" if body.get("stream") else "application/json")
        if not body.get("stream"):
            sent = msgspec.json.encode(render_body(env, turn, body, usage))
            return Answer(reply.status or 200, headers, sent, usage=usage, begin=cached.begin)
        events = [self.frame(event) for event in render_events(env, turn, body, usage)]
        if reply.error_after_events is None:
            events.append(_DONE)
        else:
            failure = {"error": self._error_object(call, reply.status or 500, reply.error)}
            events[reply.error_after_events :] = [self.frame(failure)]
        return Answer(reply.status or 200, headers, events=events, usage=usage, begin=cached.begin)

    def _responses(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        body = call.body
        check_responses(body)
        if world.models is not None and body["model"] not in world.models:
            raise Refused(f"The requested model '{body['model']}' does not exist.", "model", "model_not_found")
        chat = as_chat(body)
        prompt = read_prompt(chat)
        cached = use_cache(prompt, chat, self.key(call) or "", world.prompt_cache)
        chat["tools"] = [tool for tool in chat.get("tools", ()) if tool["type"] in {"function", "custom"}]
        turn = compose(chat, reply, call.number)
        usage = {**responses.usage_of(turn, prompt.tokens, cached), **(reply.usage or {})}
        answered = responses.Answered(body, turn, usage, call.number, world.now())
        headers = _headers(call, "text/event-stream; charset=utf-8" if body.get("stream") else "application/json")
        status = reply.status or 200
        if body.get("background") and not body.get("stream"):
            return Answer(status, headers, msgspec.json.encode(responses.render_queued(answered)), begin=cached.begin)
        if not body.get("stream"):
            sent = msgspec.json.encode(responses.render_response(answered))
            return Answer(status, headers, sent, usage=usage, begin=cached.begin)
        events = [self.frame(event) for event in responses.render_events(answered)]
        if reply.error_after_events is not None:
            number = min(reply.error_after_events, len(events))
            error = self._error_object(call, reply.status or 500, reply.error)
            events[number:] = [self.frame(responses.error_event(error, number))]
        return Answer(status, headers, events=events, usage=usage, begin=cached.begin)

    def _embeddings(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        answer = embed(call.body)
        _check_exists(call.body["model"], world)
        answer["usage"] = {**answer["usage"], **(reply.usage or {})}
        sent = msgspec.json.encode(answer)
        return Answer(reply.status or 200, _headers(call, "application/json"), sent, usage=answer["usage"])

    def _models(self, call: RecordedCall, route: str, world: World) -> Answer:
        name = route.removeprefix("models").removeprefix("/")
        if name:
            _check_exists(name, world)
            shown: Json = _model(name)
        else:
            known = models.LISTED if world.models is None else sorted(world.models)
            shown = {"object": "list", "data": [_model(each) for each in known]}
        return Answer(200, _headers(call, "application/json"), msgspec.json.encode(shown))


_METHODS = {"chat/completions": "POST", "responses": "POST", "embeddings": "POST", "models": "GET"}


_AZURE = re.compile(r"/openai/(v1|deployments/[^/]+)(?=/)")
"""How Azure's addresses begin: the one of today, and the dated ones, which name a deployment.

Source: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (read 2026-11-22).
"""


def _route(path: str) -> str:
    return _AZURE.sub("", path, count=1).removeprefix("/v1").strip("/")


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"}


def _check_exists(model: str, world: World) -> None:
    if world.models is not None and model not in world.models:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise Refused(message, None, "model_not_found", status=404)


def _request_id(call: RecordedCall) -> str:
    return "req_" + digest(call.number, call.path).hex()[:32]


def _headers(call: RecordedCall, kind: str) -> dict[str, str]:
    return {
        "content-type": kind,
        "x-request-id": _request_id(call),
        "openai-version": "2020-10-01",
        "openai-processing-ms": "1",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-remaining-tokens": "199000",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-reset-tokens": "0s",
    }
