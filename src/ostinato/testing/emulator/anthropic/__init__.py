"""Anthropic's wire: messages, the counting of their tokens, and models, under `/v1`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ostinato.testing.emulator.anthropic import models
from ostinato.testing.emulator.anthropic.check import Refused, check_count, check_messages
from ostinato.testing.emulator.anthropic.prompt import CacheRule, read_prompt, use_cache
from ostinato.testing.emulator.anthropic.render import Envelope, render_body, render_events, usage_of
from ostinato.testing.emulator.anthropic.turn import compose
from ostinato.testing.emulator.calls import RecordedCall
from ostinato.testing.emulator.dialect import Answer, World
from ostinato.testing.emulator.model import digest, letters
from ostinato.testing.emulator.script import Reply

__all__ = ["Anthropic"]

Json = dict[str, Any]

_EDGE = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "Invalid request."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: (
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 450,000 input tokens per minute.",
    ),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out."),
    529: ("overloaded_error", "Overloaded"),
}
_RETRIED = {400: "false", 401: "false", 403: "false", 404: "false", 413: "false", 429: "true", 529: "true"}
"""What `x-should-retry` says, as recorded."""

_METHODS = {"messages": "POST", "messages/count_tokens": "POST"}


class Anthropic:
    """Anthropic's dialect.

    Its model never repeats itself: the API has no seed, so every text carries the number of its call. An error in
    the middle of a stream is `overloaded_error` unless the reply names a status.
    """

    name = "anthropic"

    def owns(self, call: RecordedCall) -> bool:
        route = _route(call.path)
        # OpenAI lists its models under the same path; Anthropic's clients say which version they speak.
        return route in _METHODS or (route.partition("/")[0] == "models" and "anthropic-version" in call.headers)

    def key(self, call: RecordedCall) -> str | None:
        scheme, _, bearer = call.headers.get("authorization", "").partition(" ")
        return call.headers.get("x-api-key") or (bearer if scheme.lower() == "bearer" and bearer else None)

    def answer(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        route = _route(call.path)
        if call.method != _METHODS.get(route, "GET"):
            return self.error(call, 405, "Method Not Allowed")
        try:
            _check_version(call)
            match route:
                case "messages":
                    return self._messages(call, reply, world)
                case "messages/count_tokens":
                    return self._count(call, reply, world)
                case _:
                    return self._models(call, route, world)
        except Refused as refused:
            return self.error(call, refused.status, refused.error)

    def error(self, call: RecordedCall, status: int, error: str | Mapping[str, Any] | None = None) -> Answer:
        if status == 503 and error is None:
            # It is the edge, not the API, that answers this: plain text, as recorded.
            return Answer(503, {"content-type": "text/plain"}, _EDGE.encode())
        headers = {"content-type": "application/json", "request-id": _request_id(call)}
        if status in _RETRIED:
            headers["x-should-retry"] = _RETRIED[status]
        body: Json = {"type": "error", "error": self._error_object(call, status, error)}
        if status == 429:
            headers["retry-after"] = "1"
        if status != 529:
            # An overloaded API answers before it has named the request.
            body["request_id"] = headers["request-id"]
        return Answer(status, headers, msgspec.json.encode(body))

    def frame(self, event: Mapping[str, Any]) -> bytes:
        return _frame(event)

    def _error_object(self, call: RecordedCall, status: int, error: str | Mapping[str, Any] | None) -> Json:
        usual = ("api_error", "Internal server error") if status >= 500 else ("invalid_request_error", "Bad request")
        kind, message = _ERRORS.get(status, usual)
        if status == 401 and self.key(call) is None:
            message = "x-api-key header is required"
        if isinstance(error, str):
            return {"type": kind, "message": error}
        return {"type": kind, "message": message, **(error or {})}

    # Routes.

    def _messages(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        body = call.body
        check_messages(body)
        _check_exists(body["model"], world)
        model = models.snapshot(body["model"])
        prompt = read_prompt(body)
        scope = [b"anthropic", (self.key(call) or "").encode(), model.encode()]
        cached = use_cache(prompt, scope, CacheRule(models.minimum(model)), world.prompt_cache)
        turn = compose(body, reply, call.number)
        usage = {**usage_of(turn, prompt.tokens, cached, body), **(reply.usage or {})}
        env = Envelope("msg_01" + letters(digest(body, call.number), 22), model)
        if not body.get("stream"):
            sent = msgspec.json.encode(render_body(env, turn, usage))
            headers = _headers(call, world, "application/json")
            return Answer(reply.status or 200, headers, sent, usage=usage, begin=cached.begin)
        events = [_frame(event) for event in render_events(env, turn, usage)]
        if reply.error_after_events is not None:
            failure = {"details": None, **self._error_object(call, reply.status or 529, reply.error)}
            events[reply.error_after_events :] = [_frame({"type": "error", "error": failure})]
        headers = _headers(call, world, "text/event-stream; charset=utf-8")
        return Answer(200, headers, events=events, usage=usage, begin=cached.begin)

    def _count(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        check_count(call.body)
        _check_exists(call.body["model"], world)
        counted = {"input_tokens": read_prompt(call.body).tokens, **(reply.usage or {})}
        return Answer(200, _headers(call, world, "application/json"), msgspec.json.encode(counted))

    def _models(self, call: RecordedCall, route: str, world: World) -> Answer:
        name = route.removeprefix("models").removeprefix("/")
        known = list(models.LISTED) if world.models is None else sorted(world.models)
        shown: Json
        if name:
            _check_exists(name, world)
            shown = _model(name)
        else:
            shown = {
                "data": [_model(each) for each in known],
                "has_more": False,
                "first_id": known[0] if known else None,
                "last_id": known[-1] if known else None,
            }
        return Answer(200, _headers(call, world, "application/json"), msgspec.json.encode(shown))


def _route(path: str) -> str:
    return path.removeprefix("/v1/").strip("/") if path.startswith("/v1/") else ""


def _frame(event: Mapping[str, Any]) -> bytes:
    encoded = msgspec.json.encode(event)
    if event.get("type") not in ("ping", "error"):
        # The vendor pads its events with spaces in front of the last brace.
        encoded = encoded[:-1] + b" " * (sum(encoded) % 16) + b"}"
    return b"event: %s\ndata: %s\n\n" % (str(event.get("type", "message")).encode(), encoded)


def _model(name: str) -> Json:
    shown = " ".join(part.capitalize() for part in name.split("-"))
    return {
        "type": "model",
        "id": name,
        "display_name": shown,
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


def _check_version(call: RecordedCall) -> None:
    if not call.headers.get("anthropic-version"):
        raise Refused("anthropic-version: header is required")


def _check_exists(model: str, world: World) -> None:
    if world.models is not None and model not in world.models:
        raise Refused(f"model: {model}", "not_found_error", 404)


def _request_id(call: RecordedCall) -> str:
    return "req_01" + letters(digest(call.number, call.path), 22)


def _headers(call: RecordedCall, world: World, kind: str) -> dict[str, str]:
    now = datetime.fromtimestamp(int(world.now()), UTC).isoformat().replace("+00:00", "Z")
    limits = {
        f"anthropic-ratelimit-{name}-{side}": value
        for name, most, left in (
            ("requests", "4000", "3999"),
            ("input-tokens", "2000000", "1999000"),
            ("output-tokens", "400000", "399000"),
        )
        for side, value in (("limit", most), ("remaining", left), ("reset", now))
    }
    return {"content-type": kind, "request-id": _request_id(call), **limits}
