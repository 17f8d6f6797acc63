"""How deployments and models stand in for each other: what a configuration says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.errors import NotFoundError
from ostinato.gateway.models import Models
from ostinato.gateway.section import Section, nearest


class Routing(msgspec.Struct, frozen=True):
    """How deployments and other aliases stand in for each other."""

    num_retries: int = 2
    """Tries beyond the first of each deployment."""
    timeout_s: float | None = None
    """Seconds without a byte after which a deployment has failed, where it says nothing itself; None: 600."""
    allowed_fails: int = 0
    """Failures within a minute that a deployment may have before it rests; 0: it rests after the first."""
    cooldown_s: float = 5.0
    """How long it rests; 0: never."""
    fallbacks: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """By alias, the aliases that are asked in order when all its deployments failed; `*`: of any alias."""
    context_window_fallbacks: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The same where the prompt does not fit."""
    content_policy_fallbacks: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The same where the vendor refused the prompt."""


def read_renamed(router: Section, groups: Mapping[str, Any]) -> dict[str, str]:
    """Return the other names of models: `{"gpt-4": "gpt-4o"}`, or a mapping with `model` in place of the name."""
    section = router.section("model_group_alias")
    renamed = {}
    for name, line in section.lines.items():
        value = section.plain(name)
        target = str(value.get("model") if isinstance(value, dict) else value)
        if target not in groups:
            raise section.wrong(f"there is no model {target!r}{nearest(target, groups)}", line)
        renamed[name] = target
    return renamed


def read_routing(router: Section, litellm: Section, notes: list[str]) -> Routing:
    """Return how deployments stand in for each other. What stands in both sections is the router's."""
    usual = Routing()
    retries = [section.whole("num_retries") for section in (router, litellm)]
    timeouts = [router.number("timeout", least=0.001), litellm.number("request_timeout", "timeout", least=0.001)]
    allowed = [section.whole("allowed_fails") for section in (router, litellm)]
    cooldowns = [router.number("cooldown_time", "cooldown_s"), litellm.number("cooldown_time")]
    for name in ("routing_strategy", "optional_pre_call_checks"):
        place = f"{router.file.name}:{router.lines.get(name)}: {name}"
        given = router.plain(name)
        notes += [f"{place}: {each}" for each in (given if isinstance(given, list) else [given]) if each not in _HELD]
    return Routing(
        num_retries=_first(retries, usual.num_retries),
        timeout_s=_first(timeouts, usual.timeout_s),
        allowed_fails=_first(allowed, usual.allowed_fails),
        cooldown_s=0.0 if router.flag("disable_cooldowns") else _first(cooldowns, usual.cooldown_s),
    )


def with_fallbacks(routing: Routing, router: Section, litellm: Section, models: Models) -> Routing:
    """Return `routing` with the models that stand in for others.

    Raises: ConfigurationError: one that is named is not there.
    """
    tables = {
        name: _fallbacks(name, router, models) or _fallbacks(name, litellm, models)
        for name in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
    }
    default = [name for section in (router, litellm) for name in _names(section, "default_fallbacks", models)]
    if default:
        tables["fallbacks"].setdefault("*", tuple(default))
    return msgspec.structs.replace(routing, **tables)


_HELD = frozenset({None, "simple-shuffle", "prompt_caching", "deployment_affinity", "session_affinity"})
"""What LiteLLM's router does on request and ours does anyhow: a conversation stays where it is warm, by weight."""


def _first(values: list[Any], usual: Any) -> Any:
    return next((value for value in values if value is not None), usual)


def _fallbacks(name: str, section: Section, models: Models) -> dict[str, tuple[str, ...]]:
    """Return the models that stand in for each: a list of mappings from a name to names."""
    table: dict[str, tuple[str, ...]] = {}
    for item in section.sections(name):
        for model in item.left:
            if model != "*":
                _known(model, item, models)
            table[model] = tuple(_names(item, model, models))
    return table


def _names(section: Section, name: str, models: Models) -> list[str]:
    return [_known(section.file.resolved(node), section, models, node.line) for node in section.items(name)]


def _known(model: Any, section: Section, models: Models, line: int | None = None) -> str:
    try:
        models.find(str(model))
    except NotFoundError as error:
        raise section.wrong(error.message, line) from error
    return str(model)
