"""Embeddings on OpenAI's wire: many texts in one request, one item a text in the cache.

Source: https://platform.openai.com/docs/api-reference/embeddings/create (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from ostinato.errors import APIResponseError, BadRequestError
from ostinato.wire.contract import Built, Json, Wire
from ostinato.wire.openai_chat.failure import event_error, rejection
from ostinato.wire.values import check_json, extra_body, kind_of

_NOT_SENT = frozenset({"extra_body", "stream"})


def build_embeddings(model: str, inputs: Sequence[Any], params: Json) -> Built:
    """Return the request that embeds `inputs`: texts, or lists of token ids. `params` may hold `extra_body`.

    Raises: BadRequestError: an input is neither, or a parameter is nothing that JSON can carry.
    """
    if not isinstance(inputs, list | tuple) or not inputs:
        raise BadRequestError("input must be a text or a list of at least one")
    body: Json = {"model": model, "input": [_input(item, index) for index, item in enumerate(inputs)]}
    for name, value in params.items():
        if value is not None and name not in _NOT_SENT:
            body[name] = check_json(value, name)
    return Built("/embeddings", body | extra_body(params))


def _input(item: Any, index: int) -> Any:
    path = f"input[{index}]"
    if not isinstance(item, str) and not _is_tokens(item):
        raise BadRequestError(f"{path} must be a text or a list of token ids, not {kind_of(item)}")
    return check_json(item, path)


def _is_tokens(item: Any) -> bool:
    return isinstance(item, list | tuple) and bool(item) and all(type(token) is int for token in item)


def item_wire(wire: Wire) -> Wire:
    """Return `wire` for entries that each hold one item of an answer, whole since `split_embeddings` gave it."""
    return replace(wire, name="openai_embeddings", incomplete=lambda _: None)


def split_embeddings(body: Any, headers: Mapping[str, str] | None = None) -> list[Json]:
    """Return the items of an answer, in the order of the inputs.

    Raises: APIError: what the vendor says went wrong. APIResponseError: the answer is no list of embeddings, or
        its items do not number the inputs.
    """
    data: Any = body.get("data") if isinstance(body, dict) else None
    if type(data) is not list or body.get("error"):
        raise rejection(body, headers, event_error, "the answer is no list of embeddings")
    if not all(isinstance(item, dict) and item.get("embedding") for item in data):
        raise APIResponseError("an item of the answer has no embedding")
    indexes = [item.get("index", place) for place, item in enumerate(data)]
    if sorted(indexes, key=str) != sorted(range(len(data)), key=str):
        raise APIResponseError(f"the items of the answer do not number its inputs: {indexes[:10]}")
    return [item for _, item in sorted(zip(indexes, data, strict=True), key=lambda pair: pair[0])]
