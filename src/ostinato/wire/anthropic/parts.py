"""The parts of a message's content, as Anthropic's content blocks.

A part that is none of OpenAI's passes as the block it already is: what the vendor's own API knows needs no
translation, and what it does not know it says best itself.

Sources: https://platform.claude.com/docs/en/build-with-claude/vision and
https://platform.claude.com/docs/en/build-with-claude/pdf-support (read 2026-11-22).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from ostinato.wire.contract import Json
from ostinato.wire.values import Flaw

UNMARKED = ("thinking", "redacted_thinking")
"""Blocks that cannot carry a cache mark."""

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)

_SAME_IMAGE = {"image/jpg": "image/jpeg"}

_BESIDE_A_FILE = ("title", "context", "citations", "cache_control")


def blocks_of(parts: list[Any]) -> list[Json]:
    """Return content parts as blocks, empty texts left out. Raises: Flaw."""
    blocks = []
    for index, part in enumerate(parts):
        try:
            block = _block(part)
        except Flaw as flaw:
            flaw.path += (index, "content")
            raise
        if block is not None:
            blocks.append(block)
    return blocks


def text_block(text: str, mark: Any = None) -> Json:
    """Return a text as a block, with a cache mark where there is one."""
    return {"type": "text", "text": text} if mark is None else {"type": "text", "text": text, "cache_control": mark}


def mark_last(blocks: list[Json], mark: Any) -> list[Json]:
    """Return `blocks` with `mark` on the last that can carry one, unless that has one of its own."""
    for index in range(len(blocks) - 1, -1, -1):
        block = blocks[index]
        if block.get("type") not in UNMARKED:
            if block.get("cache_control") is None:
                blocks[index] = {**block, "cache_control": mark}
            break
    return blocks


def _block(part: Any) -> Json | None:
    if isinstance(part, str):
        return text_block(part) if part else None
    if not isinstance(part, dict):
        raise Flaw("must be a part with a type")
    kind = dict.get(part, "type")
    if not isinstance(kind, str):
        raise Flaw("must be a str", "type")
    reader = _READERS.get(kind)
    if reader is not None:
        return reader(part)
    if kind in UNMARKED and ("cache_control" in part or "index" in part):
        return replayed_thinking(part)
    return part


def replayed_thinking(block: Json) -> Json:
    """Return a thinking block as the vendor sent it: without its place in a stream, and without a mark."""
    if "index" not in block and "cache_control" not in block:
        return block
    return {name: value for name, value in block.items() if name not in {"index", "cache_control"}}


def _text(part: Json) -> Json | None:
    text = dict.get(part, "text")
    if not isinstance(text, str):
        raise Flaw("must be a str", "text")
    if not text:
        return None
    if "prompt_cache_breakpoint" in part or ("cache_control" in part and part["cache_control"] is None):
        return {
            name: value
            for name, value in dict.items(part)
            if name != "prompt_cache_breakpoint" and (name != "cache_control" or value is not None)
        }
    return part


def _refusal(part: Json) -> Json | None:
    text = dict.get(part, "refusal")
    return text_block(text) if isinstance(text, str) and text else None


def _image(part: Json) -> Json:
    image = dict.get(part, "image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise Flaw("must hold the URL of an image", "image_url")
    stated = image.get("format") if isinstance(image, dict) else None
    if url[:5].lower() == "data:":
        return _with_marks(_media(*_decoded(url, stated, "image_url")), part)
    return _with_marks({"type": "image", "source": {"type": "url", "url": url}}, part)


def _file(part: Json) -> Json:
    file = dict.get(part, "file")
    if not isinstance(file, dict):
        raise Flaw("must be an object with file_data or file_id", "file")
    stated = file.get("format")
    data, file_id = file.get("file_data"), file.get("file_id")
    if isinstance(data, str) and data:
        block = _media(*_decoded(data, stated or _type_by_name(file.get("filename")), "file"))
    elif isinstance(file_id, str) and file_id:
        kind = "image" if isinstance(stated, str) and stated.startswith("image/") else "document"
        how = "url" if file_id.startswith(("https://", "http://")) else "file"
        block = {"type": kind, "source": {"type": how, "url" if how == "url" else "file_id": file_id}}
    else:
        raise Flaw("must hold file_data or file_id", "file")
    name = file.get("filename")
    if isinstance(name, str) and name and block["type"] == "document":
        block["title"] = name
    return _with_marks(block, part)


def _with_marks(block: Json, part: Json) -> Json:
    for name in _BESIDE_A_FILE:
        value = dict.get(part, name)
        if value is not None:
            block[name] = value
    return block


def _media(media_type: str, data: str) -> Json:
    """Return inline bytes as an image or a document."""
    if media_type.startswith("image/"):
        media_type = _SAME_IMAGE.get(media_type, media_type)
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    if media_type.startswith("text/"):
        try:
            text = base64.b64decode(data, validate=True).decode()
        except ValueError:
            raise Flaw("is no text in UTF-8", "file") from None
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    if media_type.startswith(("audio/", "video/")):
        raise Flaw(f"is {media_type}, and Anthropic's messages carry neither sound nor video", "file")
    return {"type": "document", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _decoded(url: str, stated: Any, where: str) -> tuple[str, str]:
    """Return the media type and the base64 of a data URL, or of bare base64 whose type is told or evident."""
    found = _DATA_URL.match(url, 0, 200)
    if found is None:
        if url[:5].lower() == "data:":
            raise Flaw("is no data URL", where)
        media_type = stated if isinstance(stated, str) and stated else _type_by_bytes(url)
        if media_type is None:
            raise Flaw("does not say its media type; write it as a data URL", where)
        return media_type, url
    media_type = stated if isinstance(stated, str) and stated else found[1].lower()
    data = url[found.end() :]
    if found[2].lower().endswith(";base64"):
        return media_type or "text/plain", data
    return media_type or "text/plain", base64.b64encode(unquote_to_bytes(data)).decode()


def _type_by_name(name: Any) -> str | None:
    ending = name.rpartition(".")[2].lower() if isinstance(name, str) else ""
    return {"pdf": "application/pdf", "txt": "text/plain", "md": "text/plain"}.get(ending)


def _type_by_bytes(data: str) -> str | None:
    try:
        head = base64.b64decode(data[:16], validate=True)
    except (ValueError, binascii.Error):
        return None
    return "application/pdf" if head.startswith(b"%PDF") else None


def _unheard(part: Json) -> Json:
    raise Flaw(f"is {part['type']!r}, and Anthropic's messages carry neither sound nor video")


_READERS: dict[str, Callable[[Json], Json | None]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "file": _file,
    "input_audio": _unheard,
    "audio": _unheard,
    "video_url": _unheard,
}
