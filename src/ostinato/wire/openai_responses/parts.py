"""The parts of a message's content, as the Responses API has them, and back.

A part that is none of chat's passes as it is: what the API knows needs no translation, and what it does not know it
says best itself. Anthropic's cache marks are left out, OpenAI's own breakpoints stay.

Source: https://platform.openai.com/docs/api-reference/responses/create and
https://platform.openai.com/docs/guides/pdf-files (read 2026-11-22).
"""

from __future__ import annotations

from typing import Any

from ostinato.wire.contract import Json
from ostinato.wire.values import Flaw

MARK = "cache_control"

_SAYS = {"text": "text", "output_text": "text", "input_text": "text", "refusal": "refusal"}
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning_text"})
_FILE = ("file_data", "file_id", "filename")


def parts_of(parts: list[Any]) -> list[Json]:
    """Return content parts of chat as input parts. Raises: Flaw."""
    made = []
    for index, part in enumerate(parts):
        try:
            made.append(_part(part))
        except Flaw as flaw:
            flaw.path += (index, "content")
            raise
    return made


def said(parts: list[Any]) -> str:
    """Return the text of an assistant's content parts, joined; thoughts are none. Raises: Flaw."""
    texts = []
    for index, part in enumerate(parts):
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise Flaw("must be a part with a type", index, "content")
        if kind in _THOUGHTS:
            continue
        text = part.get(_SAYS[kind]) if kind in _SAYS else None
        if not isinstance(text, str):
            raise Flaw(
                f"is {kind!r}, and an answer in the input of the Responses API holds texts alone", index, "content"
            )
        texts.append(text)
    return "".join(texts)


def _part(part: Any) -> Json:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if not isinstance(part, dict):
        raise Flaw("must be a part with a type")
    kind = dict.get(part, "type")
    if not isinstance(kind, str):
        raise Flaw("must be a str", "type")
    if kind == "text":
        text = dict.get(part, "text")
        if not isinstance(text, str):
            raise Flaw("must be a str", "text")
        return {"type": "input_text", "text": text, **_beside(part, "text")}
    if kind == "image_url":
        return _image(part)
    if kind == "file":
        return _file(part)
    if kind == "video_url":
        raise Flaw("is 'video_url', and the Responses API takes no video")
    return part if MARK not in part else {name: value for name, value in dict.items(part) if name != MARK}


def _beside(part: Json, member: str) -> Json:
    return {name: value for name, value in dict.items(part) if name not in {"type", member, MARK}}


def _image(part: Json) -> Json:
    image = dict.get(part, "image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise Flaw("must hold the URL of an image", "image_url")
    detail = (image.get("detail") if isinstance(image, dict) else None) or "auto"
    return {"type": "input_image", "image_url": url, "detail": detail, **_beside(part, "image_url")}


def _file(part: Json) -> Json:
    file = dict.get(part, "file")
    if not isinstance(file, dict) or not (file.get("file_data") or file.get("file_id")):
        raise Flaw("must be an object with file_data or file_id", "file")
    made: Json = {"type": "input_file"}
    file_id = file.get("file_id")
    if isinstance(file_id, str) and file_id.startswith(("https://", "http://")):
        made["file_url"] = file_id
    elif file_id is not None:
        made["file_id"] = file_id
    for name in ("file_data", "filename"):
        if file.get(name) is not None:
            made[name] = file[name]
    return {**made, **_beside(part, "file")}


def chat_parts(parts: list[Any]) -> list[Any]:
    """Return input parts as chat's, those that chat has none for as they are."""
    return [_chat_part(part) if isinstance(part, dict) else part for part in parts]


def _chat_part(part: Json) -> Json:
    kind = part.get("type")
    if kind in ("input_text", "output_text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"], **_beside(part, "text")}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        image = {"url": part["image_url"]}
        if part.get("detail") is not None:
            image["detail"] = part["detail"]
        rest = _beside(part, "image_url")
        rest.pop("detail", None)
        return {"type": "image_url", "image_url": image, **rest}
    if kind == "input_file":
        file = {name: part[name] for name in _FILE if part.get(name) is not None}
        if isinstance(part.get("file_url"), str):
            file["file_id"] = part["file_url"]
        rest = {name: value for name, value in _beside(part, "file_url").items() if name not in _FILE}
        return {"type": "file", "file": file, **rest}
    return part
