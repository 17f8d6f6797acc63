"""What one call may do with the cache: the controls of `cache={…}`, read once and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from ostinato.caching.key import Scope
from ostinato.caching.tags import checked_tags
from ostinato.errors import ConfigurationError

Mode = Literal["default_on", "default_off", "record", "replay"]
MODES: tuple[Mode, ...] = ("default_on", "default_off", "record", "replay")


class Policy(msgspec.Struct, frozen=True):
    """What a call may do with its cache."""

    scope: Scope
    read: bool = True
    write: bool = True
    ttl_s: float | None = None
    """Seconds that the answer is kept; None: until evicted."""
    max_age_s: float | None = None
    """Seconds since it was stored above which an entry does not answer this call."""
    soft_ttl_s: float | None = None
    """Seconds since it was stored above which an entry still answers, and is asked anew behind the answer."""
    asked: bool = False
    """Whether the call itself asked to be cached (`ttl`, `use-cache`): then server-side tools do not bypass."""
    replay: bool = False
    """Never ask: a miss is an error."""
    keep_request: bool = False
    """Store the request beside the answer (record mode)."""
    tags: tuple[str, ...] = ()
    """What the entry can be invalidated by, beside its key."""


def default_policy(scope: Scope, mode: Mode, ttl_s: float | None, soft_ttl_s: float | None) -> Policy:
    """Return what a call may do that says nothing itself."""
    match mode:
        case "default_on":
            return Policy(scope, ttl_s=ttl_s, soft_ttl_s=soft_ttl_s)
        case "default_off":
            return Policy(scope, read=False, write=False, ttl_s=ttl_s, soft_ttl_s=soft_ttl_s)
        case "record":
            return Policy(scope, read=False, ttl_s=ttl_s, keep_request=True)
        case "replay":
            return Policy(scope, write=False, replay=True)


def apply_controls(default: Policy, mode: Mode, controls: Mapping[str, Any]) -> Policy:
    """Return `default` as the call's own controls change it.

    Raises: ConfigurationError: an unknown control or a value that it cannot have.
    """
    policy = default
    for name, value in controls.items():
        policy = _with_control(policy, name, value)
    if mode == "replay":
        return replace(policy, soft_ttl_s=None)
    if controls.get("use-cache"):
        policy = replace(policy, read=mode != "record", write=True, asked=True)
    if controls.get("no-cache"):
        policy = replace(policy, read=False)
    if controls.get("no-store"):
        policy = replace(policy, write=False)
    return policy


def _with_control(policy: Policy, name: str, value: Any) -> Policy:
    match name:
        case "ttl":
            return replace(policy, ttl_s=seconds(name, value), asked=True)
        case "s-maxage" | "s-max-age":
            return replace(policy, max_age_s=seconds(name, value, zero=True))
        case "soft-ttl":
            return replace(policy, soft_ttl_s=seconds(name, value, zero=True))
        case "namespace":
            if not isinstance(value, str):
                raise ConfigurationError(f"cache control 'namespace' must be a string, not {value!r}")
            return replace(policy, scope=replace(policy.scope, namespace=value))
        case "tags":
            return replace(policy, tags=checked_tags([*policy.tags, *checked_tags(value)]))
        case "no-cache" | "no-store" | "use-cache":
            if not isinstance(value, bool):
                raise ConfigurationError(f"cache control {name!r} must be True or False, not {value!r}")
            return policy
        case _:
            raise ConfigurationError(_unknown(name))


def seconds(name: str, value: object, *, zero: bool = False) -> float | None:
    """Return `value` as a number of seconds above 0 (from 0 with `zero`), or None for None.

    Raises: ConfigurationError: it is neither.
    """
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):  # type: ignore[arg-type,operator]
        least = "of 0 or more" if zero else "above 0"
        raise ConfigurationError(f"{name!r} must be a number of seconds {least}, or None, not {value!r}")
    return float(value)  # type: ignore[arg-type]


CONTROLS = ("ttl", "soft-ttl", "s-maxage", "no-cache", "no-store", "namespace", "tags", "use-cache")


def _unknown(name: object) -> str:
    from difflib import get_close_matches

    near = get_close_matches(str(name), CONTROLS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown cache control {name!r}{hint} The controls are: {', '.join(CONTROLS)}"
