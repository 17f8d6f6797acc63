"""OpenAI's messages as Converse's system blocks and turns.

Each message is translated by itself and turns only ever grow at their end, so what was sent for a conversation is
a prefix of what is sent when it goes on, and the vendor's prompt cache finds it again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ostinato.errors import BadRequestError
from ostinato.wire.bedrock_converse.arguments import value_of
from ostinato.wire.bedrock_converse.content import blocks_of
from ostinato.wire.bedrock_converse.marks import mark_end, point_of
from ostinato.wire.bedrock_converse.models import Traits
from ostinato.wire.bedrock_converse.response import BLOCKS, read_content
from ostinato.wire.contract import Json
from ostinato.wire.values import Flaw, kind_of, mapping, plain_object

_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def turns_of(messages: Any, traits: Traits) -> tuple[list[Json], list[Json]]:
    """Return the system blocks and the turns of a conversation.

    Instructions in front of the first turn are the system's; later ones stay where they are, as the user's words,
    for the vendor has no other place for them and moving them to the front would change what is cached.

    Raises: BadRequestError: messages that no request of this wire can carry.
    """
    if not isinstance(messages, list | tuple) or not messages:
        was = "an empty list" if isinstance(messages, list | tuple) else kind_of(messages)
        raise BadRequestError(f"messages must be a list of at least one message, not {was}")
    system: list[Json] = []
    turns: list[Json] = []
    for index, given in enumerate(messages):
        try:
            message = plain_object(mapping(given), 1)
            role = dict.get(message, "role")
            blocks = _blocks(message, role, traits)
            mark_end(blocks, point_of(message.get("cache_control")))
        except Flaw as flaw:
            raise flaw.at(f"messages[{index}]") from None
        if role in {"system", "developer"} and not turns:
            system += blocks
        elif blocks:
            side = "assistant" if role == "assistant" else "user"
            if turns and turns[-1]["role"] == side:
                turns[-1]["content"] += blocks
            else:
                turns.append({"role": side, "content": blocks})
    if not turns:
        raise BadRequestError("messages hold no turn of the user, and Bedrock takes no conversation without one")
    return system, turns


def _blocks(message: Json, role: Any, traits: Traits) -> list[Json]:
    if role == "assistant":
        return _assistant(message, traits)
    if role == "tool":
        return _tool_result(message)
    if role not in ("user", "system", "developer"):
        raise Flaw(f"is {role!r}; Converse takes system, developer, user, assistant and tool", "role")
    blocks = blocks_of(dict.get(message, "content"))
    if not blocks and role == "user":
        raise Flaw("is empty, and Bedrock takes no empty text", "content")
    return blocks


def _assistant(message: Json, traits: Traits) -> list[Json]:
    content, calls = dict.get(message, "content"), message.get("tool_calls") or []
    own = _own_content(message, content, calls)
    if own is not None:
        return own
    blocks = [block for given in message.get("thinking_blocks") or () if (block := _thought(given, traits))]
    said = blocks_of(content)
    if not said and isinstance(message.get("refusal"), str):
        said = blocks_of(message["refusal"])
    blocks += said
    if not isinstance(calls, list):
        raise Flaw(f"must be a list, not {kind_of(calls)}", "tool_calls")
    for index, call in enumerate(calls):
        try:
            blocks.append(_tool_use(call))
            point = point_of(call.get("cache_control"))
        except Flaw as flaw:
            flaw.path += (index, "tool_calls")
            raise
        if point is not None:
            blocks.append(point)
    if message.get("function_call"):
        raise Flaw("is not taken by Converse; write tool_calls", "function_call")
    return blocks


def _own_content(message: Json, content: Any, calls: list[Any]) -> list[Json] | None:
    """Return the blocks that Converse itself sent for this message, as long as the message still says the same."""
    fields = message.get("provider_specific_fields")
    own = fields.get(BLOCKS) if isinstance(fields, Mapping) else None
    if not isinstance(own, list) or not own:
        return None
    try:
        read = read_content(own)
    except (TypeError, KeyError, AttributeError):
        return None
    if read["content"] != content or read.get("tool_calls", []) != calls:
        return None
    return [_replayed(block) for block in own if block.get("text") != ""]


def _replayed(block: Json) -> Json:
    """Return a block as Bedrock takes it back: it refuses the `type` that it writes into its own `toolUse`."""
    use = block.get("toolUse")
    if isinstance(use, dict) and use.get("type") == "tool_use":
        return {"toolUse": {name: value for name, value in use.items() if name != "type"}}
    return block


def _thought(given: Any, traits: Traits) -> Json | None:
    """Return a block of reasoning as it was, or None for one that the model would not take back."""
    if not isinstance(given, dict):
        raise Flaw(f"must hold mappings, not {kind_of(given)}", "thinking_blocks")
    if given.get("type") == "redacted_thinking":
        return {"reasoningContent": {"redactedContent": given.get("data")}}
    inner = {"text": given.get("thinking") or ""}
    if given.get("signature") is not None:
        inner["signature"] = given["signature"]
    elif traits.claude:
        return None
    return {"reasoningContent": {"reasoningText": inner}}


def _tool_use(call: Any) -> Json:
    if not isinstance(call, dict):
        raise Flaw(f"must be a mapping, not {kind_of(call)}")
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Flaw("is no call of a function by its name", "function")
    arguments = function.get("arguments")
    value = value_of(arguments) if isinstance(arguments, str) else {} if arguments is None else arguments
    return {"toolUse": {"toolUseId": _id(call.get("id"), "id"), "name": function["name"], "input": value}}


def _tool_result(message: Json) -> list[Json]:
    blocks = blocks_of(dict.get(message, "content"))
    # A point cannot stand inside a result, only behind it.
    points = [block for block in blocks if "cachePoint" in block]
    result: Json = {
        "toolUseId": _id(message.get("tool_call_id"), "tool_call_id"),
        "content": [block for block in blocks if "cachePoint" not in block],
    }
    if message.get("is_error"):
        result["status"] = "error"
    return [{"toolResult": result}, *points[-1:]]


def _id(given: Any, name: str) -> str:
    """Return an id of a tool call as Converse takes it: one that it would refuse becomes its digest."""
    if not isinstance(given, str) or not given:
        raise Flaw(f"must be a non-empty str, not {kind_of(given)}" if given != "" else "is empty", name)
    return given if _ID.fullmatch(given) else f"id-{hashlib.sha256(given.encode()).hexdigest()[:40]}"
