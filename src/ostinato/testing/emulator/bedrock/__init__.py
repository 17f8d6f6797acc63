"""Amazon Bedrock's runtime: Converse, and Invoke with Anthropic's body, each streamed or not, and token counts."""

from __future__ import annotations

import uuid
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from ostinato.testing.emulator.anthropic import render as messages
from ostinato.testing.emulator.anthropic.prompt import CacheUse, Prompt, read_prompt, use_cache
from ostinato.testing.emulator.anthropic.turn import compose
from ostinato.testing.emulator.bedrock import converse, models
from ostinato.testing.emulator.bedrock.check import Refused, check_converse
from ostinato.testing.emulator.bedrock.invoke import invoke_events, read_invoke, usage_headers, usage_of
from ostinato.testing.emulator.calls import RecordedCall
from ostinato.testing.emulator.dialect import Answer, World
from ostinato.testing.emulator.model import digest, letters
from ostinato.testing.emulator.script import Reply
from ostinato.wire.eventstream import encode_exception, encode_frame

__all__ = ["Bedrock"]

Json = dict[str, Any]

_ERRORS: dict[int, tuple[str, str]] = {
    400: ("ValidationException", "The provided request is invalid."),
    401: ("UnrecognizedClientException", "The security token included in the request is invalid."),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "The requested resource was not found."),
    408: ("ModelTimeoutException", "The model took too long to respond."),
    413: ("RequestEntityTooLargeException", "The request is too large."),
    424: ("ModelErrorException", "The model failed to answer."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "The system encountered an unexpected error during processing. Try again."),
    503: ("ServiceUnavailableException", "Model is getting throttled. Try your request again."),
}
_OF_THE_GATE = ("UnrecognizedClient", "ExpiredToken", "InvalidSignature", "MissingAuthenticationToken")
_IN_STREAM = {
    400: "validationException",
    408: "modelTimeoutException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}
_STREAM = "application/vnd.amazon.eventstream"
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Bedrock:
    """Bedrock's dialect.

    A request must be signed with SigV4 or carry a bearer token, but no signature is verified: the key is the access
    key id or the token. An error in the middle of a stream is an exception frame, an `internalServerException`
    unless the reply names a status; `{"type": …}` in the reply's error names any other exception.
    """

    name = "bedrock"

    def owns(self, call: RecordedCall) -> bool:
        return call.path.startswith("/model/") and _operation(call.path) in _OPERATIONS

    def key(self, call: RecordedCall) -> str | None:
        scheme, _, rest = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return rest or None
        if scheme != "AWS4-HMAC-SHA256" or "Signature=" not in rest:
            return None
        return rest.partition("Credential=")[2].partition("/")[0] or None

    def answer(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        if call.method != "POST":
            return self.error(call, 405, {"type": "UnknownOperationException", "message": "Unknown operation."})
        try:
            model_id = self._let_in(call, world)
            return _OPERATIONS[_operation(call.path)](self, call, model_id, reply, world)
        except Refused as refused:
            return self.error(call, refused.status, refused.error)

    def error(self, call: RecordedCall, status: int, error: str | Mapping[str, Any] | None = None) -> Answer:
        kind, body = _error(status, error)
        where = "coral.service" if kind.startswith(_OF_THE_GATE) else "bedrock"
        headers = {
            **_headers(call, "application/json"),
            "x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.{where}/",
        }
        # An unknown key is no 401 here.
        return Answer(403 if status == 401 else status, headers, msgspec.json.encode(body))

    def frame(self, event: Mapping[str, Any]) -> bytes:
        """Return a frame for `{"<event type>": {…}}`, for `{"exception": {"type": …}}`, or for an event of Invoke."""
        if "type" in event:
            return _chunk(event)
        kind, payload = next(iter(event.items()))
        if kind == "exception":
            return encode_exception(payload["type"], {key: payload[key] for key in payload if key != "type"})
        return encode_frame(kind, payload)

    def _let_in(self, call: RecordedCall, world: World) -> str:
        """Return the id of the model that is asked."""
        if self.key(call) is None:
            raise Refused("Missing Authentication Token", "MissingAuthenticationTokenException", 403)
        model_id = unquote(call.path.removeprefix("/model/").rpartition("/")[0])
        if world.models is not None and model_id not in world.models:
            raise Refused("The provided model identifier is invalid.")
        return model_id

    # Operations.

    def _converse(self, call: RecordedCall, model_id: str, reply: Reply, world: World) -> Answer:
        check_converse(call.body)
        read = converse.read_converse(model_id, call.body)
        prompt, cached = self._cached(call, model_id, "converse", read, world)
        turn = compose(read, reply, call.number, "tooluse_")
        usage = {**converse.usage_of(turn, prompt.tokens, cached), **(reply.usage or {})}
        begin = cached.begin if cached else None
        if _operation(call.path) == "converse":
            sent = msgspec.json.encode(converse.render_body(turn, usage))
            return Answer(reply.status or 200, _headers(call, "application/json"), sent, usage=usage, begin=begin)
        events = [encode_frame(kind, _padded(payload)) for kind, payload in converse.render_events(turn, usage)]
        _fail(events, reply)
        return Answer(200, _headers(call, _STREAM), events=events, usage=usage, begin=begin)

    def _invoke(self, call: RecordedCall, model_id: str, reply: Reply, world: World) -> Answer:
        read = read_invoke(model_id, call.body)
        prompt, cached = self._cached(call, model_id, "invoke", read, world)
        cached = cached or CacheUse()
        turn = compose(read, reply, call.number, "toolu_bdrk_01")
        usage = {**usage_of(messages.usage_of(turn, prompt.tokens, cached, read)), **(reply.usage or {})}
        env = messages.Envelope("msg_bdrk_01" + letters(digest(read, call.number), 22), read["model"])
        marked = bool(prompt.breakpoints)
        if _operation(call.path) == "invoke":
            sent = msgspec.json.encode(messages.render_body(env, turn, usage))
            headers = {**_headers(call, "application/json"), **usage_headers(usage, cached, marked=marked)}
            return Answer(reply.status or 200, headers, sent, usage=usage, begin=cached.begin)
        events = [_chunk(event) for event in invoke_events(env, turn, usage, marked=marked)]
        _fail(events, reply)
        headers = {**_headers(call, _STREAM), "x-amzn-bedrock-content-type": "application/json"}
        return Answer(200, headers, events=events, usage=usage, begin=cached.begin)

    def _count(self, call: RecordedCall, model_id: str, reply: Reply, world: World) -> Answer:
        if not models.is_claude(model_id) or models.is_profile(model_id):
            raise Refused("The provided model doesn't support counting tokens.")
        asked = call.body.get("input") if isinstance(call.body, dict) else None
        match asked:
            case {"converse": body}:
                check_converse(body)
                read = converse.read_converse(model_id, body)
            case {"invokeModel": {"body": str(encoded)}}:
                read = read_invoke(model_id, _decoded(encoded))
            case _:
                raise Refused("Exactly one of converse and invokeModel is required in input.")
        counted = {"inputTokens": read_prompt(read).tokens, **(reply.usage or {})}
        return Answer(200, _headers(call, "application/json"), msgspec.json.encode(counted))

    def _cached(
        self, call: RecordedCall, model_id: str, door: str, read: Json, world: World
    ) -> tuple[Prompt, CacheUse | None]:
        """Return the prompt, and what the prompt cache did; None for a model that caches none."""
        prompt = read_prompt(read)
        rule = models.cache_rule(model_id)
        if rule is None:
            return prompt, None
        scope = [f"bedrock/{door}".encode(), (self.key(call) or "").encode(), model_id.encode()]
        return prompt, use_cache(prompt, scope, rule, world.prompt_cache)


_OPERATIONS: dict[str, Callable[[Bedrock, RecordedCall, str, Reply, World], Answer]] = {
    "converse": Bedrock._converse,
    "converse-stream": Bedrock._converse,
    "invoke": Bedrock._invoke,
    "invoke-with-response-stream": Bedrock._invoke,
    "count-tokens": Bedrock._count,
}


def _operation(path: str) -> str:
    return path.rpartition("/")[2]


def _error(status: int, error: str | Mapping[str, Any] | None) -> tuple[str, Json]:
    """Return the exception's name, and its body."""
    usual = _ERRORS[500] if status >= 500 else _ERRORS[400]
    kind, message = _ERRORS.get(status, usual)
    said = {"message": message, **({"message": error} if isinstance(error, str) else error or {})}
    return said.pop("type", kind), said


def _fail(events: list[bytes], reply: Reply) -> None:
    """Let the stream end with the error that `reply` asks for, if it does."""
    if reply.error_after_events is None:
        return
    status = reply.status or 500
    kind, body = _error(status, reply.error)
    named = isinstance(reply.error, Mapping) and "type" in reply.error
    if not named:
        kind = _IN_STREAM.get(status, "internalServerException")
    events[reply.error_after_events :] = [encode_exception(kind[:1].lower() + kind[1:], body)]


def _padded(payload: Mapping[str, Any]) -> Json:
    """Return a payload with the padding that hides its length."""
    length = 2 + sum(msgspec.json.encode(payload)) % (len(_PADDING) - 1)
    return {**payload, "p": _PADDING[:length]}


def _chunk(event: Mapping[str, Any]) -> bytes:
    return encode_frame("chunk", _padded({"bytes": b64encode(msgspec.json.encode(event)).decode()}))


def _decoded(encoded: str) -> object:
    try:
        return msgspec.json.decode(b64decode(encoded, validate=True))
    except (NotBase64, msgspec.DecodeError):
        return None


def _headers(call: RecordedCall, kind: str) -> dict[str, str]:
    return {"content-type": kind, "x-amzn-requestid": str(uuid.UUID(bytes=digest(call.number, call.path)[:16]))}
