"""A pydantic class as the JSON Schema that OpenAI's strict mode takes.

Source: https://platform.openai.com/docs/guides/structured-outputs (read 2026-11-22): every object is closed and
requires all of its properties, and a reference stands alone.
"""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any

from ostinato.errors import BadRequestError
from ostinato.wire.contract import Json


@lru_cache(maxsize=64)
def strict_format(model: type) -> Json:
    """Return `model` as a `response_format`, named after the class.

    Raises: BadRequestError: the class is not a pydantic model.
    """
    describe = getattr(model, "model_json_schema", None)
    if describe is None:
        raise BadRequestError(f"response_format is the class {model.__name__!r}, which is no pydantic model")
    schema = describe()
    _tighten(schema, schema, ())
    return {"type": "json_schema", "json_schema": {"name": model.__name__, "schema": schema, "strict": True}}


def _tighten(node: Any, root: Json, within: tuple[str, ...]) -> None:
    """Make `node` and what is below it strict, in place. `within` names the references already opened."""
    if not isinstance(node, dict):
        return
    within = _open_reference(node, root, within)
    _unwrap(node)
    if node.get("type") == "object":
        node.setdefault("additionalProperties", False)
    if isinstance(node.get("properties"), dict):
        node["required"] = list(node["properties"])
    if "default" in node and node["default"] is None:
        del node["default"]
    for name in ("$defs", "definitions"):
        if isinstance(node.get(name), dict):
            for child in node[name].values():
                _tighten(child, root, ())
    for child in _children(node):
        _tighten(child, root, within)


def _children(node: Json) -> list[Any]:
    children = [node.get("items")]
    if isinstance(node.get("properties"), dict):
        children += node["properties"].values()
    for name in ("anyOf", "allOf"):
        if isinstance(node.get(name), list):
            children += node[name]
    return children


def _unwrap(node: Json) -> None:
    """Replace an `allOf` of one by that one."""
    parts = node.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict):
        del node["allOf"]
        for name, value in parts[0].items():
            node.setdefault(name, value)


def _open_reference(node: Json, root: Json, within: tuple[str, ...]) -> tuple[str, ...]:
    """Give a reference that has neighbours the members it refers to, and return `within` with it.

    One that leads back into itself cannot be written out: it loses its neighbours instead.
    """
    ref = node.get("$ref")
    if not isinstance(ref, str) or len(node) == 1:
        return within
    if ref in within:
        node.clear()
        node["$ref"] = ref
        return within
    target: Any = root
    for name in ref.removeprefix("#/").split("/"):
        target = target[name]
    # The copy comes first: what is opened may contain this very node, reference and all.
    opened = deepcopy(target)
    del node["$ref"]
    for name, value in opened.items():
        node.setdefault(name, value)
    return (*within, ref)
