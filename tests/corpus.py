"""The recorded traffic of real providers, read where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato.wire.sse import Decoder

OPENAI_SPEAKING = ("openai", "deepseek", "other-openai-compatible")
"""The providers of the corpus whose chat and embeddings are OpenAI's wire."""

_BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "traffic" / "open.jsonl"


def open_records(
    *, api: str | None = None, provider: str | None = None, stream: bool | None = None
) -> list[dict[str, Any]]:
    """Return the recorded exchanges of one API, provider and mode, or all; skip the test where there are none.

    They are read once a process and shared: whoever changes a record copies it first.
    """
    records = _records(_path())
    return [
        record
        for record in records
        if (api is None or record["api"] == api)
        and (provider is None or record["provider"] == provider)
        and (stream is None or record["stream"] == stream)
    ]


def open_index() -> dict[str, dict[str, Any]]:
    """Return what the corpus itself says of each record, by id."""
    return {row["id"]: row for row in _records(_path(".index.jsonl"))}


def _path(suffix: str = ".jsonl") -> Path:
    told = os.environ.get("OSTINATO_TRAFFIC")
    path = Path(told) if told else _BESIDE_THE_CHECKOUT
    path = (path / "open.jsonl" if path.is_dir() else path).with_suffix(suffix)
    if not path.is_file():
        pytest.skip(f"the recorded traffic is not at {path}; set OSTINATO_TRAFFIC to where it lies")
    return path


@cache
def _records(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def sse_data(record: dict[str, Any]) -> Iterator[bytes]:
    """Yield the data of each event of a recorded stream, `[DONE]` left out."""
    decoder = Decoder()
    text = record["response"]["sse_text"].encode()
    for _, data in [*decoder.feed(text), *decoder.end()]:
        if data != b"[DONE]":
            yield data


def sse_events(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the decoded events of a recorded stream."""
    return [msgspec.json.decode(data) for data in sse_data(record)]
