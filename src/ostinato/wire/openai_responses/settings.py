"""The caller's parameters as the Responses API's: carried, renamed, mapped or refused, one by one.

Source: https://platform.openai.com/docs/api-reference/responses/create (read 2026-11-22), and the parameters of
openai 3.54, `openai.types.responses.response_create_params`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.contract import Call, Json
from ostinato.wire.openai_chat.schema import strict_format
from ostinato.wire.openai_responses.tools import flat_choice, flat_tools
from ostinato.wire.values import check_json, kind_of

CARRIED = frozenset(
    "access_programs background background_options context_management conversation image include "  # noqa: SIM905
    "instructions max_output_tokens max_tool_calls metadata moderation parallel_tool_calls previous_response_id prompt "
    "prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier service_tier store temperature "
    "top_logprobs top_p truncation user".split()
)
"""Parameters that go into the body as they are."""

RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}

MAPPED = frozenset(
    "function_call functions logprobs reasoning reasoning_effort response_format stream_options text "  # noqa: SIM905
    "tool_choice tools verbosity web_search_options".split()
)
"""Parameters that say the same in another way."""

SILENT = frozenset({"cache_control", "cache_control_injection_points", "extra_body", "prompt_caching", "stream"})
"""Parameters that others carry out, or that ask for nothing of the API's own."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "seed": (),
    "stop": ([], ""),
}
"""Parameters of chat that the API has nothing for, each with the values that ask for nothing."""

LOGPROBS = "message.output_text.logprobs"
"""What `include` must hold for an answer with log probabilities."""


def settings(call: Call, *, strict: bool) -> Json:
    """Return the members of the body that the parameters make.

    Raises:
        UnsupportedParamsError: one that the API cannot take, `strict`, and `drop_params` is off.
        BadRequestError: one that is not what it must be.
    """
    body: Json = {}
    for name, value in call.params.items():
        if value is None or name in SILENT:
            continue
        if name in CARRIED:
            kind = type(value)
            body[name] = value if kind is int or kind is bool else check_json(value, name)
        elif name in RENAMED:
            _rename(body, name, value, call)
        elif name in MAPPED:
            checked = value if isinstance(value, type) else check_json(value, name)
            _MAKERS[name](body, checked)
        else:
            _refuse(body, name, value, call, strict=strict)
    return body


def _rename(body: Json, name: str, value: Any, call: Call) -> None:
    if len([other for other in (*RENAMED, RENAMED[name]) if call.params.get(other) is not None]) > 1:
        raise BadRequestError(
            "max_tokens, max_completion_tokens and max_output_tokens are one setting; pass one of them"
        )
    body[RENAMED[name]] = check_json(value, name)


def _refuse(body: Json, name: str, value: Any, call: Call, *, strict: bool) -> None:
    """Leave out what asks for nothing or may be dropped, pass on what another server may know, refuse the rest."""
    known = NEUTRAL.get(name)
    if known is None and not strict:
        body[name] = check_json(value, name)
    elif (known is None or value not in known) and not call.drop_params:
        raise _unsupported(name)


def _unsupported(name: str) -> UnsupportedParamsError:
    from difflib import get_close_matches

    near = [] if name in NEUTRAL else get_close_matches(name, CARRIED | MAPPED | RENAMED.keys(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UnsupportedParamsError(
        f"OpenAI's Responses API takes no parameter {name!r}.{hint} extra_body={{{name!r}: …}} sends it all the same,"
        " drop_params=True leaves it out."
    )


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, Mapping):
        raise BadRequestError(f"{name} must be a mapping, not {kind_of(value)}")
    return dict(value)


def _set_format(body: Json, value: Any) -> None:
    """Set `text.format`. The caller's own `text` wins, whichever comes first."""
    if isinstance(value, type):
        value = strict_format(value)
    wanted = _object(value, "response_format")
    schema = wanted.get("json_schema")
    if wanted.get("type") == "json_schema" and isinstance(schema, dict):
        wanted = {"type": "json_schema", **schema}
    body["text"] = {"format": wanted, **body.get("text", {})}


def _set_verbosity(body: Json, value: Any) -> None:
    body["text"] = {"verbosity": value, **body.get("text", {})}


def _set_text(body: Json, value: Any) -> None:
    body["text"] = {**body.get("text", {}), **_object(value, "text")}


def _set_effort(body: Json, value: Any) -> None:
    """Set `reasoning` from an effort, or from an object with an effort in it. The caller's own `reasoning` wins."""
    made = {"effort": value} if isinstance(value, str) else _object(value, "reasoning_effort")
    body["reasoning"] = {**made, **body.get("reasoning", {})}


def _set_reasoning(body: Json, value: Any) -> None:
    body["reasoning"] = {**body.get("reasoning", {}), **_object(value, "reasoning")}


def _set_tools(body: Json, value: Any) -> None:
    body["tools"] = [*flat_tools(value), *body.get("tools", ())]


def _set_functions(body: Json, value: Any) -> None:
    if isinstance(value, list):
        _set_tools(body, [{"type": "function", "function": function} for function in value])


def _set_choice(body: Json, value: Any) -> None:
    body["tool_choice"] = flat_choice(check_json(value, "tool_choice"))


def _set_logprobs(body: Json, value: Any) -> None:
    if value is True:
        body["include"] = [*[item for item in body.get("include", ()) if item != LOGPROBS], LOGPROBS]


def _set_stream_options(body: Json, value: Any) -> None:
    """Keep what the API knows: a stream of its own always ends with the usage."""
    options = {name: item for name, item in _object(value, "stream_options").items() if name != "include_usage"}
    if options:
        body["stream_options"] = options


def _set_search(body: Json, value: Any) -> None:
    """Add the tool that searches. Chat keeps the place of the user one level deeper."""
    tool: Json = {"type": "web_search", **_object(value, "web_search_options")}
    place = tool.get("user_location")
    if isinstance(place, dict) and isinstance(place.get("approximate"), dict):
        tool["user_location"] = {"type": "approximate", **place["approximate"]}
    body["tools"] = [*body.get("tools", ()), tool]


_MAKERS: dict[str, Callable[[Json, Any], None]] = {
    "function_call": _set_choice,
    "functions": _set_functions,
    "logprobs": _set_logprobs,
    "reasoning": _set_reasoning,
    "reasoning_effort": _set_effort,
    "response_format": _set_format,
    "stream_options": _set_stream_options,
    "text": _set_text,
    "tool_choice": _set_choice,
    "tools": _set_tools,
    "verbosity": _set_verbosity,
    "web_search_options": _set_search,
}
