"""A Messages request as the model reads it: blocks, their tokens, and what the prompt cache makes of them.

Bedrock's dialect reads its requests through this module too.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ostinato.testing.emulator.anthropic import models
from ostinato.testing.emulator.model import count_tokens
from ostinato.testing.emulator.prompt_cache import Block, Mark, PromptCache, block_ends

Json = dict[str, Any]
Spoken = list[tuple[str, Json]]
"""The blocks of the messages, with their roles."""

FRAME_TOKENS = 3
"""What a turn costs beside its content, and what the start of the answer costs."""
IMAGE_TOKENS = 1600
PDF_TOKENS = 2000
TOOLS_TOKENS = 346
"""What the vendor itself says to a Claude model that is given tools. In recorded traffic it is 340 to 500."""
TTL_S = {"5m": 300.0, "1h": 3600.0}
LOOK_BACK = 20
"""How many blocks an entry may lie back from a breakpoint; the breakpoint's own is the first."""
_MARKABLE = ("text", "image", "document", "search_result", "tool_use", "tool_result", "server_tool_use")
"""The blocks that may carry a breakpoint, results of the vendor's own tools aside."""

_encode = msgspec.json.encode


@dataclass(slots=True)
class Prompt:
    """A request's prompt."""

    blocks: list[Block] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """Where the request's own blocks stand in `blocks`, in order; the others are settings and cost nothing."""
    breakpoints: list[tuple[int, str]] = field(default_factory=list)
    """Which of `places` end with a breakpoint, and its ttl."""

    @property
    def tokens(self) -> int:
        return FRAME_TOKENS + sum(block.tokens or 0 for block in self.blocks)


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What the prompt cache did for a call, in tokens."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    begin: Callable[[], None] | None = None
    """Makes readable what this call wrote."""

    @property
    def written(self) -> int:
        return self.written_5m + self.written_1h


@dataclass(frozen=True, slots=True)
class CacheRule:
    """How a model caches prompts."""

    minimum: int
    """Tokens that a prefix must have."""
    look_back: int = LOOK_BACK


def read_prompt(body: Json) -> Prompt:
    """Return the prompt of a Messages request that has been checked.

    Its tokens: three a turn and three for the answer's start; one for every four UTF-8 bytes, begun ones included,
    of each text and of the JSON of each tool and each call; 1,600 an image, 2,000 a PDF, 346 for having tools.
    """
    prompt = Prompt()
    spoken = list(_spoken(body))
    if body.get("tools") and models.version(body["model"])[0]:
        prompt.blocks.append(Block(b"tools", TOOLS_TOKENS))
    for tool in body.get("tools") or ():
        _add(prompt, "tool", tool, _json_tokens(tool))
    # What changes the rest of the prefix without being part of it stands in front of what it changes.
    prompt.blocks.append(Block(_encode(_system_settings(body, spoken)), 0))
    for block in listed(body.get("system")):
        _add(prompt, "system", block, _tokens(block))
    prompt.blocks.append(Block(_encode(_message_settings(body, spoken)), 0))
    last_role = None
    for role, block in spoken:
        _add(prompt, role, block, _tokens(block) + (FRAME_TOKENS if role != last_role else 0))
        last_role = role
    if body.get("cache_control"):
        _mark_last(prompt, body["cache_control"], spoken)
    return prompt


def use_cache(prompt: Prompt, scope: Sequence[bytes], rule: CacheRule, cache: PromptCache) -> CacheUse:
    """Look the prompt up, and return what was read and what will have been written.

    What lies behind the longest entry found is billed up to the last hour's breakpoint at the price of an hour,
    and from there to the last breakpoint at that of five minutes.
    """
    if not prompt.breakpoints:
        return CacheUse()
    marks = block_ends(scope, prompt.blocks)
    ends = [(marks[prompt.places[place]], ttl) for place, ttl in prompt.breakpoints]
    found = cache.lookup(_readable(prompt, marks, rule))
    read = found.tokens if found else 0
    for mark, _ in ends:
        if mark.tokens < read:
            # A shorter prefix is used with the longer one, and lives on with it.
            cache.lookup([mark])
    writes = [(mark, ttl) for mark, ttl in ends if mark.tokens >= max(read, rule.minimum)]
    hour = max((mark.tokens for mark, ttl in writes if ttl == "1h"), default=read)
    end = max((mark.tokens for mark, _ in writes), default=read)

    def begin() -> None:
        for mark, ttl in writes:
            cache.write([mark], TTL_S[ttl])

    return CacheUse(read, end - hour, hour - read, begin)


def _readable(prompt: Prompt, marks: list[Mark], rule: CacheRule) -> list[Mark]:
    """Return the marks at which an entry is looked for."""
    near: set[int] = set()
    for place, _ in prompt.breakpoints:
        near.update(range(max(0, place - rule.look_back + 1), place + 1))
    within = [marks[prompt.places[place]] for place in sorted(near)]
    return [mark for mark in within if mark.tokens >= rule.minimum]


def listed(content: Any) -> list[Json]:
    """Return content as blocks: a string is one text, an empty one and None are nothing."""
    if isinstance(content, str) and content:
        return [{"type": "text", "text": content}]
    return content or []


def _add(prompt: Prompt, role: str, block: Json, tokens: int) -> None:
    prompt.places.append(len(prompt.blocks))
    prompt.blocks.append(Block(_encode([role, _plain(block)]), tokens))
    for each in (block, *(listed(block.get("content")) if block.get("type") == "tool_result" else ())):
        mark = each.get("cache_control")
        if mark:
            prompt.breakpoints.append((len(prompt.places) - 1, mark.get("ttl") or "5m"))


def _mark_last(prompt: Prompt, mark: Json, spoken: Spoken) -> None:
    """Place the request's own breakpoint on the last block that can carry one."""
    kinds = [block.get("type") for _, block in spoken]
    back = next((back for back, kind in enumerate(reversed(kinds)) if kind in _MARKABLE), None)
    if back is None:
        return
    place = len(prompt.places) - 1 - back
    if all(marked != place for marked, _ in prompt.breakpoints):
        prompt.breakpoints.append((place, mark.get("ttl") or "5m"))


def _plain(block: Json) -> Json:
    """Return a block as far as it is part of the prefix: its members sorted, those of its values as they came."""
    plain = {name: value for name, value in sorted(block.items()) if name != "cache_control"}
    if isinstance(plain.get("content"), list):
        plain["content"] = [_plain(each) if isinstance(each, dict) else each for each in plain["content"]]
    return plain


def _spoken(body: Json) -> Iterator[tuple[str, Json]]:
    """Yield the blocks of all messages with their roles, without thinking that the model does not see again."""
    messages = body["messages"]
    since = 0 if models.keeps_thinking(body["model"]) else _last_question(messages)
    for index, message in enumerate(messages):
        for block in listed(message["content"]):
            if index >= since or block.get("type") not in ("thinking", "redacted_thinking"):
                yield message["role"], block


def _last_question(messages: list[Json]) -> int:
    """Return the index of the last message in which the user says something, and does not only return results."""
    for index in range(len(messages) - 1, -1, -1):
        blocks = listed(messages[index]["content"])
        if messages[index]["role"] == "user" and any(block.get("type") != "tool_result" for block in blocks):
            return index
    return 0


# What a change of invalidates, by the table of the vendor's page.


def _system_settings(body: Json, spoken: Spoken) -> list[Any]:
    documents = [block for _, block in spoken if block.get("type") == "document"]
    citations = any((block.get("citations") or {}).get("enabled") for block in documents)
    asked = (body.get("output_config") or {}).get("format") or body.get("output_format")
    return [body.get("speed"), citations, asked]


def _message_settings(body: Json, spoken: Spoken) -> list[Any]:
    choice = {name: value for name, value in (body.get("tool_choice") or {}).items() if value is not False}
    thinking = body.get("thinking") or {}
    thinks = [thinking.get("type"), thinking.get("budget_tokens")] if thinking.get("type") != "disabled" else [None] * 2
    images = any(_has_image(block) for _, block in spoken)
    return [choice if choice != {"type": "auto"} else {}, thinks, images]


def _has_image(block: Json) -> bool:
    if block.get("type") == "tool_result":
        return any(_has_image(each) for each in listed(block.get("content")))
    return block.get("type") == "image"


# Tokens.


def _tokens(block: Json) -> int:
    match block.get("type"):
        case "text" | "thinking" as kind:
            return count_tokens(block[kind])
        case "image":
            return IMAGE_TOKENS
        case "document":
            return _document_tokens(block)
        case "tool_use":
            return _json_tokens({"name": block["name"], "input": block["input"]})
        case "tool_result":
            return sum(_tokens(each) for each in listed(block.get("content")))
    return _json_tokens(block)


def _document_tokens(block: Json) -> int:
    source = block["source"]
    named = count_tokens("".join(block.get(name) or "" for name in ("title", "context")))
    match source.get("type"):
        case "text":
            return named + count_tokens(source["data"])
        case "content":
            return named + sum(_tokens(each) for each in listed(source["content"]))
    return named + PDF_TOKENS


def _json_tokens(value: Json) -> int:
    return count_tokens(_encode(_plain(value)))
