"""Thinking of other vendors, carried through the Responses API's reasoning items and back.

Some vendors want their own thinking back, with its signature, before they go on with a tool's result. A client of the
Responses API keeps `encrypted_content` without looking into it, and sends it again: that is where it travels.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from ostinato.wire.contract import Json

PREFIX = "ostinato-thinking:"


def reasoning_item(block: Json, item_id: str) -> Json:
    """Return a thinking block as a reasoning item that `thinking_block` reads again."""
    text = block.get("thinking")
    summary = [{"type": "summary_text", "text": text}] if isinstance(text, str) and text else []
    sealed = PREFIX + base64.b64encode(msgspec.json.encode(block)).decode()
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def thinking_block(item: Json) -> Json | None:
    """Return the thinking block that a reasoning item carries; None for an item that is the vendor's own."""
    sealed: Any = item.get("encrypted_content")
    if item.get("type") != "reasoning" or not isinstance(sealed, str) or not sealed.startswith(PREFIX):
        return None
    try:
        block = msgspec.json.decode(base64.b64decode(sealed.removeprefix(PREFIX)))
    except (binascii.Error, ValueError):
        return None
    return block if isinstance(block, dict) else None
