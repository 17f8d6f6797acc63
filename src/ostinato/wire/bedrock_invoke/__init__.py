"""Bedrock's InvokeModel with Anthropic's bodies: the same wire behind another door.

The model stands in the path, betas in the body, the counts in headers or beside the last event as well, and a
stream is AWS's own framing. Bodies of other makers are not spoken; Converse speaks for them all.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
(read 2026-11-22), and the recorded traffic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec.structs import replace

from ostinato.errors import APIError, BadRequestError, UnsupportedParamsError
from ostinato.records import Completion
from ostinato.wire import anthropic
from ostinato.wire.anthropic import failure, response
from ostinato.wire.anthropic.chunks import AnthropicTranslator
from ostinato.wire.anthropic.fold import AnthropicFold
from ostinato.wire.anthropic.parts import mark_last, text_block
from ostinato.wire.anthropic.request import body_of, names_of
from ostinato.wire.anthropic.unfold import METRICS
from ostinato.wire.anthropic.unfold import unfold as unfold_messages
from ostinato.wire.bedrock_converse import failure as bedrock
from ostinato.wire.bedrock_invoke.text import (
    TextFold,
    TextTranslator,
    incomplete_text,
    is_text,
    parse_text,
    unfold_text,
)
from ostinato.wire.contract import Built, Call, Cuts, Event, Json
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import usage_of

if TYPE_CHECKING:
    from ostinato.providers import Provider
    from ostinato.records import Chunk

VERSION = "bedrock-2023-05-31"

_CLAUDE = re.compile(r"(?:^|[./])anthropic\.|claude", re.IGNORECASE)
_OPAQUE = re.compile(
    r"arn:[^/]*:(?:application-inference-profile|provisioned-model|custom-model-deployment|imported-model)/"
)
"""ARNs that do not name the model behind them."""

_COUNTS = (("uncached", "input"), ("output", "output"), ("read", "cache-read-input"), ("written", "cache-write-input"))
_METRICS = {
    "uncached": "inputTokenCount",
    "output": "outputTokenCount",
    "read": "cacheReadInputTokenCount",
    "written": "cacheWriteInputTokenCount",
}


def build(call: Call, provider: Provider) -> Built:
    """Return the request for `call`; see `Wire.build`."""
    try:
        return _build(call)
    except (BadRequestError, UnsupportedParamsError) as error:
        error.provider = provider.name
        raise


def streaming(built: Built) -> Built:
    """Return the same request, asking for a stream."""
    return replace(built, path=f"{built.path}-with-response-stream")


def parse(body: Json, headers: Mapping[str, str] | None = None) -> Completion:
    """Return the body as a Completion, its usage from the headers where it has none; see `Wire.parse`."""
    counted = body.get("usage") if type(body) is dict else None
    runs = None if counted else tokens(body, headers)
    completion = parse_text(body) if is_text(body) else response.parse(body, headers)
    if runs is not None:
        completion["usage"] = usage_of({}, runs)
    return completion


def tokens(body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
    """Return what the call used: by its body, else by the metrics of its last event, else by its headers."""
    runs = response.tokens(body)
    if runs is not None:
        return runs
    metrics = body.get(METRICS)
    if isinstance(metrics, dict):
        return _run({field: metrics.get(name) for field, name in _METRICS.items()})
    return _run(_counts(headers or {}))


def unfold(body: Json, cuts: Cuts | None, headers: Mapping[str, str] | None = None) -> Iterator[Event]:
    """Yield the events of a stream, of messages or of text, that folds to `body`; see `Wire.unfold`."""
    if headers and response.tokens(body) is None and METRICS not in body:
        counts = _counts(headers)
        if counts:
            body = {**body, METRICS: {_METRICS[field]: count for field, count in counts.items()}}
    return unfold_text(body, cuts) if is_text(body) else unfold_messages(body, cuts)


def incomplete(body: Json) -> str | None:
    """Say why an answer must not be kept, or None; see `Wire.incomplete`."""
    return incomplete_text(body) if is_text(body) else response.incomplete(body)


def event_error(event: Event) -> APIError | None:
    """Return the error that an event carries, in AWS's terms or Anthropic's, or None."""
    return bedrock.event_error(event) or failure.event_error(event)


def _counts(headers: Mapping[str, str]) -> dict[str, int]:
    """Return the counts that headers tell, by our own names."""
    found = {field: headers.get(f"x-amzn-bedrock-{name}-token-count", "") for field, name in _COUNTS}
    return {field: int(count) for field, count in found.items() if count.isdecimal()}


def _run(counts: Mapping[str, Any]) -> list[Tokens] | None:
    told = {name: count for name, count in counts.items() if type(count) is int and count >= 0}
    if not told:
        return None
    uncached, read, written, output = (told.get(name, 0) for name in ("uncached", "read", "written", "output"))
    return [Tokens(uncached, read, {"5m": written} if written else {}, output)]


def _build(call: Call) -> Built:
    if not _CLAUDE.search(call.model) and not _OPAQUE.match(call.model):
        raise BadRequestError(
            f"InvokeModel takes a body of its own for {call.model!r}, and only Anthropic's is spoken here; use"
            f" bedrock/converse/{call.model}"
        )
    params = dict(call.params)
    tier = params.pop("service_tier", None)
    betas = [params.pop(name) for name in ("betas", "anthropic_beta") if params.get(name) is not None]
    body = body_of(replace(call, params=params))
    del body["model"]
    mark = body.pop("cache_control", None)
    if mark is not None:
        _mark_last_turn(body, mark)
    _refuse_urls(body)
    head: Json = {"anthropic_version": VERSION}
    if betas:
        head["anthropic_beta"] = names_of(betas[0])
    headers = {} if tier in (None, "auto", "default", "standard_only") else {"x-amzn-bedrock-service-tier": str(tier)}
    return Built(f"/model/{quote(call.model, safe='')}/invoke", head | body, headers)


def _mark_last_turn(body: Json, mark: Any) -> None:
    """Put the mark of the request on its last block: Bedrock knows no mark of the request."""
    *turns, last = body["messages"]
    content = last["content"]
    blocks = [text_block(content)] if isinstance(content, str) else list(content)
    body["messages"] = [*turns, {**last, "content": mark_last(blocks, mark)}]


def _refuse_urls(body: Json) -> None:
    for index, turn in enumerate(body["messages"]):
        content = turn["content"]
        for block in content if type(content) is list else ():
            source = block.get("source")
            if type(source) is dict and source.get("type") == "url":
                raise BadRequestError(f"messages: turn {index} holds a URL, and Bedrock fetches none; send the bytes")


class InvokeFold:
    """Gathers one stream, of messages or of text, as its first event says."""

    __slots__ = ("_fold", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._fold: AnthropicFold | TextFold | None = None

    def feed(self, event: Event) -> None:
        if self._fold is None:
            self._fold = TextFold() if is_text(event) else AnthropicFold()
        self._fold.feed(event)
        self.complete = self._fold.complete

    def body(self) -> Json:
        return {} if self._fold is None else self._fold.body()

    def cuts(self) -> Cuts:
        return [] if self._fold is None else self._fold.cuts()


class InvokeTranslator:
    """Makes chunks of one stream, of messages or of text."""

    __slots__ = ("_translator",)

    def __init__(self) -> None:
        self._translator: AnthropicTranslator | TextTranslator | None = None

    def feed(self, event: Event) -> list[Chunk]:
        if self._translator is None:
            self._translator = TextTranslator() if is_text(event) else AnthropicTranslator()
        counted = tokens(event) if METRICS in event else None
        chunks = self._translator.feed(event)
        if counted is not None and chunks and "usage" not in chunks[-1]:
            chunks[-1]["usage"] = usage_of({}, counted)
        return chunks

    def end(self) -> list[Chunk]:
        return [] if self._translator is None else self._translator.end()


WIRE = replace(
    anthropic.WIRE,
    name="bedrock_invoke",
    framing="eventstream",
    build=build,
    streaming=streaming,
    parse=parse,
    tokens=tokens,
    fold=InvokeFold,
    translator=InvokeTranslator,
    unfold=unfold,
    incomplete=incomplete,
    error=bedrock.error,
    event_error=event_error,
)
