"""From the caller's messages to the system prompt and Anthropic's turns.

Each message becomes a turn of its own, whatever follows it, so that the turns of a conversation are a prefix of
those of the same conversation one answer later, and the prompt cache finds them again. The vendor joins turns of
one role itself. Tool results in a row are the exception: they must stand in one turn, and always come together.

Source: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use (read 2026-11-22).
"""

from __future__ import annotations

import re
from typing import Any

from ostinato.errors import BadRequestError
from ostinato.wire.anthropic.inputs import tool_input
from ostinato.wire.anthropic.parts import blocks_of, mark_last, replayed_thinking, text_block
from ostinato.wire.contract import Json
from ostinato.wire.values import Flaw, each_call, kind_of, mapping, plain_object

# "Available on Claude Opus 4.8 only": https://platform.claude.com/docs/en/build-with-claude/
# mid-conversation-system-messages (read 2026-11-22).
_SYSTEM_TURNS = re.compile(r"claude-opus-4-8")

_NO_ID = re.compile(r"[^A-Za-z0-9_-]")


def translate(messages: Any, model: str) -> tuple[list[Json], list[Json]]:
    """Return the blocks of the system prompt and the turns.

    Raises: BadRequestError: a message that no turn can carry; the message names it.
    """
    if not isinstance(messages, list | tuple) or not messages:
        was = "an empty list" if isinstance(messages, list | tuple) else kind_of(messages)
        raise BadRequestError(f"messages must be a list of at least one message, not {was}")
    script = _Script(model)
    turns = script.turns
    for index, message in enumerate(messages):
        if type(message) is dict and len(message) == 2:
            role, content = message.get("role"), message.get("content")
            if (role == "user" or role == "assistant") and type(content) is str and content and content.isascii():  # noqa: PLR1714
                turns.append(message)
                script.results = None
                continue
        try:
            script.take(plain_object(mapping(message), 1), index, messages)
        except Flaw as flaw:
            raise flaw.at(f"messages[{index}]") from None
    return script.system, turns


class _Script:
    """The turns so far."""

    def __init__(self, model: str) -> None:
        self.system: list[Json] = []
        self.turns: list[Json] = []
        self.results: list[Json] | None = None
        self._takes_system_turns = _SYSTEM_TURNS.search(model) is not None
        self._function_id = ""

    def take(self, message: Json, index: int, messages: Any) -> None:
        role = dict.get(message, "role")
        if role == "tool" or role == "function":  # noqa: PLR1714
            self._take_result(message, role)
            return
        self.results = None
        if role == "user":
            self._add("user", _content(message))
        elif role == "assistant":
            if dict.get(message, "function_call"):
                self._function_id = f"function_call_{index}"
            self._add("assistant", assistant_content(message, self._function_id))
        elif role in ("system", "developer"):
            self._take_system(message, messages[index + 1] if index + 1 < len(messages) else None)
        else:
            raise Flaw(f"must be system, developer, user, assistant or tool, not {role!r}", "role")

    def _add(self, role: str, content: str | list[Json]) -> None:
        if content or role == "user":
            self.turns.append({"role": role, "content": content})

    def _take_system(self, message: Json, following: Any) -> None:
        content = _content(message)
        if not content:
            return
        blocks = [text_block(content)] if isinstance(content, str) else content
        if not self.turns:
            self.system += blocks
            return
        # A system turn must follow a user's or a tool of the vendor's, and be the last or followed by an answer.
        # Elsewhere, and for models that know none, the instruction is a turn of the user's: moved to the front it
        # would change the prefix.
        speaks = any(block.get("type") != "text" for block in blocks)
        fits = self._takes_system_turns and _lets_in(self.turns[-1]) and _is_answer(following)
        self._add("system" if speaks or fits else "user", content)

    def _take_result(self, message: Json, role: str) -> None:
        call_id = self._function_id if role == "function" else dict.get(message, "tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            raise Flaw("must be the id of a tool call", "tool_call_id")
        result: Json = {"type": "tool_result", "tool_use_id": _NO_ID.sub("_", call_id)}
        content = dict.get(message, "content")
        if isinstance(content, list):
            result["content"] = blocks_of(content)
        elif content:
            result["content"] = _checked_text(content)
        if isinstance(is_error := dict.get(message, "is_error"), bool):
            result["is_error"] = is_error
        if (mark := dict.get(message, "cache_control")) is not None:
            result["cache_control"] = mark
        if self.results is None:
            self.results = []
            self.turns.append({"role": "user", "content": self.results})
        self.results.append(result)


def _lets_in(turn: Json) -> bool:
    """Say whether a system turn may follow."""
    content = turn["content"]
    if turn["role"] != "assistant" or not isinstance(content, list):
        return bool(turn["role"] == "user")
    return str(content[-1].get("type")).endswith(("server_tool_use", "tool_result"))


def _is_answer(following: Any) -> bool:
    return following is None or (isinstance(following, dict) and dict.get(following, "role") == "assistant")


def _content(message: Json) -> str | list[Json]:
    """Return the content of a message, with the message's own mark moved to its last block."""
    content = dict.get(message, "content")
    mark = dict.get(message, "cache_control")
    if isinstance(content, list):
        blocks = blocks_of(content)
        return blocks if mark is None else mark_last(blocks, mark)
    text = _checked_text(content)
    return text if mark is None or not text else [text_block(text, mark)]


def _checked_text(content: Any) -> str:
    if not isinstance(content, str):
        raise Flaw(f"must be a str or a list of parts, not {kind_of(content)}", "content")
    return content


def assistant_content(message: Json, function_id: str = "") -> str | list[Json]:
    """Return what the assistant said, as a text where it is no more than that. Raises: Flaw."""
    mark = dict.get(message, "cache_control")
    blocks = _own_blocks(message)
    if blocks is None:
        content = dict.get(message, "content")
        said = blocks_of(content) if isinstance(content, list) else None
        thoughts = [] if said is not None and _thinks(said) else _thoughts(message)
        calls = _calls(message, function_id)
        text = "" if said is not None else (_checked_text(content) if content is not None else "")
        refusal = dict.get(message, "refusal")
        if not text and not said and isinstance(refusal, str):
            text = refusal
        if said is None and not thoughts and not calls and mark is None:
            return text
        if said is None:
            said = [text_block(text)] if text else []
        blocks = [*thoughts, *said, *calls]
    return blocks if mark is None else mark_last(blocks, mark)


def _own_blocks(message: Json) -> list[Json] | None:
    """Return the blocks that `parse` left on a message, as long as they still say what the message says."""
    blocks = dict.get(message, "content_blocks")
    if not isinstance(blocks, list) or not blocks or not all(isinstance(block, dict) for block in blocks):
        return None
    content = dict.get(message, "content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    said = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    calls = dict.get(message, "tool_calls")
    named = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if said != (content or "") or named != [block.get("id") for block in blocks if block.get("type") == "tool_use"]:
        return None
    return [replayed_thinking(block) if "thinking" in str(block.get("type")) else block for block in blocks]


def _thinks(blocks: list[Json]) -> bool:
    return any(block.get("type") in ("thinking", "redacted_thinking") for block in blocks)


def _thoughts(message: Json) -> list[Json]:
    """Return the thinking blocks of a message, as they came. One without a signature is no block of this vendor's."""
    blocks = dict.get(message, "thinking_blocks")
    if not isinstance(blocks, list):
        return []
    return [
        replayed_thinking(block)
        for block in blocks
        if isinstance(block, dict) and (block.get("type") == "redacted_thinking" or block.get("signature"))
    ]


def _calls(message: Json, function_id: str) -> list[Json]:
    blocks = each_call(message, _call)
    legacy = dict.get(message, "function_call")
    if isinstance(legacy, dict) and not blocks:
        arguments = tool_input(legacy.get("arguments"))
        blocks.append({"type": "tool_use", "id": function_id, "name": legacy.get("name"), "input": arguments})
    return blocks


def _call(call: Json, call_id: str, index: int) -> Json:
    function, custom = dict.get(call, "function"), dict.get(call, "custom")
    if isinstance(custom, dict):
        name, given = custom.get("name"), {"input": custom.get("input")}
    elif isinstance(function, dict):
        name, given = function.get("name"), tool_input(dict.get(function, "arguments"))
    else:
        raise Flaw("must have a function", index, "tool_calls")
    block: Json = {"type": "tool_use", "id": _NO_ID.sub("_", call_id), "name": name, "input": given}
    for beside in ("caller", "cache_control"):
        if (value := dict.get(call, beside)) is not None:
            block[beside] = value
    return block
