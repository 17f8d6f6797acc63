"""From the caller's messages to the instructions and the input items of the Responses API.

Each message becomes its items on its own, whatever follows it, so that the input of a conversation is a prefix of
the input of the same conversation one answer later, and the prompt cache finds it again. An answer of this wire goes
back as the items that it came as, reasoning and its encrypted content included.

Not carried: the `name` of a message, for which the API has no member.

Source: https://platform.openai.com/docs/api-reference/responses/create and
https://platform.openai.com/docs/guides/migrate-to-responses (read 2026-11-22).
"""

from __future__ import annotations

from typing import Any

from ostinato.errors import BadRequestError
from ostinato.wire.contract import Json
from ostinato.wire.openai_responses.parts import parts_of, said
from ostinato.wire.values import Flaw, check_json, each_call, kind_of, mapping, plain_object

CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
"""Items that call a tool of the caller's: what a message calls them, and where they hold what the tool is given."""

_NOT_CALLS = frozenset({"item_reference", "mcp_approval_response", "additional_tools", "configuration_update"})


def is_item(part: Any) -> bool:
    """Say whether a content part is no part but an item of its own, as `read_request` leaves one it cannot say."""
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and (kind.endswith("_output") or kind in _NOT_CALLS or kind.startswith("compaction"))


def translate(messages: Any, *, instructed: bool) -> tuple[str | None, list[Json]]:
    """Return the instructions and the input items.

    A plain system message at the start is the instructions, unless there are some: `instructed`.

    Raises: BadRequestError: a message that no item can carry; the error names it.
    """
    if not isinstance(messages, list | tuple) or not messages:
        was = "an empty list" if isinstance(messages, list | tuple) else kind_of(messages)
        raise BadRequestError(f"messages must be a list of at least one message, not {was}")
    script = _Script()
    items = script.items
    instructions = None if instructed else _instructions(messages[0])
    for index, message in enumerate(messages):
        if index == 0 and instructions is not None:
            continue
        if type(message) is dict and len(message) == 2:
            role, content = message.get("role"), message.get("content")
            if (role == "user" or role == "assistant") and type(content) is str and content.isascii():  # noqa: PLR1714
                items.append(message)
                continue
        try:
            script.take(plain_object(mapping(message), 1), index)
        except Flaw as flaw:
            raise flaw.at(f"messages[{index}]") from None
    return instructions, items


def _instructions(message: Any) -> str | None:
    """Return the text of a plain system message; None for any other, also for one whose content is parts."""
    if not isinstance(message, dict) or dict.get(message, "role") != "system":
        return None
    content = dict.get(message, "content")
    if not isinstance(content, str):
        return None
    checked: str = check_json(content, "messages[0].content")
    return checked


class _Script:
    """The input so far."""

    def __init__(self) -> None:
        self.items: list[Json] = []
        self._custom: set[str] = set()
        self._function_id = ""

    def take(self, message: Json, index: int) -> None:
        role = dict.get(message, "role")
        if role == "assistant":
            if dict.get(message, "function_call"):
                self._function_id = f"function_call_{index}"
            items = answer_items(message, self._function_id)
            self._custom.update(item["call_id"] for item in items if item.get("type") == "custom_tool_call")
            self.items += items
        elif role in ("tool", "function"):
            self._take_result(message, role)
        elif role in ("user", "system", "developer"):
            self._take_words(message, role)
        else:
            raise Flaw(f"must be system, developer, user, assistant or tool, not {role!r}", "role")

    def _take_words(self, message: Json, role: str) -> None:
        content = dict.get(message, "content")
        if isinstance(content, list):
            if content and all(map(is_item, content)):
                self.items += content
                return
            content = parts_of(content)
        elif not isinstance(content, str):
            raise Flaw(f"must be a str or a list of parts, not {kind_of(content)}", "content")
        self.items.append({"role": role, "content": content})

    def _take_result(self, message: Json, role: str) -> None:
        call_id = self._function_id if role == "function" else dict.get(message, "tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            raise Flaw("must be the id of a tool call", "tool_call_id")
        content = dict.get(message, "content")
        if isinstance(content, list):
            content = parts_of(content)
        elif content is None:
            content = ""
        elif not isinstance(content, str):
            raise Flaw(f"must be a str or a list of parts, not {kind_of(content)}", "content")
        kind = "custom_tool_call_output" if call_id in self._custom else "function_call_output"
        self.items.append({"type": kind, "call_id": call_id, "output": content})


def answer_items(message: Json, function_id: str = "") -> list[Json]:
    """Return what the assistant said as items: those it came as, as long as they still say the same. Raises: Flaw."""
    items = _own_items(message)
    if items is not None:
        return items
    made = list(_objects(dict.get(message, "reasoning_items")))
    content = dict.get(message, "content")
    if isinstance(content, list):
        content = said(content)
    elif content is not None and not isinstance(content, str):
        raise Flaw(f"must be a str, None or a list of parts, not {kind_of(content)}", "content")
    calls = _calls(message, function_id)
    text = content or dict.get(message, "refusal")
    if (isinstance(text, str) and text) or not (made or calls):
        made.append({"role": "assistant", "content": text or ""})
    return made + calls


def _own_items(message: Json) -> list[Json] | None:
    """Return the items that `parse` left on a message, as long as they still say what the message says."""
    items = dict.get(message, "output_items")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return None
    content = dict.get(message, "content")
    text = said(content) if isinstance(content, list) else content or ""
    named = [dict.get(call, "id") for call in _objects(dict.get(message, "tool_calls"))]
    if text != text_of(items) or named != [item.get("call_id") for item in items if item.get("type") in (*CALLS,)]:
        return None
    return items


def text_of(items: list[Json]) -> str:
    """Return the text of all messages among `items`, joined."""
    texts: list[str] = []
    for item in items:
        if item.get("type", "message") == "message":
            content = item.get("content")
            if isinstance(content, str):
                texts.append(content)
            else:
                told = [part.get("text") for part in _objects(content) if part.get("type") == "output_text"]
                texts += [text for text in told if isinstance(text, str)]
    return "".join(texts)


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _calls(message: Json, function_id: str) -> list[Json]:
    items = each_call(message, _call)
    legacy = dict.get(message, "function_call")
    if isinstance(legacy, dict) and not items:
        items.append(_named("function_call", function_id, legacy, "arguments"))
    return items


def _call(call: Json, call_id: str, index: int) -> Json:
    for kind, (name, given) in CALLS.items():
        called = dict.get(call, name)
        if isinstance(called, dict):
            try:
                return _named(kind, call_id, called, given)
            except Flaw as flaw:
                flaw.path += (name, index, "tool_calls")
                raise
    raise Flaw("must have a function", index, "tool_calls")


def _named(kind: str, call_id: str, called: Json, member: str) -> Json:
    name, given = called.get("name"), called.get(member)
    if not isinstance(name, str):
        raise Flaw(f"must be a str, not {kind_of(name)}", "name")
    if given is not None and not isinstance(given, str):
        raise Flaw(f"must be a str, not {kind_of(given)}", member)
    return {"type": kind, "call_id": call_id, "name": name, member: given or ""}
