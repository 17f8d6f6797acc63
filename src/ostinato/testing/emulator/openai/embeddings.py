"""Embeddings: a unit vector for every input, always the same for the same text and model."""

from __future__ import annotations

import base64
import hashlib
import math
from array import array
from typing import Any

from ostinato.testing.emulator.model import count_tokens, digest
from ostinato.testing.emulator.openai import models
from ostinato.testing.emulator.openai.check import Refused, check_model

Json = dict[str, Any]

_MOST_INPUTS = 2048
_OTHER_DIMENSIONS = 1536


def embed(body: Any) -> Json:
    """Return the body of the answer to an embeddings request.

    Raises: Refused: the vendor would refuse it.
    """
    check_model(body)
    inputs = _inputs(body.get("input"))
    dimensions = _dimensions(body)
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise Refused(f"'{encoding}' is not one of ['float', 'base64'] - 'encoding_format'")
    model = models.snapshot(body["model"])
    vectors = [_vector(digest(model, dimensions, item), dimensions) for item in inputs]
    tokens = sum(count_tokens(item) if isinstance(item, str) else len(item) for item in inputs)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": vector.tolist() if encoding == "float" else base64.b64encode(vector.tobytes()).decode(),
            }
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _inputs(value: Any) -> list[Any]:
    """Return the inputs: texts, or lists of tokens."""
    if value is None:
        raise Refused("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    inputs = value if isinstance(value, list) and value and not isinstance(value[0], int) else [value]
    if not inputs or len(inputs) > _MOST_INPUTS or not all(_is_input(item) for item in inputs):
        raise Refused(f"'$.input' is invalid: texts or token arrays, none empty, at most {_MOST_INPUTS}.", "input")
    return inputs


def _is_input(item: Any) -> bool:
    if isinstance(item, list):
        return bool(item) and all(type(token) is int for token in item)
    return isinstance(item, str) and bool(item)


def _dimensions(body: Json) -> int:
    known = models.DIMENSIONS.get(body["model"], _OTHER_DIMENSIONS)
    asked = body.get("dimensions")
    if asked is None:
        return known
    if type(asked) is not int or asked < 1:
        raise Refused(f"{asked} is less than the minimum of 1 - 'dimensions'")
    if body["model"].startswith("text-embedding-ada"):
        raise Refused("This model does not support specifying dimensions.")
    if asked > known:
        raise Refused(f"Invalid value for 'dimensions' = {asked}. Must be less than or equal to {known}.")
    return asked


def _vector(seed: bytes, dimensions: int) -> array[float]:
    """Return `dimensions` 32-bit floats of length 1."""
    raw = array("h", hashlib.shake_128(seed).digest(2 * dimensions))
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return array("f", [value / length for value in raw])
