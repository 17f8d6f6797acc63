"""From the caller's words to OpenAI's request body, and to the part of it that a key is made of.

Source: https://platform.openai.com/docs/api-reference/chat/create (read 2026-11-22), and the parameter list of
openai 3.54, `openai.types.chat.completion_create_params`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.contract import Built, Call, Json
from ostinato.wire.openai_chat.breakpoints import takes_breakpoints, with_breakpoints
from ostinato.wire.openai_chat.marks import lowered, takes_marks, unmarked, without_marks
from ostinato.wire.openai_chat.schema import strict_format
from ostinato.wire.values import Flaw, check_json, extra_body, kind_of, mapping, plain_object

if TYPE_CHECKING:
    from ostinato.providers import Provider

PARAMS = frozenset(
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens "  # noqa: SIM905
    "max_tokens metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed "
    "service_tier stop store stream_options temperature tool_choice tools top_logprobs top_p user verbosity "
    "web_search_options".split()
)
"""What OpenAI's chat completions take beside `model`, `messages` and `stream`."""

UNKEYED = frozenset(
    "stream stream_options user metadata safety_identifier service_tier prompt_cache_key "  # noqa: SIM905
    "prompt_cache_retention prompt_cache_options background cache_control".split()
)
"""Members of the body that are no part of a key: transport, accounting, routing, price, prompt-cache marks."""

_NOT_SENT = frozenset({"cache_control", "extra_body", "stream"})

# "not compatible with o-series models"; the models from gpt-5 on answer 400 unsupported_parameter.
# https://platform.openai.com/docs/api-reference/chat/create#chat-create-max_tokens (read 2026-11-22)
_COMPLETION_TOKENS_ONLY = re.compile(r"(?:ft:)?(?:o\d|gpt-(?:[5-9]|\d{2}))(?!\d|.*turbo)")

_OF_OTHERS = frozenset(
    {"thinking_blocks", "content_blocks", "output_items", "reasoning_items", "provider_specific_fields"}
)
"""Members in which our records keep what other vendors said; OpenAI refuses members that it does not know."""

# Models that search on their own: OpenAI's https://platform.openai.com/docs/guides/tools-web-search, Perplexity's
# https://docs.perplexity.ai/getting-started/models, Groq's https://console.groq.com/docs/compound, OpenRouter's
# https://openrouter.ai/docs/guides/features/plugins/web-search (all read 2026-11-22).
_SEARCHES = re.compile(r"search-preview|search-api|(?:^|/)sonar|(?:^|/)compound|:online$")


def build(call: Call, provider: Provider) -> Built:
    """Return the request for `call`; see `Wire.build`."""
    try:
        marks = takes_marks(provider.name, call.model)
        return Built("/chat/completions", _body(call, provider.name == "openai", marks))
    except (BadRequestError, UnsupportedParamsError) as error:
        error.provider = provider.name
        raise


def _body(call: Call, vendor: bool, marks: bool) -> Json:  # noqa: FBT001 - a keyword costs a hit 50 ns
    params = call.params
    if not params.keys() <= PARAMS:
        params = _sendable(call, strict=vendor and call.strict)
    body: Json = {"model": call.model, "messages": call.messages, **params}
    for name, value in params.items():
        kind = type(value)
        if kind is int or kind is bool or (kind is str and value.isascii()):
            continue
        if value is None and name in call.params:
            del body[name]
        elif name != "messages":
            body[name] = _tools(value, marks) if name == "tools" else _parameter(name, value)
    if vendor and "max_tokens" in body:
        _place_max_tokens(body, strict=call.strict)
    if not call.model.isascii():
        check_json(call.model, "model")
    if vendor and takes_breakpoints(call.model):
        body["messages"] = with_breakpoints(body["messages"])
    if marks and params is not call.params and call.params.get("cache_control") is not None:
        body["cache_control"] = check_json(call.params["cache_control"], "cache_control")
    body["messages"] = _messages(body["messages"], lowered if marks else unmarked)
    return body


def _sendable(call: Call, *, strict: bool) -> Json:
    """Return the parameters to send, with what `extra_body` puts over them.

    Raises: UnsupportedParamsError: `strict`, and one is not in OpenAI's list.
    """
    params = {name: value for name, value in call.params.items() if value is not None and name not in _NOT_SENT}
    if strict:
        for name in params.keys() - PARAMS:
            if not call.drop_params:
                raise _unsupported(name)
            del params[name]
    return params | extra_body(call.params)


def _unsupported(name: str) -> UnsupportedParamsError:
    from difflib import get_close_matches

    near = get_close_matches(name, PARAMS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UnsupportedParamsError(
        f"OpenAI's chat completions take no parameter {name!r}.{hint} extra_body={{{name!r}: …}} sends it all the"
        " same, drop_params=True leaves it out."
    )


def _place_max_tokens(body: Json, *, strict: bool) -> None:
    """Rename `max_tokens` for the models that know only its successor."""
    if "max_completion_tokens" in body:
        if strict:
            raise BadRequestError("max_tokens and max_completion_tokens are one setting; pass one of them")
    elif isinstance(body["model"], str) and _COMPLETION_TOKENS_ONLY.match(body["model"]):
        body["max_completion_tokens"] = body.pop("max_tokens")


def _parameter(name: str, value: Any) -> Any:
    if name == "response_format" and isinstance(value, type):
        return strict_format(value)
    return check_json(value, name)


def _messages(messages: Any, settle: Callable[[Any], Any]) -> list[Json]:
    """Return `messages` checked, cache marks settled; what needs no change is shared with the caller."""
    if not isinstance(messages, list | tuple) or not messages:
        was = "an empty list" if isinstance(messages, list | tuple) else kind_of(messages)
        raise BadRequestError(f"messages must be a list of at least one message, not {was}")
    checked = list(messages)
    for index, message in enumerate(messages):
        if type(message) is dict and len(message) == 2:
            role, content = message.get("role"), message.get("content")
            if type(role) is str and type(content) is str and role.isascii() and content.isascii():
                continue
        try:
            checked[index] = _message(message, settle)
        except Flaw as flaw:
            raise flaw.at(f"messages[{index}]") from None
    return checked


def _message(message: Any, settle: Callable[[Any], Any]) -> Json:
    message = mapping(message)
    role = dict.get(message, "role")
    if not isinstance(role, str):
        raise Flaw(f"must be a str, not {kind_of(role)}", "role")
    # A record of ours reads its content as text; the parts are what was said.
    content = dict.get(message, "content")
    if isinstance(content, list | tuple):
        message = _replaced(message, "content", [_part(part, index, settle) for index, part in enumerate(content)])
    elif content is not None and not isinstance(content, str):
        raise Flaw(f"must be a str, None or a list of parts, not {kind_of(content)}", "content")
    calls = dict.get(message, "tool_calls")
    if isinstance(calls, list | tuple) and settle is unmarked:
        message = _replaced(message, "tool_calls", [unmarked(call) for call in calls])
    if not _OF_OTHERS.isdisjoint(message):
        message = {name: value for name, value in message.items() if name not in _OF_OTHERS}
    return plain_object(settle(message), 1)


def _part(part: Any, index: int, settle: Callable[[Any], Any]) -> Any:
    try:
        part = mapping(part)
    except Flaw as flaw:
        flaw.path += (index, "content")
        raise
    kind = dict.get(part, "type")
    if not isinstance(kind, str):
        raise Flaw(f"must be a str, not {kind_of(kind)}", "type", index, "content")
    return unmarked(part) if settle is unmarked else part


def _tools(tools: Any, marks: bool) -> Any:  # noqa: FBT001 - as _body
    if not isinstance(tools, list | tuple):
        return check_json(tools, "tools")
    checked = []
    for index, tool in enumerate(tools):
        try:
            plain = mapping(tool)
            function = dict.get(plain, "function")
            if isinstance(function, dict) and "cache_control" in function:
                plain = {"cache_control": function["cache_control"], **plain, "function": unmarked(function)}
            checked.append(plain_object(plain if marks else unmarked(plain), 1))
        except Flaw as flaw:
            raise flaw.at(f"tools[{index}]") from None
    return checked


def _replaced(value: Json, name: str, items: list[Any]) -> Json:
    """Return `value` with the list `name` replaced, or `value` itself where no item is another."""
    before = dict.get(value, name)
    if type(before) is list and all(map(_same, before, items)):
        return value
    return {**value, name: items}


def _same(one: object, other: object) -> bool:
    return one is other


def streaming(built: Built) -> Built:
    """Return the same request, asking for a stream with its usage."""
    options = built.body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise BadRequestError(f"stream_options must be an object, not {kind_of(options)}")
    return replace(built, body=built.body | {"stream": True, "stream_options": {**options, "include_usage": True}})


def keyed_body(body: Json) -> Json:
    """Return `body` without the paths that are no part of a key."""
    return without_marks({name: value for name, value in body.items() if name not in UNKEYED})


def bypass(body: Json) -> str | None:
    """Say which part of the request makes its answer depend on more than the request, or None."""
    for name in ("web_search_options", "conversation", "container", "background"):
        if body.get(name):
            return name
    if body.get("web_search_options") is not None:
        return "web_search_options"
    model = body.get("model")
    if isinstance(model, str) and _SEARCHES.search(model):
        return f"the model {model!r} searches"
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = dict.get(tool, "type", "function") if isinstance(tool, dict) else "function"
        if kind not in ("function", "custom"):
            return f"the vendor runs the tool {kind!r}"
    return _searching(body)


def _searching(body: Json) -> str | None:
    """Say which switch of a compatible vendor turns on a search.

    Sources: https://docs.x.ai/docs/guides/live-search and
    https://openrouter.ai/docs/guides/features/plugins/web-search (read 2026-11-22).
    """
    live = body.get("search_parameters")
    if isinstance(live, dict) and live.get("mode") != "off":
        return "search_parameters"
    plugins = body.get("plugins")
    if isinstance(plugins, list) and any(isinstance(plugin, dict) and plugin.get("id") == "web" for plugin in plugins):
        return "the web plugin"
    return None
