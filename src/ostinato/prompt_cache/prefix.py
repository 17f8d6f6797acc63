"""A request as a vendor's prompt cache sees it: pieces in the order in which they are read, and marks between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from ostinato.errors import BadRequestError
from ostinato.pricing.table import find
from ostinato.prompt_cache.auto import USUAL_MINIMUM, place_auto
from ostinato.prompt_cache.points import place_points
from ostinato.providers import Found, find_model
from ostinato.wire import find_wire
from ostinato.wire.contract import Call, Json
from ostinato.wire.openai_chat.breakpoints import takes_breakpoints

Level = Literal["setting", "tools", "system", "messages"]

BYTES_PER_TOKEN = 4
"""What a token is, about. Only for telling how much is meant."""
_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint", "cachePoint"})
_OURS = frozenset(
    "api_base api_key base_url cache cache_control_injection_points caching custom_llm_provider drop_params "  # noqa: SIM905
    "extra_body extra_headers extra_query max_retries messages model num_retries prompt_caching stream stream_options "
    "timeout user".split()
)
"""Members of a call that are no part of its prompt."""
_OPENAI_SETTINGS = ("response_format", "text", "reasoning_effort", "reasoning", "verbosity", "parallel_tool_calls")
"""Source: https://developers.openai.com/api/docs/guides/prompt-caching (read 2026-11-22)."""
_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode


class Piece(msgspec.Struct, frozen=True):
    """A part of a prompt. Two prompts share what they begin with alike, piece by piece."""

    level: Level
    path: str
    """Where it stands in the vendor's request."""
    text: str
    """What the vendor reads of it."""
    name: str = ""
    """The tool's name, or the role."""
    order_free: bytes = b""
    """The same whatever the order of names inside."""


class Prefix(msgspec.Struct, frozen=True):
    """A prompt, and up to where it is kept."""

    found: Found
    pieces: Sequence[Piece]
    marks: Mapping[int, str]
    """How long is kept what ends with a piece, by its place: `5m`, `1h`, `30m`."""
    marked: bool
    """Whether the vendor keeps nothing without a mark."""
    minimum: int
    """Tokens that a beginning must have."""

    def tokens(self, stop: int) -> int:
        """Return about how many tokens stand before a piece."""
        return sum(len(piece.text.encode(errors="replace")) for piece in self.pieces[:stop]) // BYTES_PER_TOKEN


def prefix_of(call: Mapping[str, Any]) -> Prefix:
    """Return the prompt of a call in the words of `completion` (`model`, `messages`, `tools` …).

    Raises: ConfigurationError, BadRequestError: it is no call.
    """
    found = find_model(call.get("model"))
    messages, params = call.get("messages"), dict(call)
    if not isinstance(messages, list):
        raise BadRequestError("a call to explain has 'model' and a list of 'messages'")
    known = find(found.provider.name, found.name)
    minimum = known.facts.get("minimum") if known is not None else None
    if points := call.get("cache_control_injection_points"):
        messages, params = place_points(messages, params, points)
    if call.get("prompt_caching"):
        messages, params = place_auto(messages, params, found, lambda: minimum)
    sent = {name: value for name, value in params.items() if value is not None and name not in _OURS}
    body = find_wire(found.wire).build(Call(found.name, messages, sent, drop_params=True, strict=False), found.provider)
    return _prefix(found, body.body, minimum or USUAL_MINIMUM)


def _prefix(found: Found, body: Json, minimum: int) -> Prefix:
    reading = _Reading()
    if found.wire == "bedrock_converse":
        _read_converse(reading, body)
    elif found.wire in {"anthropic", "bedrock_invoke"}:
        _read_messages(reading, body)
    else:
        _read_openai(reading, body)
    marked = found.wire in {"anthropic", "bedrock_invoke", "bedrock_converse"} or bool(reading.marks)
    if found.provider.name == "openai" and takes_breakpoints(found.name):
        marked = True
        # The vendor marks the end of the prompt, and looks at the ends of the messages before it.
        reading.marks.setdefault(len(reading.pieces) - 1, "30m")
    return Prefix(found, reading.pieces, reading.marks, marked, minimum)


class _Reading:
    """The pieces so far."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.marks: dict[int, str] = {}

    def take(self, level: Level, path: str, value: Any, name: str = "") -> None:
        """Take a piece, and the mark on it."""
        mark = next((value[kind] for kind in _MARKS if value.get(kind)), None) if isinstance(value, dict) else None
        plain = _plain(value)
        text = plain if isinstance(plain, str) else _text_of(plain) or _encode(plain).decode()
        self.pieces.append(Piece(level, path, text, name, _sorted([level, name, plain])))
        if mark is not None:
            self.mark(mark)

    def mark(self, mark: Any) -> None:
        """Mark what has been taken so far."""
        if self.pieces:
            usual = "30m" if isinstance(mark, dict) and "mode" in mark else "5m"
            self.marks[len(self.pieces) - 1] = (mark.get("ttl") or usual) if isinstance(mark, dict) else usual

    def settings(self, body: Json, names: Sequence[str]) -> None:
        """Take settings that change what is behind them."""
        for name in names:
            if body.get(name) is not None:
                self.take("setting", name, _encode(body[name]).decode())


def _read_messages(reading: _Reading, body: Json) -> None:
    """Read a body of Anthropic's: tools, system, messages."""
    for index, tool in enumerate(body.get("tools") or ()):
        reading.take("tools", f"tools[{index}]", tool, str(tool.get("name")))
    reading.settings(body, ("speed", "output_config", "output_format"))
    for index, block in enumerate(_blocks(body.get("system"))):
        reading.take("system", f"system[{index}]", block)
    reading.settings(body, ("tool_choice", "thinking"))
    for path, role, block in _spoken(body["messages"]):
        reading.take("messages", path, block, role)
    if body.get("cache_control"):
        reading.mark(body["cache_control"])


def _read_converse(reading: _Reading, body: Json) -> None:
    """Read a body of Converse's, where a mark is a block behind what it closes."""
    config = body.get("toolConfig") or {}
    places: list[tuple[Level, str, str, Any]] = [
        ("tools", f"toolConfig.tools[{index}]", str((tool.get("toolSpec") or {}).get("name")), tool)
        for index, tool in enumerate(config.get("tools") or ())
    ]
    places += [("system", f"system[{index}]", "", block) for index, block in enumerate(_blocks(body.get("system")))]
    places += [("messages", path, role, block) for path, role, block in _spoken(body["messages"])]
    extra = body.get("additionalModelRequestFields") or {}
    settled = False
    for level, path, name, block in places:
        if level == "messages" and not settled:
            settled = True
            reading.settings({**extra, "toolChoice": config.get("toolChoice")}, ("toolChoice", "thinking"))
        if "cachePoint" in block:
            reading.mark(block["cachePoint"])
        else:
            reading.take(level, path, block, name)


def _read_openai(reading: _Reading, body: Json) -> None:
    """Read a body of chat's or of the Responses API's."""
    reading.settings(body, _OPENAI_SETTINGS)
    for index, tool in enumerate(body.get("tools") or ()):
        named = tool.get("function") if isinstance(tool.get("function"), dict) else tool
        reading.take("tools", f"tools[{index}]", tool, str(named.get("name")))
    if body.get("instructions"):
        reading.take("system", "instructions", body["instructions"])
    spoken = "messages" if "messages" in body else "input"
    for index, message in enumerate(body[spoken]):
        role, path = str(message.get("role") or message.get("type")), f"{spoken}[{index}]"
        level: Level = "system" if role in {"system", "developer"} else "messages"
        content = message.get("content")
        rest = {name: value for name, value in message.items() if name not in {"role", "content"}}
        for at, block in enumerate(_blocks(content)):
            reading.take(level, path if isinstance(content, str) else f"{path}.content[{at}]", block, role)
        if rest.keys() - _MARKS:
            reading.take(level, path, rest, role)
    if body.get("cache_control"):
        reading.mark(body["cache_control"])


def _spoken(messages: Sequence[Json]) -> Iterator[tuple[str, str, Any]]:
    for index, message in enumerate(messages):
        content = message.get("content")
        for at, block in enumerate(_blocks(content)):
            place = f"messages[{index}].content"
            yield place if isinstance(content, str) else f"{place}[{at}]", str(message.get("role")), block


def _blocks(content: Any) -> Sequence[Any]:
    """Return content as blocks; a text is one."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content or ()


def _plain(value: Any) -> Any:
    """Return a piece without marks, its own and those of the blocks in it."""
    if not isinstance(value, dict):
        return value
    plain = {name: item for name, item in value.items() if name not in _MARKS}
    if isinstance(plain.get("content"), list):
        plain["content"] = [_plain(item) for item in plain["content"]]
    return plain


def _text_of(plain: Any) -> str | None:
    """Return the text of a block that is nothing else."""
    if isinstance(plain, dict) and plain.keys() <= {"type", "text"} and isinstance(plain.get("text"), str):
        return str(plain["text"])
    return None
