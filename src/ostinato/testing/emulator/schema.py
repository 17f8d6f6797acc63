"""An instance for a JSON Schema: what the emulated model writes where a tool or a format asks for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ostinato.testing.emulator.model import words
from ostinato.testing.emulator.pattern import matching

_DEEP = 4
"""From this depth on only what is required is written, so that recursive schemas end."""
_BOTTOM = 60
"""A schema that still requires an object at this depth has no finite instance."""
_MOST = 10_000
"""Words and values that are written at most: who asks must not choose how long everybody else waits."""

_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT5M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "6f3c1c1e-2f0a-4b7e-9a51-0d2b8c7e4a10",
}


def instance(schema: Any, seed: bytes) -> Any:
    """Return a JSON value that satisfies `schema`; the same for the same `seed`.

    Understands what structured outputs allow: types, enum, const, properties, items, bounds, pattern, format,
    anyOf, oneOf, allOf and local references.

    Raises: ValueError: the schema has no finite instance, or a reference that leads nowhere.
    """
    return _Writer(schema, seed).value(schema, 0)


class _Writer:
    def __init__(self, root: Any, seed: bytes) -> None:
        self._root = root
        self._seed = seed
        self._count = 0
        self._left = _MOST

    def _counted(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"the schema requires more than {_MOST} words and values")

    def _word(self) -> str:
        self._counted()
        self._count += 1
        return words(self._seed + self._count.to_bytes(4, "big"), 1)[0]

    def value(self, schema: Any, depth: int) -> Any:
        self._counted()
        if not isinstance(schema, Mapping):
            return self._word()
        if depth > _BOTTOM:
            raise ValueError("the schema requires an object inside itself without end")
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        return self._of_type(_type_of(schema, depth), schema, depth)

    def _of_type(self, kind: str | None, schema: Mapping[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return self._string(schema)

    def _resolved(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Return `schema` with its reference followed, allOf merged and one branch chosen."""
        merged = dict(schema)
        for _ in range(_BOTTOM):
            if "$ref" in merged:
                merged = {**self._at(merged.pop("$ref")), **merged}
            elif "allOf" in merged:
                for part in merged.pop("allOf"):
                    merged = _both(merged, self._resolved(part, depth))
            elif "anyOf" in merged or "oneOf" in merged:
                branches = merged.pop("anyOf", None) or merged.pop("oneOf")
                merged = _both(merged, min(branches, key=lambda branch: self._weight(branch, depth)))
            else:
                return merged
        raise ValueError("the schema refers to itself without end")

    def _weight(self, branch: Any, depth: int) -> int:
        """Order branches: the first with something in it near the top, the simplest further down."""
        if depth < _DEEP:
            return int(branch.get("type") == "null")
        kind = None if "$ref" in branch else branch.get("type")
        return {"null": 0, "object": 2, "array": 2, None: 3}.get(kind, 1)

    def _at(self, pointer: str) -> dict[str, Any]:
        node = self._root
        for escaped in pointer.removeprefix("#").split("/")[1:]:
            name = escaped.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping) or name not in node:
                raise ValueError(f"the reference {pointer!r} leads nowhere")
            node = node[name]
        return dict(node)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        properties = schema.get("properties", {})
        names = [name for name in properties if depth < _DEEP or name in required]
        written = {name: self.value(properties[name], depth + 1) for name in names}
        for name in required:
            if name not in written:
                written[name] = self.value(schema.get("additionalProperties"), depth + 1)
        return written

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        written = [self.value(item, depth + 1) for item in schema.get("prefixItems", ())]
        least = schema.get("minItems", 1 if depth < _DEEP else 0)
        least = min(least, schema.get("maxItems", least))
        items = schema.get("items")
        if items is False:
            return written
        return written + [self.value(items, depth + 1) for _ in range(least - len(written))]

    def _string(self, schema: Mapping[str, Any]) -> str:
        if "pattern" in schema:
            return matching(schema["pattern"], self._word())
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = self._word()
        while len(text) < schema.get("minLength", 0):
            text += " " + self._word()
        return text[: schema.get("maxLength", len(text))]


def _type_of(schema: Mapping[str, Any], depth: int) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        shallow = [name for name in kind if name != "null"] or kind
        return "null" if depth >= _DEEP and "null" in kind else shallow[0]
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else None
    return str(kind)


def _both(first: Mapping[str, Any], second: Any) -> dict[str, Any]:
    """Return a schema that asks for what both ask for."""
    merged = {**first, **second}
    for name in ("properties", "$defs"):
        if name in first and name in second:
            merged[name] = {**first[name], **second[name]}
    if "required" in first and "required" in second:
        merged["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    return merged


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """Return the number nearest to 7 that the bounds admit."""
    step = schema.get("multipleOf", 1 if whole else 0.5)
    low = schema.get("minimum", -math.inf)
    high = schema.get("maximum", math.inf)
    if schema.get("exclusiveMinimum") is not None:
        low = max(low, math.floor(schema["exclusiveMinimum"] / step) * step + step)
    if schema.get("exclusiveMaximum") is not None:
        high = min(high, math.ceil(schema["exclusiveMaximum"] / step) * step - step)
    value = min(max(7, low), high)
    value = math.floor(value / step) * step
    if value < low:
        value += step
    if value > high or value < low:
        value = (low + high) / 2
    return int(value) if whole else float(value)
