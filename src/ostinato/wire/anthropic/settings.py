"""The caller's parameters as Anthropic's: carried, renamed, mapped or refused, one by one.

Sources: https://platform.claude.com/docs/en/api/messages, …/build-with-claude/effort,
…/build-with-claude/adaptive-thinking, …/build-with-claude/structured-outputs and …/api/openai-sdk, all under
https://platform.claude.com/docs/en (read 2026-11-22), and the parameters of anthropic 2.12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.contract import Call, Json
from ostinato.wire.openai_chat.schema import strict_format
from ostinato.wire.values import check_json, kind_of

DEFAULT_MAX_TOKENS = 4096
"""Sent where the caller gives none: the vendor requires a number, and one that followed the model's own limit would
change the keys with every new table of models."""

CARRIED = frozenset(
    {
        "cache_control", "compaction", "container", "context_management", "diagnostics", "fallbacks", "inference_geo",
        "max_tokens", "mcp_servers", "output_format", "speed", "stop_sequences", "temperature", "thinking",
        "top_k", "top_p", "user_profile_id",
    }
)  # fmt: skip
"""Parameters that go into the body as they are."""

RENAMED = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}

MAPPED = frozenset(
    {
        "betas", "function_call", "functions", "metadata", "output_config", "parallel_tool_calls", "reasoning_effort",
        "response_format", "safety_identifier", "service_tier", "system", "tool_choice", "tools", "user",
    }
)  # fmt: skip
"""Parameters that say the same in another way."""

SILENT = frozenset({"cache_control_injection_points", "extra_body", "prompt_caching", "stream", "stream_options"})
"""Parameters that others carry out, or that ask for nothing of the vendor's own."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "seed": (),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}
"""Parameters of OpenAI's that Anthropic has nothing for, each with the values that ask for nothing."""

_BUDGETED = re.compile(r"claude-(?:3-7|(?:opus|sonnet|haiku)-4(?:-[015])?(?:$|[^\d-]|-\d{8}|-latest))")
"""Models that think within a budget; earlier ones do not think, later ones know an effort."""

_THOUGHTLESS = re.compile(r"claude-(?:v?[12]|instant|3-(?:5|opus|sonnet|haiku))")

BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
"""Tokens to think with, by effort, for the models that take a budget; 1024 is the vendor's minimum."""

EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


def settings(call: Call) -> Json:
    """Return the members of the body that the parameters make, `tools` and the blocks of `system` among them.

    Raises:
        UnsupportedParamsError: one that Anthropic cannot take, and `drop_params` is off.
        BadRequestError: one that is not what it must be.
    """
    params = {name: value for name, value in call.params.items() if value is not None and name not in SILENT}
    if "max_tokens" in params and "max_completion_tokens" in params:
        raise BadRequestError("max_tokens and max_completion_tokens are one setting; pass one of them")
    body: Json = {}
    for name, value in params.items():
        if name in CARRIED:
            body[name] = value if type(value) is int else check_json(value, name)
        elif name in RENAMED:
            body[RENAMED[name]] = [value] if name == "stop" and isinstance(value, str) else check_json(value, name)
        elif name in _MAKERS:
            _MAKERS[name](body, check_json(value, name) if not isinstance(value, type) else value, call)
        elif name not in MAPPED:
            _refuse(body, name, value, call)
    _choose_tools(body, params, call)
    if "reasoning_effort" in params:
        _think(body, params["reasoning_effort"], call)
    body.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
    return body


def unsupported(name: str, why: str = "") -> UnsupportedParamsError:
    """Return the error for a parameter that Anthropic cannot take."""
    from difflib import get_close_matches

    near = get_close_matches(name, CARRIED | MAPPED | RENAMED.keys(), n=1) if not why and name not in NEUTRAL else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UnsupportedParamsError(
        f"Anthropic's messages take no {name}{why}.{hint} drop_params=True leaves it out, extra_body= sends what you"
        " write there all the same."
    )


def _refuse(body: Json, name: str, value: Any, call: Call) -> None:
    """Leave out what asks for nothing or may be dropped, pass on what another server may know, refuse the rest."""
    known = NEUTRAL.get(name)
    if known is None and not call.strict:
        body[name] = check_json(value, name)
    elif (known is None or value not in known) and not call.drop_params:
        raise unsupported(name)


def _set_format(body: Json, value: Any, call: Call) -> None:
    if isinstance(value, type):
        value = strict_format(value)
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_schema":
        schema = value.get("json_schema")
        if not isinstance(schema, dict) or not isinstance(schema.get("schema"), dict):
            raise BadRequestError("response_format.json_schema must hold a schema")
        wanted = {"format": {"type": "json_schema", "schema": schema["schema"]}}
        body["output_config"] = wanted | body.get("output_config", {})
    elif kind != "text" and not call.drop_params:
        raise unsupported("response_format", f" of type {kind!r}, only json_schema and text")


def _configure(body: Json, value: Any, _: Call) -> None:
    """Add members to `output_config`. The caller's own win, whichever comes first."""
    if not isinstance(value, dict):
        raise BadRequestError(f"output_config must be a mapping, not {kind_of(value)}")
    body["output_config"] = body.get("output_config", {}) | value


def _set_system(body: Json, value: Any, _: Call) -> None:
    if isinstance(value, str):
        body["system"] = [{"type": "text", "text": value}] if value else []
    elif isinstance(value, list | tuple):
        body["system"] = list(value)
    else:
        raise BadRequestError(f"system must be a str or a list of blocks, not {kind_of(value)}")


def _set_user(body: Json, value: Any, _: Call) -> None:
    body["metadata"] = {"user_id": value} | body.get("metadata", {})


def _set_metadata(body: Json, value: Any, call: Call) -> None:
    if not isinstance(value, dict):
        raise BadRequestError(f"metadata must be a mapping, not {kind_of(value)}")
    if value.keys() - {"user_id"} and not call.drop_params:
        raise unsupported("metadata", " but user_id")
    if "user_id" in value:
        body["metadata"] = {"user_id": value["user_id"]}


def _set_tier(body: Json, value: Any, call: Call) -> None:
    if isinstance(value, str) and value in _TIERS:
        body["service_tier"] = _TIERS[value]
    elif not call.drop_params:
        raise unsupported("service_tier", f" {value!r}, only auto and default")


def _set_tools(body: Json, value: Any, call: Call) -> None:
    if not isinstance(value, list | tuple):
        raise BadRequestError(f"tools must be a list, not {kind_of(value)}")
    body["tools"] = [_tool(tool, index, call) for index, tool in enumerate(value)]


def _set_functions(body: Json, value: Any, call: Call) -> None:
    if "tools" not in call.params and isinstance(value, list):
        _set_tools(body, [{"type": "function", "function": function} for function in value], call)


_MAKERS: dict[str, Callable[[Json, Any, Call], None]] = {
    "functions": _set_functions,
    "metadata": _set_metadata,
    "output_config": _configure,
    "response_format": _set_format,
    "safety_identifier": _set_user,
    "service_tier": _set_tier,
    "system": _set_system,
    "tools": _set_tools,
    "user": _set_user,
}


def _tool(tool: Any, index: int, call: Call) -> Json:
    if not isinstance(tool, dict):
        raise BadRequestError(f"tools[{index}] must be an object, not {kind_of(tool)}")
    function, custom = dict.get(tool, "function"), dict.get(tool, "custom")
    if isinstance(function, dict):
        made = _named(function)
        made["input_schema"] = _input_schema(function.get("parameters"))
        if function.get("strict"):
            made["strict"] = True
        beside = {**({"cache_control": function["cache_control"]} if "cache_control" in function else {}), **tool}
    elif tool.get("type") == "custom" and isinstance(custom, dict):
        wanted = custom.get("format")
        if wanted and not (isinstance(wanted, dict) and wanted.get("type") in (None, "text")) and not call.drop_params:
            raise unsupported(f"tools[{index}].custom.format")
        made = _named(custom)
        made["input_schema"] = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        beside = tool
    else:
        return tool
    own = {"type", "function", "custom"}
    return made | {name: value for name, value in beside.items() if name not in own and value is not None}


def _named(function: Json) -> Json:
    return {name: function[name] for name in ("name", "description") if function.get(name) is not None}


def _input_schema(parameters: Any) -> Json:
    if not isinstance(parameters, dict) or not parameters:
        return {"type": "object", "properties": {}}
    return parameters if "type" in parameters else {"type": "object", **parameters}


def _choose_tools(body: Json, params: Json, call: Call) -> None:
    """Set `tool_choice` from the parameters that bear on it."""
    wish = params.get("tool_choice", params.get("function_call"))
    choice = None if wish is None else _tool_choice(check_json(wish, "tool_choice"), call)
    if params.get("parallel_tool_calls") is False and (choice is not None or body.get("tools")):
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice = {**choice, "disable_parallel_tool_use": True}
    if choice is not None:
        body["tool_choice"] = choice


def _tool_choice(wish: Any, call: Call) -> Json | None:
    if isinstance(wish, str) and wish in {"auto", "none", "required", "any"}:
        return {"type": "any" if wish == "required" else wish}
    if isinstance(wish, Mapping):
        kind = wish.get("type")
        named = wish.get("function") or wish.get("custom") or ({"name": wish.get("name")} if kind is None else None)
        if isinstance(named, dict) and isinstance(named.get("name"), str):
            return {"type": "tool", "name": named["name"]}
        if kind in ("auto", "any", "tool", "none"):
            return dict(wish)
    if call.drop_params:
        return None
    raise unsupported("tool_choice", f" {wish!r}")


def _think(body: Json, effort: Any, call: Call) -> None:
    """Set what the model may spend on thinking: an effort where it knows one, a budget where it takes one."""
    if not isinstance(effort, str) or effort not in {"none", *EFFORTS}:
        raise BadRequestError(f"reasoning_effort must be none or one of {', '.join(EFFORTS)}, not {effort!r}")
    if _THOUGHTLESS.search(call.model):
        if effort != "none" and not call.drop_params:
            raise unsupported("reasoning_effort", f" for {call.model}")
    elif _BUDGETED.search(call.model):
        if effort != "none" and "thinking" not in body:
            body["thinking"] = {"type": "enabled", "budget_tokens": _budget(body, effort)}
    elif effort == "none":
        body.setdefault("thinking", {"type": "disabled"})
    else:
        body.setdefault("thinking", {"type": "adaptive"})
        body["output_config"] = {"effort": EFFORTS[effort]} | body.get("output_config", {})


def _budget(body: Json, effort: str) -> int:
    """Return a budget below `max_tokens`, which is raised where the caller set none."""
    budget = BUDGETS[effort]
    limit = body.get("max_tokens")
    if limit is None:
        body["max_tokens"] = budget + DEFAULT_MAX_TOKENS
    elif isinstance(limit, int) and limit <= budget:
        budget = limit - 1
        if budget < BUDGETS["minimal"]:
            raise BadRequestError(f"reasoning_effort needs max_tokens above {BUDGETS['minimal']}, not {limit}")
    return budget
