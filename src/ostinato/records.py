"""Answers as the caller reads them: attribute and mapping access over the vendor's JSON, without loss.

A record *is* the JSON object (a `dict`), so whatever a vendor sends survives, `json.dumps` works, and a
message can be appended to `messages` as it is. Nested objects become records when they are first read.

A name that OpenAI's types declare reads None when it is absent; it stays out of `in`, iteration and
`model_dump()`. Any other absent name is an AttributeError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, cast

import msgspec

_ABSENT = object()


class Record(dict[str, Any]):
    """A JSON object whose members can be read as attributes too."""

    __slots__ = ()

    declared: ClassVar[frozenset[str]] = frozenset()
    """Names that read None when absent."""
    nested: ClassVar[Mapping[str, type[Record]]] = {}
    """The record type of members that hold an object or a list of objects; others become `Record`."""

    def __getattr__(self, name: str) -> Any:
        value = dict.get(self, name, _ABSENT)
        if value is _ABSENT:
            if name in self.declared:
                return None
            if name[0] == "_":
                raise AttributeError(name)  # asked for by ourselves: no words needed
            raise AttributeError(f"{type(self).__name__} has no field {name!r}; it has: {', '.join(self) or 'none'}")
        kind = type(value)
        if kind is str or kind is int:
            return value
        return self._as_records(name, value)

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Any:
        value = dict.__getitem__(self, name)
        if type(value) is dict or type(value) is list:
            return self._as_records(name, value)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return the member `name`, or `default` when it is absent."""
        try:
            return self[name]
        except KeyError:
            return default

    def _as_records(self, name: str, value: Any) -> Any:
        """Return `value` with its plain objects turned into records, in place."""
        if type(value) is dict:
            value = self.nested.get(name, Record)(value)
            dict.__setitem__(self, name, value)
        elif type(value) is list and value and type(value[0]) is dict:
            record = self.nested.get(name, Record)
            value[:] = [record(item) if type(item) is dict else item for item in value]
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict.__repr__(self)})"

    def copy(self) -> Self:
        """Return a shallow copy of the same type."""
        return type(self)(self)

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """Return a deep copy as plain dicts and lists; `exclude_none` leaves out null members."""
        plain = cast("dict[str, Any]", msgspec.to_builtins(self))
        return cast("dict[str, Any]", _without_none(plain)) if exclude_none else plain

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False) -> str:
        """Return the JSON text, indented by `indent` spaces when given."""
        encoded = msgspec.json.encode(self.model_dump(exclude_none=True) if exclude_none else self)
        return (encoded if indent is None else msgspec.json.format(encoded, indent=indent)).decode()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _list_of(name: str, kind: type[Record]) -> Any:
    """Return a property for a member that holds a list of objects. It saves a hit the detour by `__getattr__`."""

    def read(self: Record) -> Any:
        value = dict.get(self, name)
        if type(value) is list and value and type(value[0]) is dict:
            if len(value) == 1:
                value[0] = kind(value[0])
            else:
                value[:] = [kind(item) if type(item) is dict else item for item in value]
        return value

    return property(read, lambda self, value: dict.__setitem__(self, name, value))


def _object_of(name: str, kind: type[Record]) -> Any:
    """Return a property for a member that holds an object."""

    def read(self: Record) -> Any:
        value = dict.get(self, name)
        if type(value) is dict:
            value = kind(value)
            dict.__setitem__(self, name, value)
        return value

    return property(read, lambda self, value: dict.__setitem__(self, name, value))


class Function(Record):
    """The function that a tool call names."""

    __slots__ = ()
    declared = frozenset({"name", "arguments"})
    name: str
    arguments: str
    """JSON text, as the model wrote it: it may be cut or wrong."""


class ToolCall(Record):
    """One call of a tool, whole in a message, in pieces in a delta (told apart by `index`)."""

    __slots__ = ()
    declared = frozenset({"id", "type", "function", "custom"})
    nested = {"function": Function}
    id: str
    type: str
    function: Function
    index: int


class Message(Record):
    """What the model said."""

    __slots__ = ()
    declared = frozenset(
        {"role", "content", "refusal", "annotations", "audio", "function_call", "tool_calls", "reasoning_content"}
    )
    nested = {"tool_calls": ToolCall, "function_call": Function}
    role: str
    refusal: str | None
    tool_calls: list[ToolCall] | None
    reasoning_content: str | None

    @property
    def content(self) -> str | None:
        """The text; where the vendor sent a list of parts, their text joined, and an object as its JSON."""
        value: Any = dict.get(self, "content")
        return value if type(value) is str else text_of(value)

    @content.setter
    def content(self, value: object) -> None:
        dict.__setitem__(self, "content", value)

    @property
    def content_parts(self) -> list[Any]:
        """The parts as the vendor sent them; a plain text is one text part, no content none."""
        value = dict.get(self, "content")
        return value if type(value) is list else [] if value is None else [{"type": "text", "text": value}]

    def __getitem__(self, name: str) -> Any:
        return self.content if name == "content" and "content" in self else super().__getitem__(name)

    def __setattr__(self, name: str, value: object) -> None:
        dict.__setitem__(self, name, value)


class Delta(Message):
    """What a chunk adds to a message."""

    __slots__ = ()


def text_of(content: Any) -> Any:
    """Return the content of a message as text: of a list of parts their text joined, of an object its JSON."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and type(part.get("text")) is str)
    return msgspec.json.encode(content).decode() if isinstance(content, dict) else content


class Choice(Record):
    """One of the `n` answers."""

    __slots__ = ()
    declared = frozenset({"index", "message", "finish_reason", "logprobs"})
    nested = {"message": Message}
    index: int
    message: Message = _object_of("message", Message)
    finish_reason: str | None


class ChunkChoice(Record):
    """What a chunk adds to one of the `n` answers."""

    __slots__ = ()
    declared = frozenset({"index", "delta", "finish_reason", "logprobs"})
    nested = {"delta": Delta}
    index: int
    delta: Delta = _object_of("delta", Delta)
    finish_reason: str | None


class PromptTokensDetails(Record):
    """The parts of `prompt_tokens` that are billed at rates of their own."""

    __slots__ = ()
    declared = frozenset({"cached_tokens", "cache_write_tokens", "cache_creation_tokens", "audio_tokens"})
    cached_tokens: int | None
    """Read from the provider's prompt cache."""
    cache_creation_tokens: int | None
    """Written to the provider's prompt cache."""


class CompletionTokensDetails(Record):
    """The parts of `completion_tokens`."""

    __slots__ = ()
    declared = frozenset(
        {"reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
    )
    reasoning_tokens: int | None


class Usage(Record):
    """Tokens of one call, with one meaning whoever the vendor is.

    `prompt_tokens` is the whole prompt, what was read from and written to the prompt cache included;
    `completion_tokens` is all output, reasoning included; `total_tokens` is their sum.
    """

    __slots__ = ("_raw",)
    declared = frozenset(
        {
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "prompt_tokens_details",
            "completion_tokens_details",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
        }
    )
    nested = {
        "prompt_tokens_details": PromptTokensDetails,
        "completion_tokens_details": CompletionTokensDetails,
    }
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None
    completion_tokens_details: CompletionTokensDetails | None
    cache_creation_input_tokens: int | None
    cache_read_input_tokens: int | None

    @property
    def raw(self) -> dict[str, Any]:
        """The usage as the vendor sent it."""
        return cast("dict[str, Any]", getattr(self, "_raw", self))

    @property
    def uncached_tokens(self) -> int:
        """Prompt tokens neither read from nor written to the prompt cache."""
        read = self.cache_read_input_tokens or 0
        written = self.cache_creation_input_tokens or 0
        return max(0, (self.prompt_tokens or 0) - read - written)


class Answer(Record):
    """What every kind of answer carries beside its JSON: whence it came, who can price it, which part was bought."""

    __slots__ = ("_bought", "_cache_hit", "_cache_key", "_free", "_notes", "_pricer", "_provider", "_runs")
    _cache_hit: bool
    _cache_key: bytes | None
    _pricer: Callable[[Answer], Any]
    """Returns what the vendor takes for the answer, as a `Cost`, or None when that is not known."""

    @property
    def cache_hit(self) -> bool:
        """Whether the response cache answered."""
        try:
            return self._cache_hit
        except AttributeError:
            return False

    @property
    def cost(self) -> float | None:
        """US dollars paid for it now: 0 for a hit and for who joined another's call, None when unknown."""
        return 0.0 if self._paid_nothing else cast("Answer", getattr(self, "_bought", self))._price

    @property
    def saved_cost(self) -> float | None:
        """US dollars that what was not paid for would have cost: 0 where all was, None when unknown."""
        bought = cast("Answer", getattr(self, "_bought", self))
        if bought is self or self._paid_nothing:
            return self._price if self._paid_nothing else 0.0
        whole, paid = self.cost_details, bought.cost_details
        return cast("float", whole.minus(paid)) if whole and paid else None

    @property
    def _price(self) -> float | None:
        details = self.cost_details
        return None if details is None else float(details)

    @property
    def _paid_nothing(self) -> bool:
        return self.cache_hit or getattr(self, "_free", False)

    @property
    def cost_details(self) -> Any:
        """What the vendor takes for this answer, exactly and by part (a `pricing.Cost`), or None when unknown."""
        pricer = getattr(self, "_pricer", None)
        return None if pricer is None else pricer(self)

    @property
    def _hidden_params(self) -> dict[str, Any]:
        """`cache_hit`, `cache_key`, `response_cost`; `notes` says what of the call could not be kept (a mark's ttl)."""
        key = getattr(self, "_cache_key", None)
        return {
            "cache_hit": self.cache_hit,
            "cache_key": None if key is None else key.hex(),
            "response_cost": self.cost,
            "notes": getattr(self, "_notes", ()),
        }

    def __contains__(self, name: object) -> bool:
        return self.cache_hit if name == "cache" else dict.__contains__(self, name)

    def __getitem__(self, name: str) -> Any:
        return self.cache_hit if name == "cache" else Record.__getitem__(self, name)


class Completion(Answer):
    """An answer, whole."""

    __slots__ = ()
    declared = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"})
    nested = {"choices": Choice, "usage": Usage}
    id: str
    object: str
    created: int
    model: str
    choices: list[Choice] = _list_of("choices", Choice)
    usage: Usage | None = _object_of("usage", Usage)


class Chunk(Answer):
    """A piece of a streamed answer. The last ones may have no choices, only usage."""

    __slots__ = ()
    declared = Completion.declared
    nested = {"choices": ChunkChoice, "usage": Usage}
    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice] = _list_of("choices", ChunkChoice)
    usage: Usage | None = _object_of("usage", Usage)


class Vector(Record):
    """One embedding."""

    __slots__ = ()
    declared = frozenset({"index", "object", "embedding"})
    index: int
    embedding: list[float] | str


class Embeddings(Answer):
    """Embeddings, one a text, in the order of the input."""

    __slots__ = ()
    declared = frozenset({"object", "data", "model", "usage"})
    nested = {"data": Vector, "usage": Usage}
    object: str
    model: str
    data: list[Vector]
    usage: Usage | None
