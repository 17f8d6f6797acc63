"""From the caller's words to Anthropic's request body, and what about it keeps it out of the cache.

Source: https://platform.claude.com/docs/en/api/messages (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.anthropic.marks import limit_marks
from ostinato.wire.anthropic.messages import translate
from ostinato.wire.anthropic.settings import DEFAULT_MAX_TOKENS, settings
from ostinato.wire.contract import Built, Call, Json
from ostinato.wire.values import check_json, extra_body, kind_of

if TYPE_CHECKING:
    from ostinato.providers import Provider

PATH = "/v1/messages"

VERSION: Mapping[str, str] = MappingProxyType({"anthropic-version": "2023-06-01"})

_CALLERS_TOOLS = ("custom", "bash_", "text_editor_", "memory_")
"""Types of tools that the caller runs, by how they begin: what the model answers depends on the request alone."""


def build(call: Call, provider: Provider) -> Built:
    """Return the request for `call`; see `Wire.build`."""
    try:
        return Built(PATH, body_of(call), _headers(call))
    except (BadRequestError, UnsupportedParamsError) as error:
        error.provider = provider.name
        raise


def body_of(call: Call) -> Json:
    """Return the body of the request, the turns last, so that a longer conversation has the shorter as its prefix."""
    if not call.model.isascii():
        check_json(call.model, "model")
    params = call.params
    made: Json = settings(call) if params else {"max_tokens": DEFAULT_MAX_TOKENS}
    blocks, turns = translate(call.messages, call.model)
    blocks = [*made.pop("system", ()), *blocks]
    body: Json = {"model": call.model, **made}
    if blocks:
        body["system"] = blocks[0]["text"] if len(blocks) == 1 and _is_plain(blocks[0]) else blocks
    body["messages"] = turns
    return limit_marks(body | extra_body(params))


def _is_plain(block: Any) -> bool:
    return isinstance(block, dict) and block.keys() == {"type", "text"} and block["type"] == "text"


def _headers(call: Call) -> Mapping[str, str]:
    betas = call.params.get("betas")
    if betas is None:
        return VERSION
    return {**VERSION, "anthropic-beta": ",".join(names_of(betas))}


def names_of(betas: Any) -> list[str]:
    """Return the names of betas, which stand in a list, or in a text with commas between."""
    if isinstance(betas, str):
        return betas.split(",")
    if not isinstance(betas, list | tuple) or not all(isinstance(name, str) for name in betas):
        raise BadRequestError(f"betas must be a list of names, not {kind_of(betas)}")
    return list(betas)


def streaming(built: Built) -> Built:
    """Return the same request, asking for a stream."""
    return replace(built, body=built.body | {"stream": True})


def bypass(body: Json) -> str | None:
    """Say which part of the request makes its answer depend on more than the request, or None."""
    for name in ("mcp_servers", "container"):
        if body.get(name):
            return name
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is not None and not str(kind).startswith(_CALLERS_TOOLS):
            return f"the vendor runs the tool {kind!r}"
    return None
