"""A chat request as the model reads it: blocks, their tokens, and what the prompt cache makes of them.

Source: https://developers.openai.com/api/docs/guides/prompt-caching (read 2026-11-22), with the types of the official
client for what the page leaves open (`ttl` of a breakpoint).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ostinato.testing.emulator.model import count_tokens
from ostinato.testing.emulator.openai import models
from ostinato.testing.emulator.prompt_cache import Block, Mark, PromptCache, block_ends, steps

Json = dict[str, Any]

FRAME_TOKENS = 3
"""What a message costs beside its content, and what the start of the answer costs."""
_IMAGE_TOKENS, _LOW_DETAIL_TOKENS = 765, 85
_TTL_S = {"30m": 30 * models.MINUTE_S, "12h": 12 * models.HOUR_S}
_WRITES = 4
_FIRST_READ, _LATEST_READ, _ENDS_READ = 2, 50, 20

# What changes the prefix without being part of it.
_BINDING = ("model", "parallel_tool_calls", "reasoning_effort", "verbosity", "prompt_cache_key")


@dataclass(slots=True)
class Prompt:
    """A request's prompt."""

    blocks: list[Block] = field(default_factory=list)
    breakpoints: list[tuple[int, str | None]] = field(default_factory=list)
    """The blocks that carry an explicit breakpoint, and its ttl."""
    ends: list[int] = field(default_factory=list)
    """The last blocks of the messages that may end with an implicit breakpoint."""
    tokens: int = FRAME_TOKENS


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What the prompt cache did for a call."""

    read: int = 0
    written: int | None = None
    """None where the vendor does not say."""
    written_12h: int = 0
    """The part of `written` that is kept for twelve hours; the rest is kept for thirty minutes."""
    begin: Callable[[], None] | None = None
    """Makes readable what this call wrote."""


def count_prompt_tokens(body: Json) -> int:
    """Return the prompt tokens that the emulator counts for a chat request.

    Three for each message and three for the answer's start; one for every four UTF-8 bytes, begun ones included,
    of each text, of each tool's and each schema's JSON; images 765, or 85 at low detail.
    """
    return read_prompt(body).tokens


def read_prompt(body: Json) -> Prompt:
    """Return the prompt of a chat request that has been checked."""
    prompt = Prompt()
    for tool in body.get("tools") or body.get("functions") or ():
        prompt.blocks.append(Block(msgspec.json.encode(tool)))
    if isinstance(body.get("response_format"), dict) and body["response_format"].get("type") == "json_schema":
        prompt.blocks.append(Block(msgspec.json.encode(body["response_format"])))
    messages = body["messages"]
    for index, message in enumerate(messages):
        _add_message(prompt, message)
        if _may_end(messages, index):
            prompt.ends.append(len(prompt.blocks) - 1)
    prompt.tokens += sum(
        count_tokens(block.content) if block.tokens is None else block.tokens for block in prompt.blocks
    )
    return prompt


def use_cache(prompt: Prompt, body: Json, tenant: str, cache: PromptCache) -> CacheUse:
    """Look the prompt up, and return what was read and what will have been written."""
    scope = [b"openai", tenant.encode(), msgspec.json.encode([body.get(name) for name in _BINDING])]
    if models.has_breakpoints(body["model"]):
        return _use_breakpoints(prompt, body, scope, cache)
    rule = models.cache_rule(body["model"])
    if rule is None or prompt.tokens < rule.minimum:
        return CacheUse()
    marks = [mark for mark in steps(scope, prompt.blocks, rule.step) if mark.tokens >= rule.minimum]
    found = cache.lookup(marks)
    ttl_s, max_age_s = models.RETENTIONS[body.get("prompt_cache_retention") or rule.retention]
    return CacheUse(found.tokens if found else 0, begin=lambda: cache.write(marks, ttl_s, max_age_s))


def _use_breakpoints(prompt: Prompt, body: Json, scope: list[bytes], cache: PromptCache) -> CacheUse:
    """Apply the rules of gpt-5.6 and later: exact boundaries, writes that are billed."""
    options = body.get("prompt_cache_options") or {}
    implicit = options.get("mode", "implicit") == "implicit"
    marks = block_ends(scope, prompt.blocks)
    explicit = [index for index, _ in prompt.breakpoints]
    ends = prompt.ends if implicit else []
    readable = {*explicit[:_FIRST_READ], *explicit[-_LATEST_READ:], *ends[-_ENDS_READ - 1 :]}
    found = cache.lookup([marks[index] for index in readable if _long_enough(marks[index])])
    ttl = options.get("ttl", "30m")
    kept = prompt.breakpoints[-(_WRITES - 1) if ends else -_WRITES :]
    writes = [(marks[index], _TTL_S[own or ttl]) for index, own in [*kept, *((end, None) for end in ends[-1:])]]
    writes = [(mark, ttl_s) for mark, ttl_s in writes if _long_enough(mark)]
    read = found.tokens if found else 0
    furthest = max((mark.tokens for mark, _ in writes), default=0)
    furthest_12h = max((mark.tokens for mark, ttl_s in writes if ttl_s == _TTL_S["12h"]), default=0)

    def begin() -> None:
        for mark, ttl_s in writes:
            cache.write([mark], ttl_s)

    return CacheUse(read, max(0, furthest - read), max(0, furthest_12h - read), begin)


def _long_enough(mark: Mark) -> bool:
    return mark.tokens >= models.EXPLICIT_MINIMUM


def _may_end(messages: list[Json], index: int) -> bool:
    """Return whether an implicit breakpoint may stand behind this message.

    It may behind a user message, the last of a group of tool results, the last of the instructions at the start.
    """
    role = messages[index]["role"]
    following = messages[index + 1]["role"] if index + 1 < len(messages) else None
    if role in ("system", "developer"):
        instructions = all(message["role"] in ("system", "developer") for message in messages[:index])
        return instructions and following not in ("system", "developer")
    return role == "user" or (role in ("tool", "function") and following != role)


def _add_message(prompt: Prompt, message: Json) -> None:
    names = [message.get(name) for name in ("role", "name", "tool_call_id")]
    prompt.blocks.append(Block(msgspec.json.encode(names), FRAME_TOKENS))
    content = message.get("content")
    if isinstance(content, str):
        prompt.blocks.append(Block(content.encode()))
    for part in content if isinstance(content, list) else ():
        prompt.blocks.append(_part(part))
        mark = part.get("prompt_cache_breakpoint")
        if isinstance(mark, dict):
            prompt.breakpoints.append((len(prompt.blocks) - 1, mark.get("ttl")))
    if message.get("refusal"):
        prompt.blocks.append(Block(message["refusal"].encode()))
    for name in ("tool_calls", "function_call", "audio"):
        if message.get(name):
            prompt.blocks.append(Block(msgspec.json.encode(message[name])))


def _part(part: Json) -> Block:
    match part["type"]:
        case "text" | "refusal" as kind:
            return Block(part[kind].encode())
        case "image_url":
            image = part["image_url"]
            tokens = _LOW_DETAIL_TOKENS if image.get("detail") == "low" else _IMAGE_TOKENS
            return Block(msgspec.json.encode(image), tokens)
        case kind:
            return Block(msgspec.json.encode(part.get(kind)))
