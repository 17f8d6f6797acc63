"""The parts of a message as Converse's blocks.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html (read 2026-11-22). All
values have been checked to be JSON before they come here.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ostinato.wire.bedrock_converse.marks import point_of
from ostinato.wire.contract import Json
from ostinato.wire.values import Flaw, kind_of

BLOCK_NAMES = frozenset(
    """
    audio cachePoint citationsContent document guardContent image json reasoningContent searchResult text toolAddition
    toolRemoval toolResult toolUse video
    """.split()  # noqa: SIM905 - 15 quoted words are harder to read
)
"""Converse's own blocks, which a caller may write as they are. `json` stands in the results of tools."""

_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*?;base64,", re.ASCII)

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_SUFFIXES = {"jpg": "jpeg", "htm": "html", "markdown": "md", "text": "txt"}


def blocks_of(content: Any) -> list[Json]:
    """Return the blocks of a message's content, each mark behind its block. Text that is empty makes no block.

    Raises: Flaw: a part that no block can carry.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        raise Flaw(f"must be a str, None or a list of parts, not {kind_of(content)}", "content")
    blocks: list[Json] = []
    for index, part in enumerate(content):
        try:
            block = _block(part)
            point = point_of(part.get("cache_control"))
            # An empty text takes its mark with it.
            if block.get("text") != "":
                blocks += (block,) if point is None else (block, point)
        except Flaw as flaw:
            flaw.path += (index, "content")
            raise
    return blocks


def _block(part: Any) -> Json:
    if not isinstance(part, dict):
        raise Flaw(f"must be a mapping, not {kind_of(part)}")
    match part.get("type"):
        case "text" | "refusal" as kind:
            return {"text": _member(part, kind, str)}
        case "image_url":
            return _image_url(part.get("image_url"))
        case "input_audio":
            audio = _member(part, "input_audio", dict)
            return {"audio": {"format": audio.get("format"), "source": {"bytes": audio.get("data")}}}
        case "file":
            return _file(_member(part, "file", dict))
        case "image":
            return {"image": _sourced(part, IMAGES)}
        case "document":
            return _document(part)
        case None:
            return _own(part)
        case kind:
            raise Flaw(f"is {kind!r}, which Converse has no block for", "type")


def _member(part: Json, name: str, kind: type) -> Any:
    value = part.get(name)
    if not isinstance(value, kind):
        raise Flaw(f"must be a {kind.__name__}, not {kind_of(value)}", name)
    return value


def _own(part: Json) -> Json:
    """Return a block that the caller wrote in Converse's own words."""
    block = {name: value for name, value in part.items() if name != "cache_control"}
    if len(block) != 1 or not block.keys() <= BLOCK_NAMES:
        raise Flaw("has no type, and is none of Converse's own blocks")
    return block


def _image_url(image: Any) -> Json:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise Flaw(f"must be a str, not {kind_of(url)}", "url", "image_url")
    told = image.get("format") if isinstance(image, dict) else None
    if url.startswith("s3://"):
        suffix = url.rpartition(".")[2].lower()
        form = IMAGES.get(str(told)) or _SUFFIXES.get(suffix, suffix)
        return {"image": {"format": form, "source": {"s3Location": {"uri": url}}}}
    data, kind = _data(url)
    if data is None:
        raise Flaw("is no data: or s3:// URL, and Bedrock fetches no others: send the image itself", "url", "image_url")
    return {"image": {"format": _format(str(told or kind), IMAGES), "source": {"bytes": data}}}


def _data(url: str) -> tuple[str | None, str]:
    """Return the base64 of a data: URL, or None for another, and its media type."""
    head = _DATA_URL.match(url)
    return (None, "") if head is None else (url[head.end() :], head["type"] or "text/plain")


def _format(kind: str, known: dict[str, str]) -> str:
    if kind.lower() not in known:
        raise Flaw(f"is of the media type {kind!r}; Converse takes {', '.join(sorted(known))}")
    return known[kind.lower()]


def _file(file: Json) -> Json:
    data, name = file.get("file_data"), file.get("filename")
    if isinstance(data, str):
        content, kind = _data(data)
        if content is None:
            raise Flaw("must be a data: URL with base64", "file_data", "file")
        form = DOCUMENTS.get(kind.lower()) or _suffix(name) or _format(kind, DOCUMENTS)
        return {"document": {"format": form, "name": _name(name, content), "source": {"bytes": content}}}
    place = file.get("file_id")
    if isinstance(place, str) and place.startswith("s3://"):
        form = str(file.get("format") or place.rpartition(".")[2]).lower()
        source = {"s3Location": {"uri": place}}
        return {"document": {"format": DOCUMENTS.get(form, form), "name": _name(name, place), "source": source}}
    raise Flaw("needs file_data, or a file_id that is an s3:// URL: Bedrock keeps no files", "file")


def _suffix(filename: Any) -> str | None:
    suffix = filename.rpartition(".")[2].lower() if isinstance(filename, str) else ""
    suffix = _SUFFIXES.get(suffix, suffix)
    return suffix if suffix in DOCUMENTS.values() else None


def _name(told: Any, content: str) -> str:
    """Return a name that Converse takes: letters, digits, single blanks, and - ( ) [ ].

    Two documents of one request need different names, so one without a name is named after what is in it.
    """
    stem = told.rpartition(".")[0] or told if isinstance(told, str) and _suffix(told) else told
    name = re.sub(r"\s+", " ", re.sub(r"[^0-9A-Za-z\s()\[\]-]", "-", str(stem or ""))).strip()[:200]
    return name if re.search(r"[0-9A-Za-z]", name) else f"document-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _sourced(part: Json, known: dict[str, str]) -> Json:
    """Return format and source of a block in Anthropic's words."""
    source = _member(part, "source", dict)
    if source.get("type") != "base64":
        raise Flaw(f"is {source.get('type')!r}; Bedrock takes base64 alone", "type", "source")
    return {
        "format": _format(str(source.get("media_type")), known),
        "source": {"bytes": _member(source, "data", str)},
    }


def _document(part: Json) -> Json:
    source = _member(part, "source", dict)
    match source.get("type"):
        case "text":
            text = _member(source, "data", str)
            block: Json = {"format": "txt", "source": {"text": text}}
        case "content":
            given = source.get("content")
            items = [{"type": "text", "text": given}] if isinstance(given, str) else given or ()
            texts = [{"text": _member(item, "text", str)} for item in items]
            block = {"source": {"content": texts}}
        case _:
            block = _sourced(part, DOCUMENTS)
    block["name"] = _name(part.get("title"), str(source.get("data") or source.get("content")))
    for name in ("context", "citations"):
        if part.get(name) is not None:
            block[name] = part[name]
    return {"document": block}
