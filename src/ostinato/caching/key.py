"""The key: would this call, sent now, be the same request to the same model?

SHA-256 over length-prefixed parts: version · tenant · namespace · seed · sample index · call type ·
endpoint · headers · body. Nothing of the request is listed in, so nothing can be forgotten; what a wire
leaves out (`Wire.keyed_body`) and which headers do not count (below) is written down by name.

The body is hashed in normal form: object keys sorted, except the names inside a JSON Schema's
`properties`; 1 and 1.0 one number; a message whose content is one plain text block the same as one whose
content is that string. A text longer than `LONG_TEXT` stands as its own digest, and so does every message:
both are remembered, so a conversation that grows is not hashed anew on every turn; for each tenant by
itself, or the time would tell what others asked (`remember_for`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from struct import Struct
from typing import Any, cast

import msgspec

VERSION = b"ostinato-key-1"
LONG_TEXT = 4096
"""Characters above which a text is replaced by its digest."""

_TEXT, _ORDERED, _BIG_INT = 1, 2, 3
"""Msgpack extension codes for what JSON has no type of its own for: nothing in a body can look like them."""

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_snapshot_encode = msgspec.msgpack.Encoder().encode
_Ext = msgspec.msgpack.Ext

_UNCOUNTED_HEADERS = frozenset(
    {
        "authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key",  # who pays
        "x-amz-date", "x-amz-security-token", "x-amz-content-sha256",  # a signature, new each time
        "host", "user-agent", "content-length", "content-type", "connection",  # transport
        "openai-organization", "openai-project",  # accounting
        "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid",  # tracing
        "x-request-id", "x-client-request-id", "request-id", "x-amzn-trace-id",  # ids of one request
        "idempotency-key", "x-idempotency-key",
    }
)  # fmt: skip
_UNCOUNTED_PREFIXES = ("accept", "x-stainless-")

_SCHEMA_REGIONS = frozenset(
    {"tools", "functions", "response_format", "text", "output_config", "output_format", "toolConfig", "guided_json"}
)
"""Top-level members in which JSON Schemas stand."""
_SCHEMA_NAMES = frozenset({"parameters", "input_schema", "schema", "json", "guided_json"})
_SUBSCHEMA_MAPS = frozenset({"$defs", "definitions", "patternProperties", "dependentSchemas"})
_TEXT_BLOCKS = ("text", "input_text", "output_text")


class Scope(msgspec.Struct, frozen=True):
    """Whose entries these are: everything of the key that is not the request."""

    tenant: str = ""
    namespace: str = ""
    seed: str = ""
    account: bytes = b""
    """The digest of who pays, where that keeps entries apart (`account_digest`)."""

    @property
    def parts(self) -> tuple[bytes, ...]:
        """What every key of this scope begins with."""
        return (VERSION + b" account", self.account, *self._names) if self.account else (VERSION, *self._names)

    def tag(self) -> bytes:
        """Return the 8 bytes that every store key of this scope starts with, whoever pays."""
        return _tag(*self._names)

    @property
    def _names(self) -> tuple[bytes, bytes, bytes]:
        return self.tenant.encode(), self.namespace.encode(), self.seed.encode()


@lru_cache(1024)
def _tag(*names: bytes) -> bytes:
    return _sha256((VERSION, *names))[:8]


def account_digest(said: Iterable[tuple[str, str]]) -> bytes:
    """Return the keyed digest of a credential, an organisation and a project, each by its name."""
    words = [word.encode("utf-8", "surrogatepass") for pair in sorted(said) for word in pair]
    return hmac.digest(b"ostinato account 1", b"".join([_length(len(word)) + word for word in words]), "sha256")


Parts = list[tuple[str, bytes]]
"""A request in normal form: endpoint, headers and the fields of the body, each encoded, by its path."""


def request_parts(endpoint: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Parts:
    """Return a request in normal form. `body` is what the wire's `keyed_body` left, and must be JSON."""
    parts = [("endpoint", endpoint.encode())]
    if headers:
        parts += sorted(_counted(headers))
    parts += [(name, _field(name, body[name])) for name in sorted(body)]
    return parts


def request_key(scope: Scope, call_type: str, parts: Parts, sample_index: int = 0) -> bytes:
    """Return the 32-byte key of a request."""
    return _key(scope, call_type, sample_index, *[piece for path, part in parts for piece in (path.encode(), part)])


def custom_key(scope: Scope, call_type: str, chosen: str, sample_index: int = 0) -> bytes:
    """Return the 32-byte key for a string that the user's `get_cache_key` chose."""
    return _key(scope, call_type, sample_index, b"custom", chosen.encode("utf-8", "surrogatepass"))


def _key(scope: Scope, call_type: str, sample_index: int, *request: bytes) -> bytes:
    sample = str(sample_index).encode() if sample_index else b""
    return _sha256((*scope.parts, sample, call_type.encode(), *request))


_length = Struct(">Q").pack


def _sha256(parts: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join([_length(len(part)) + part for part in parts])).digest()


def _counted(headers: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    for name, value in headers.items():
        lower = name.lower()
        if lower not in _UNCOUNTED_HEADERS and not lower.startswith(_UNCOUNTED_PREFIXES):
            yield f"headers[{lower}]", value.encode("utf-8", "surrogatepass")


def _field(name: str, value: Any) -> bytes:
    """Return one top-level field of a body in normal form, encoded."""
    if name == "messages" and type(value) is list:
        return b"".join(message_digests(value))
    if name == "input" and type(value) is list:
        return _encode([_normal_message(item) if isinstance(item, dict) else _normal(item) for item in value])
    if name == "system":
        return _encode(_normal_content(value))
    return _encode(_with_schemas(value, name) if name in _SCHEMA_REGIONS else _normal(value))


def message_digests(messages: Sequence[Any]) -> list[bytes]:
    """Return the SHA-256 of each message in normal form."""
    digests = []
    whose = _whose.get()
    for message in messages:
        try:
            raw = _snapshot_encode(shorten(message))
        except OverflowError:  # a number beyond what msgpack has: there is no telling it apart cheaply
            digests.append(_digest(message))
            continue
        digest = _message_digests.get((whose, raw))
        if digest is None:
            digest = _digest(message)
            _message_digests.put((whose, raw), digest, len(raw))
        digests.append(digest)
    return digests


def _digest(message: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(_encode(_normal_message(message))).digest()


def _normal_message(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _normal_content(item) if name == "content" else _normal(item) for name, item in message.items()}


def _normal_content(content: Any) -> Any:
    """Return content in normal form: one plain text block is the text itself, also inside a tool result."""
    if not isinstance(content, list):
        return _normal(content)
    if len(content) == 1:
        block = content[0]
        if isinstance(block, dict) and block.keys() == {"type", "text"} and block["type"] in _TEXT_BLOCKS:
            return _normal(block["text"])
    return [
        _normal_message(block) if isinstance(block, dict) and block.get("type") == "tool_result" else _normal(block)
        for block in content
    ]


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return _Ext(_TEXT, text_digest(value)) if len(value) > LONG_TEXT else value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _normal_number(value)
    if isinstance(value, dict):
        return {name: _normal(item) for name, item in value.items()}
    return [_normal(item) for item in value]


def _normal_number(value: float) -> Any:
    if isinstance(value, float):
        if not value.is_integer():
            return value
        value = int(value)
    if -(2**63) <= value < 2**64:
        return value
    return _Ext(_BIG_INT, str(value).encode())


def _with_schemas(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        if name in _SCHEMA_NAMES:
            return _schema(value)
        return {key: _with_schemas(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_schemas(item) for item in value]
    return _normal(value)


def _schema(schema: Any) -> Any:
    """Return a JSON Schema in normal form: models answer in the order of `properties`, so that order counts."""
    if isinstance(schema, list):
        return [_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return _normal(schema)
    normal: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties" and isinstance(value, dict):
            normal[name] = _Ext(_ORDERED, _encode([[key, _schema(item)] for key, item in value.items()]))
        elif name in _SUBSCHEMA_MAPS and isinstance(value, dict):
            normal[name] = {key: _schema(item) for key, item in value.items()}
        elif name in {"enum", "const", "default", "examples", "required"}:
            normal[name] = _normal(value)
        else:
            normal[name] = _schema(value)
    return normal


class Memo:
    """Digests of what was hashed before, by content; forgets everything when it is full.

    Only ever an accelerator: a lost or raced entry is computed again. `get` and `put` need no lock, since
    every step on a dict is atomic and the count may be a little off.
    """

    __slots__ = ("_held", "_limit", "_size", "get")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._held: dict[Any, Any] = {}
        self.get = self._held.get

    def put(self, key: Any, value: Any, size: int | None = None) -> None:
        size = (len(key) if size is None else size) + 200
        if size * 8 > self._limit:
            return
        self._size += size
        if self._size > self._limit:
            self._held.clear()
            self._size = size
        self._held[key] = value

    def bound(self, limit_bytes: int) -> None:
        """Take no more than this from now on."""
        self._limit = limit_bytes
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._size = 0


_message_digests = Memo(16 << 20)
_text_digests = Memo(32 << 20)


_whose: ContextVar[str] = ContextVar("ostinato_digests_of", default="")
remember_for = _whose.set
"""Remember digests for this tenant, from here on in this context: what another asked costs as if it were new."""


def bound_memory(limit_bytes: int) -> None:
    """Remember digests of messages in no more than this, and of texts in no more than twice as much."""
    _message_digests.bound(limit_bytes)
    _text_digests.bound(2 * limit_bytes)


def text_digest(text: str) -> bytes:
    """Return the SHA-256 of `text` in UTF-8, from memory when this very text was hashed before.

    Raises: UnicodeEncodeError: a lone surrogate.
    """
    # A few slices find the candidate, one comparison of memory (none for the same object) proves it:
    # at 100 KB that is 0.4 µs to 4 µs, where hashing takes 60.
    length = len(text)
    middle = length >> 1
    sketch = (_whose.get(), length, text[:24], text[middle : middle + 24], text[-24:])
    seen = _text_digests.get(sketch)
    if seen is not None and seen[0] == text:
        return cast("bytes", seen[1])
    digest = hashlib.sha256(text.encode()).digest()
    _text_digests.put(sketch, (text, digest), length)
    return digest


def shorten(message: Any) -> Any:
    """Return `message` with its long texts replaced by their digests; the very same object where there are none."""
    content = message.get("content")
    if type(content) is str:
        return {**message, "content": _Ext(_TEXT, text_digest(content))} if len(content) > LONG_TEXT else message
    if type(content) is list and any(_is_long(part) for part in content):
        parts = [
            {**part, "text": _Ext(_TEXT, text_digest(part["text"]))} if _is_long(part) else part for part in content
        ]
        return {**message, "content": parts}
    return message


def _is_long(part: Any) -> bool:
    text = part.get("text") if isinstance(part, dict) else None
    return type(text) is str and len(text) > LONG_TEXT


def snapshot(head: tuple[Any, ...], messages: Any, params: Any) -> bytes | None:
    """Return bytes that two calls share only when they are the same request, or None when that is not cheap to say.

    They are what the key's memo goes by: exact but not normal, so equal calls may differ here and still
    get one key. A `set` reads like the list of its members; that call would be refused if it were new,
    and is answered like the list if it is not.
    """
    try:
        for message in messages:
            content = message.get("content")
            if content is not None and (type(content) is not str or len(content) > LONG_TEXT):
                messages = [shorten(message) for message in messages]
                break
        return _snapshot_encode((head, messages, params))
    except (TypeError, AttributeError, KeyError, ValueError, RecursionError, OverflowError):
        return None
