"""The gateway's own description: an OpenAPI document of what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ostinato import __version__
from ostinato.gateway.admin import Named, Wish
from ostinato.gateway.cache_paths import MOST_KEYS
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
_NAME: Json = {"type": ["string", "null"]}
_DELETED: Json = {
    "type": "object",
    "properties": {
        "keys": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MOST_KEYS},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 256}, "minItems": 1},
        "namespace": _NAME,
    },
    "anyOf": [{"required": ["keys"]}, {"required": ["tags"]}],
    "additionalProperties": False,
}
_FLUSHED: Json = {"type": "object", "properties": {"all": _FLAG, "namespace": _NAME}, "additionalProperties": False}

POSTS: dict[str, tuple[str, Json]] = {
    "/v1/chat/completions": ("OpenAI's chat completions, by any vendor", _CHAT),
    "/v1/messages": ("Anthropic's messages, by any vendor", _MESSAGES),
    "/v1/messages/count_tokens": ("Tokens of a prompt", _body(["messages"], messages=_turns("user", "assistant"))),
    "/v1/responses": ("OpenAI's responses, by any vendor", _body(["input"], input=_CONTENT, **_BESIDE)),
    "/v1/completions": ("OpenAI's older completions, over chat", _body(["prompt"], prompt=_TEXT, **_BESIDE)),
    "/v1/embeddings": ("Embeddings, cached one by one", _body(["input"], input=_INPUT, cache=_CONTROLS)),
    "/cache/delete": ("Delete entries", _DELETED),
    "/cache/flush": ("Forget a tenant's entries", _FLUSHED),
    "/key/generate": ("Make a virtual key", {"$ref": "#/components/schemas/Key"}),
    "/key/revoke": ("Revoke a virtual key", {"$ref": "#/components/schemas/NamedKey"}),
}
GETS = {
    "/v1/models": "The models",
    "/v1/models/{model}": "One model",
    "/v1/model/info": "The deployments, their facts and prices",
    "/cache/ping": "Whether the cache keeps what it is given",
    "/cache/stats": "What the cache counted",
    "/health": "Which deployments do well",
    "/health/readiness": "Whether requests are taken",
    "/health/liveness": "Whether somebody is there",
    "/metrics": "What was counted, for Prometheus",
    "/key/list": "The virtual keys",
    "/spend": "What was spent, and saved",
    "/openapi.json": "This document",
}
_OPEN = frozenset({"/health/readiness", "/health/liveness", "/openapi.json"})
_STREAMS = frozenset({"/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions"})
_QUERIES: dict[str, dict[str, Json]] = {
    "/spend": {
        "by": {"type": "string", "pattern": "^((day|tenant|key_id|model)?(,|$))*$"},
        "since": _TEXT,
        "until": _TEXT,
        "tenant": _TEXT,
        "key_id": _TEXT,
    }
}
_HEADERS: Json = {
    "x-ostinato-cache": {"type": "string", "enum": ["hit", "miss", "shared", "bypass"]},
    "x-ostinato-cache-key": {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
    "x-ostinato-call-id": {"type": "string", "minLength": 1},
    "x-litellm-call-id": {"type": "string", "minLength": 1},
}
"""Those of every answer."""
_ERROR: Json = {
    "type": "object",
    "required": ["message", "type", "param", "code"],
    "properties": {"message": _TEXT, "type": {"type": ["string", "null"]}},
}


def document() -> Json:
    """Return the OpenAPI document."""
    paths: Json = {path: {"get": _operation(path, summary)} for path, summary in GETS.items()}
    for path, (summary, schema) in POSTS.items():
        said = {"required": True, "content": {"application/json": {"schema": schema}}}
        paths[path] = {"post": {**_operation(path, summary), "requestBody": said}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ostinato", "version": __version__},
        "paths": paths,
        "security": [{"key": []}, {}],
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "headers": {name: {"required": True, "schema": schema} for name, schema in _HEADERS.items()},
            "schemas": {
                "Key": msgspec.json.schema(Wish)["$defs"]["Wish"],
                "NamedKey": msgspec.json.schema(Named)["$defs"]["Named"],
                "Error": _enclosed(_ERROR),
                "MessagesError": _enclosed(
                    {
                        "type": "object",
                        "required": ["type", "message"],
                        "properties": {"type": _TEXT, "message": _TEXT},
                    },
                    type={"const": "error"},
                ),
            },
        },
    }


def _enclosed(error: Json, **beside: Json) -> Json:
    return {"type": "object", "required": ["error", *beside], "properties": {"error": error, **beside}}


def _operation(path: str, summary: str) -> Json:
    kind = "string" if path == "/health/liveness" else "object"
    whole: Json = {"text/plain": {}} if path == "/metrics" else {"application/json": {"schema": {"type": kind}}}
    streamed: Json = {"text/event-stream": {}} if path in _STREAMS else {}
    name = "MessagesError" if "/messages" in path else "Error"
    refused: Json = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    operation: Json = {
        "summary": summary,
        "responses": {
            "200": {"description": "the answer", "headers": headers, "content": whole | streamed},
            "default": {"description": "an error, in the dialect", "headers": headers, "content": refused},
        },
    }
    if path in _OPEN:
        operation["security"] = []
    named: list[Json] = [
        {"name": name, "in": "query", "schema": schema} for name, schema in _QUERIES.get(path, {}).items()
    ]
    if "{model}" in path:
        named.append({"name": "model", "in": "path", "required": True, "schema": _TEXT})
    return operation | ({"parameters": named} if named else {})


async def show_document(_: Service, exchange: Exchange) -> None:
    """Answer with the OpenAPI document."""
    await exchange.reply_json(document(), plain_headers(exchange.call_id))
