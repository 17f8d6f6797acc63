"""What a request says to the gateway itself, taken out of it: none of it travels upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ostinato.client.core import checked_sample
from ostinato.client.route import is_ours
from ostinato.client.way import ASKED
from ostinato.errors import BadRequestError, ConfigurationError, PermissionDeniedError
from ostinato.gateway.models import Alias

if TYPE_CHECKING:
    from ostinato.gateway.admit import Caller
    from ostinato.gateway.models import Deployment

Json = dict[str, Any]

CREDENTIALS = frozenset({"api_key", "api_base", "base_url", "extra_headers"})
"""What a request may carry where that is allowed."""
_REFUSED = re.compile(r"api_version|extra_(body|query)|organization|(aws|azure|vertex|gcp)_\w+")
"""What else says where a call goes or what it is, beside its model."""

_MAX_AGE = re.compile(r"\s*(\d{1,10})\s*")


def take_controls(body: Json, cache_control: bytes | None) -> Json:
    """Return what a request says of the cache, in its body and in its header; the body's word goes first.

    Raises: BadRequestError: what stands there cannot be.
    """
    controls = _of_header(cache_control.decode("latin-1")) if cache_control else {}
    said = body.pop("cache", None)
    if said is None:
        return controls
    if not isinstance(said, dict):
        raise BadRequestError(f"cache must be an object of controls, not {said!r:.50}")
    return controls | said


def _of_header(text: str) -> Json:
    """Read `Cache-Control`; what it says to other caches is not for us.

    Source: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1 (read 2026-11-24).
    """
    controls: Json = {}
    for directive in text.split(","):
        name, _, value = directive.strip().partition("=")
        match name.lower():
            case "no-cache" | "no-store":
                controls[name.lower()] = True
            case "max-age":
                seconds = _MAX_AGE.fullmatch(value)
                if seconds is None:
                    raise BadRequestError(f"Cache-Control: max-age must be a number of seconds, not {value!r:.50}")
                controls["s-maxage"] = int(seconds[1])
    return controls


def take_sample(body: Json) -> int:
    """Return which of several draws a request asks for; unless it says so, the first.

    Raises: BadRequestError: what stands there is no number of a draw.
    """
    try:
        said = body.pop("sample_index", None)
        return 0 if said is None else checked_sample(said)
    except ConfigurationError as error:
        raise BadRequestError(error.message) from None


def take_credentials(body: Json, alias: Alias, caller: Caller) -> Alias:
    """Return who answers, asked with what the request brings for it.

    Raises: PermissionDeniedError: it brings what it may not.
    """
    named = [name for name in body if name in CREDENTIALS or _REFUSED.fullmatch(name) or _is_setting(name)]
    if not named:
        return alias
    refused = [name for name in named if name not in CREDENTIALS] if caller.credentials else named
    if refused:
        raise PermissionDeniedError(f"a request may not carry {refused[0]!r} here")
    brought = {name: body.pop(name) for name in named if body[name] is not None}
    address = {"api_base", "base_url"} & brought.keys()
    if address and not (isinstance(brought.get("api_key"), str) and brought["api_key"]):
        # The deployment's own key must not go where the client says.
        raise PermissionDeniedError(f"a request that carries {min(address)!r} must carry 'api_key' too")
    return Alias.of(alias.name, [_with(deployment, brought, moved=bool(address)) for deployment in alias.deployments])


def _is_setting(name: str) -> bool:
    return is_ours(name) and name not in ASKED


def _with(deployment: Deployment, brought: Mapping[str, Any], *, moved: bool) -> Deployment:
    params = {name: value for name, value in deployment.params.items() if not (moved and name in CREDENTIALS)}
    headers = {**(params.get("extra_headers") or {}), **_texts(brought.get("extra_headers"))}
    params |= {name: value for name, value in brought.items() if name != "extra_headers"}
    return replace(deployment, params=params | ({"extra_headers": headers} if headers else {}))


def _texts(headers: Any) -> Mapping[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise BadRequestError("extra_headers must be an object of texts")
    return headers
