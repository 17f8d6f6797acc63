"""The mistakes in a Messages request that the vendor answers with 400, in its own words.

They are worded as in recorded traffic where that has the case; the others are modelled on those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ostinato.testing.emulator.anthropic import models
from ostinato.testing.emulator.anthropic.prompt import TTL_S, listed
from ostinato.testing.emulator.anthropic.turn import SIGNED_HERE, sign

Json = dict[str, Any]

_COUNTED = frozenset(
    """
model messages system tools tool_choice thinking output_config cache_control speed user_profile_id workspace_id
context_management mcp_servers output_format billing_policy compaction
""".split()  # noqa: SIM905 - quoted names are harder to read
)
_KNOWN = _COUNTED | frozenset(
    """
max_tokens stream temperature top_p top_k stop_sequences metadata service_tier inference_geo container diagnostics
fallbacks fallback_credit_token thread
""".split()  # noqa: SIM905 - the same
)
_TEXT = ("text", str)
_MEMBERS: dict[str, tuple[tuple[str, type | tuple[type, ...]], ...]] = {
    "text": (_TEXT,),
    "image": (("source", dict),),
    "document": (("source", dict),),
    "tool_use": (("id", str), ("name", str), ("input", dict)),
    "tool_result": (("tool_use_id", str),),
    "thinking": (("thinking", str), ("signature", str)),
    "redacted_thinking": (("data", str),),
}
"""What a block must have, by its type. Blocks of other types are the vendor's own tools and betas."""
_BREAKPOINTS = 4


class Refused(Exception):  # noqa: N818  (an answer, not a failure)
    """The request is one that the vendor refuses."""

    def __init__(self, message: str, kind: str = "invalid_request_error", status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": kind, "message": message}


def check_messages(body: Any) -> None:
    """Return when the request can be answered.

    Raises: Refused: the vendor would not.
    """
    _check_shape(body, _KNOWN, ("model", "max_tokens", "messages"))
    limit = body["max_tokens"]
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise Refused("max_tokens: Input should be a valid integer")
    if limit < 0:
        raise Refused("max_tokens: Input should be greater than or equal to 0")
    _check_all(body)
    _check_thinking(body)
    if limit == 0:
        _check_warming(body)


def check_count(body: Any) -> None:
    """Return when the tokens of the request can be counted. Raises: Refused: the vendor would not."""
    _check_shape(body, _COUNTED, ("model", "messages"))
    _check_all(body)


def _check_shape(body: Any, known: frozenset[str], required: tuple[str, ...]) -> None:
    if not isinstance(body, dict):
        raise Refused("Input should be a valid dictionary")
    for name in required:
        if body.get(name) is None:
            raise Refused(f"{name}: Field required")
    for name in body:
        if name not in known:
            raise Refused(f"{name}: Extra inputs are not permitted")
    if not isinstance(body["model"], str) or not body["model"]:
        raise Refused("model: Input should be a valid string")


def _check_all(body: Json) -> None:
    _check_turns(body)
    for check in _CHECKS:
        check(body)


# Turns.


def _check_turns(body: Json) -> None:
    messages = body["messages"]
    if not isinstance(messages, list):
        raise Refused("messages: Input should be a valid list")
    if not messages:
        raise Refused("messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise Refused(f"messages.{index}: Input does not match the expected shape.")
        _check_role(body["model"], message.get("role"), index)
        last_of_assistant = index == len(messages) - 1 and message["role"] == "assistant"
        content = message.get("content")
        if content is None:
            raise Refused(f"messages.{index}.content: Field required")
        if not isinstance(content, str | list):
            raise Refused(f"messages.{index}.content: Input should be a valid list")
        if not content and not last_of_assistant:
            raise Refused(
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )
        for position, block in enumerate(listed(content)):
            _check_block(block, f"messages.{index}.content.{position}")
        if last_of_assistant:
            _check_begun(listed(content))


def _check_role(model: str, role: Any, index: int) -> None:
    if role == "system" and not models.takes_system_turns(model):
        raise Refused(
            f'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system"'
            f" as an input message role. (messages.{index})"
        )
    if role not in ("user", "assistant", "system"):
        raise Refused(f"messages.{index}.role: Input should be 'user' or 'assistant'")


def _check_begun(blocks: list[Json]) -> None:
    """Refuse an answer begun for the model that ends with a space."""
    if blocks and blocks[-1].get("type") == "text" and blocks[-1]["text"] != blocks[-1]["text"].rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")


def _check_block(block: Any, at: str) -> None:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise Refused(f"{at}.type: Field required")
    kind = block["type"]
    for name, expected in _MEMBERS.get(kind, ()):
        if name not in block:
            raise Refused(f"{at}.{kind}.{name}: Field required")
        if not isinstance(block[name], expected):
            raise Refused(f"{at}.{kind}.{name}: Input should be a valid {_NAMES[expected]}")
    if kind == "text" and not block["text"]:
        raise Refused("messages: text content blocks must be non-empty")
    if (
        kind == "thinking"
        and block["signature"].startswith(SIGNED_HERE)
        and block["signature"] != sign(block["thinking"])
    ):
        raise Refused(f"{at}: Invalid `signature` in `thinking` block")
    if kind == "tool_result":
        for position, each in enumerate(listed(block.get("content"))):
            _check_block(each, f"{at}.tool_result.content.{position}")


_NAMES: dict[Any, str] = {str: "string", dict: "dictionary"}


def _check_tool_results(body: Json) -> None:
    """Every call of a tool is answered first thing in the next turn, and every answer has its call."""
    calls: list[str] = []
    for index, (_, blocks) in enumerate(turns := list(_merged(body["messages"]))):
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        leading = 0
        while leading < len(blocks) and blocks[leading]["type"] == "tool_result":
            leading += 1
        unanswered = [call for call in calls if call not in results[:leading]]
        if unanswered:
            raise Refused(
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(unanswered)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        for position, result in enumerate(results):
            if result not in calls:
                raise Refused(
                    f"messages.{index}.content.{position}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{result}. Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                    "message."
                )
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"] if index < len(turns) - 1 else []


def _merged(messages: list[Json]) -> Iterator[tuple[str, list[Json]]]:
    """Yield turns: messages of one role in a row are one, and instructions in between are none."""
    role, blocks = "", list[Json]()
    for message in messages:
        if message["role"] == "system":
            continue
        if message["role"] != role and blocks:
            yield role, blocks
            blocks = []
        role = message["role"]
        blocks = [*blocks, *listed(message["content"])]
    yield role, blocks


# Settings.


def _check_system(body: Json) -> None:
    system = body.get("system")
    if system is not None and not isinstance(system, str | list):
        raise Refused("system: Input should be a valid list")
    for block in listed(system):
        if block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise Refused("system: Input should be a valid list of text blocks")
        if not block["text"]:
            raise Refused("system: text content blocks must be non-empty")


def _check_tools(body: Json) -> None:
    names = set()
    for index, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool, dict):
            raise Refused(f"tools.{index}: Input does not match the expected shape.")
        if tool.get("type", "custom") == "custom":
            _check_custom_tool(tool, index)
        names.add(tool.get("name"))
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not isinstance(choice, dict) or choice.get("type") not in ("auto", "any", "tool", "none"):
        raise Refused("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if not names and choice["type"] != "none":
        raise Refused("tool_choice may only be specified while providing tools")
    if choice["type"] == "tool" and choice.get("name") not in names:
        raise Refused(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_custom_tool(tool: Json, index: int) -> None:
    at = f"tools.{index}.custom"
    for name in ("name", "input_schema"):
        if name not in tool:
            raise Refused(f"{at}.{name}: Field required")
    schema = tool["input_schema"]
    if not isinstance(schema, dict):
        raise Refused(f"{at}.input_schema: Input does not match the expected shape.")
    if "type" not in schema:
        raise Refused(f"{at}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise Refused(f"{at}.input_schema.type: Input should be 'object'")


def _check_format(body: Json) -> None:
    asked = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if asked is None:
        return
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        raise Refused("output_config.format.type: Input should be 'json_schema'")
    if not isinstance(asked.get("schema"), dict):
        raise Refused("output_config.format.schema: Field required")


def _check_thinking(body: Json) -> None:
    asked = body.get("thinking")
    if asked is None:
        return
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise Refused("thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'")
    if kind == "disabled":
        return
    if kind == "enabled":
        budget = asked.get("budget_tokens")
        if not isinstance(budget, int):
            raise Refused("thinking.enabled.budget_tokens: Field required")
        if budget < 1024:
            raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= body["max_tokens"] > 0:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
    # A model that decides for itself just does not think then, in recorded traffic.
    if kind == "enabled" and (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise Refused("Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("temperature") not in (None, 1):
        raise Refused("`temperature` may only be set to 1 when thinking is enabled.")


def _check_warming(body: Json) -> None:
    """Refuse what `max_tokens: 0`, which only writes to the prompt cache, does not go with."""
    thinking = (body.get("thinking") or {}).get("type", "disabled") != "disabled"
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    formatted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if body.get("stream") or thinking or forced or formatted:
        raise Refused("max_tokens: 0 cannot be combined with streaming, thinking, forced tool use or an output format")


# The prompt cache.


def _check_breakpoints(body: Json) -> None:
    marks = list(_marks(body))
    for at, mark in marks:
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
            raise Refused(f"{at}cache_control.type: Input should be 'ephemeral'")
        if _ttl(mark) not in TTL_S:
            raise Refused(f"{at}cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    last = listed(body["messages"][-1]["content"])
    own = last[-1].get("cache_control") if last else None
    if own and body.get("cache_control"):
        # Both stand on the same block, so they are one.
        if _ttl(own) != _ttl(body["cache_control"]):
            raise Refused("cache_control: the last block has a cache_control with another ttl")
        marks.pop()
    if len(marks) > _BREAKPOINTS:
        raise Refused(f"A maximum of {_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}.")
    short = False
    for at, mark in marks:
        if short and _ttl(mark) == "1h":
            raise Refused(
                f"{at}cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control "
                "block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        short = short or _ttl(mark) == "5m"


def _ttl(mark: Json) -> str:
    return mark.get("ttl") or "5m"


def _marks(body: Json) -> Iterator[tuple[str, Any]]:
    """Yield the breakpoints with where they stand, in the order of the prompt; the request's own is the last."""
    for index, tool in enumerate(body.get("tools") or ()):
        yield from _mark(f"tools.{index}.", tool)
    for index, block in enumerate(listed(body.get("system"))):
        yield from _mark(f"system.{index}.", block)
    for index, message in enumerate(body["messages"]):
        for position, block in enumerate(listed(message["content"])):
            at = f"messages.{index}.content.{position}."
            if block.get("cache_control") and block["type"] in ("thinking", "redacted_thinking"):
                raise Refused(f"{at}{block['type']}.cache_control: Extra inputs are not permitted")
            if block["type"] == "tool_result":
                for inner, each in enumerate(listed(block.get("content"))):
                    yield from _mark(f"{at}tool_result.content.{inner}.", each)
            yield from _mark(at, block)
    yield from _mark("", body)


def _mark(at: str, block: Json) -> Iterator[tuple[str, Any]]:
    if block.get("cache_control") is not None:
        yield at, block["cache_control"]


_CHECKS: tuple[Callable[[Json], None], ...] = (
    _check_tool_results,
    _check_system,
    _check_tools,
    _check_format,
    _check_breakpoints,
)
