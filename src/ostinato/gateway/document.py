"""The gateway's own description: an OpenAPI document of what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato import __version__
from ostinato.gateway.headers import plain_headers

if TYPE_CHECKING:
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.service import Service

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}
_CONTENT: Json = {"oneOf": [_TEXT, {"type": "array", "minItems": 1, "items": {"type": "object"}}]}
_CONTROLS: Json = {
    "type": "object",
    "description": "What this request says of the response cache; it is not sent on.",
    "properties": {
        "ttl": {"type": "number", "exclusiveMinimum": 0},
        "soft-ttl": {"type": "number", "minimum": 0},
        "s-maxage": {"type": "number", "minimum": 0},
        "no-cache": _FLAG,
        "no-store": _FLAG,
        "use-cache": _FLAG,
        "namespace": _TEXT,
        "tags": {"type": "array", "items": _TEXT, "maxItems": 64},
    },
    "additionalProperties": False,
}
_BESIDE: Json = {"stream": _FLAG, "cache": _CONTROLS}


def _body(required: list[str], **properties: Json) -> Json:
    named = {"model": {"type": "string", "minLength": 1}, **properties}
    return {"type": "object", "required": ["model", *required], "properties": named}


def _turns(*roles: str) -> Json:
    turn = {"type": "object", "required": ["role", "content"], "properties": {"role": {"enum": [*roles]}}}
    turn["properties"] = {"role": {"type": "string", "enum": [*roles]}, "content": _CONTENT}
    return {"type": "array", "minItems": 1, "items": turn}


_INPUT: Json = {"oneOf": [_TEXT, {"type": "array", "minItems": 1, "items": _TEXT}]}
_COUNT: Json = {"type": "integer", "minimum": 1}
_CHAT = _body(
    ["messages"], messages=_turns("system", "user", "assistant"), max_tokens=_COUNT, tools={"type": "array"}, **_BESIDE
)
_MESSAGES = _body(
    ["messages", "max_tokens"], messages=_turns("user", "assistant"), max_tokens=_COUNT, system=_CONTENT, **_BESIDE
)
_NAMES: Json = {"type": "array", "items": _TEXT, "minItems": 1}

POSTS: dict[str, tuple[str, Json]] = {
    "/v1/chat/completions": ("OpenAI's chat completions, by any vendor", _CHAT),
    "/v1/messages": ("Anthropic's messages, by any vendor", _MESSAGES),
    "/v1/messages/count_tokens": ("Tokens of a prompt", _body(["messages"], messages=_turns("user", "assistant"))),
    "/v1/responses": ("OpenAI's responses, by any vendor", _body(["input"], input=_CONTENT, **_BESIDE)),
    "/v1/completions": ("OpenAI's older completions, over chat", _body(["prompt"], prompt=_TEXT, **_BESIDE)),
    "/v1/embeddings": ("Embeddings, cached one by one", _body(["input"], input=_INPUT, cache=_CONTROLS)),
    "/cache/delete": (
        "Delete entries",
        {"type": "object", "properties": {"keys": _NAMES, "tags": _NAMES, "namespace": _TEXT}},
    ),
    "/cache/flush": ("Forget a tenant's entries", {"type": "object", "properties": {"all": _FLAG, "namespace": _TEXT}}),
}
GETS = {
    "/v1/models": "The models",
    "/v1/model/info": "The deployments, their facts and prices",
    "/cache/ping": "Whether the cache keeps what it is given",
    "/cache/stats": "What the cache counted",
    "/health": "Which deployments do well",
    "/health/readiness": "Whether requests are taken",
    "/health/liveness": "Whether somebody is there",
}


def document() -> Json:
    """Return the OpenAPI document."""
    paths: Json = {path: {"get": _operation(summary)} for path, summary in GETS.items()}
    for path, (summary, schema) in POSTS.items():
        said = {"required": True, "content": {"application/json": {"schema": schema}}}
        paths[path] = {"post": {**_operation(summary), "requestBody": said}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ostinato", "version": __version__},
        "paths": paths,
        "security": [{"key": []}, {}],
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(summary: str) -> Json:
    answered: Json = {"200": {"description": "the answer"}, "default": {"description": "an error, in the dialect"}}
    return {"summary": summary, "responses": answered}


async def show_document(_: Service, exchange: Exchange) -> None:
    """Answer with the OpenAPI document."""
    await exchange.reply_json(document(), plain_headers(exchange.call_id))
