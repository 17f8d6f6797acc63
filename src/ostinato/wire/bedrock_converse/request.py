"""From the caller's words to Converse's request.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11-22), and the
service model of botocore 1.44.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.bedrock_converse.content import blocks_of
from ostinato.wire.bedrock_converse.marks import POINT, mark_end, point_of, settle
from ostinato.wire.bedrock_converse.models import Traits, reasoning_fields, top_k_fields, traits_of
from ostinato.wire.bedrock_converse.turns import turns_of
from ostinato.wire.contract import Built, Call, Json
from ostinato.wire.openai_chat.schema import strict_format
from ostinato.wire.values import Flaw, check_json, extra_body, kind_of, mapping, plain_object

if TYPE_CHECKING:
    from ostinato.providers import Provider

_OWN = frozenset(
    """
    additionalModelRequestFields additionalModelResponseFieldPaths guardrailConfig inferenceConfig outputConfig
    performanceConfig promptVariables requestMetadata serviceTier toolConfig
    """.split()  # noqa: SIM905 - 10 quoted words are harder to read
)
"""Members of Converse's request that a caller may write as they are."""

_MODEL = frozenset({"anthropic_beta", "output_config", "reasoningConfig", "reasoning_config", "thinking"})
"""Parameters of the models themselves, which Converse hands on to them in `additionalModelRequestFields`."""

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "store": (False,),
    "top_logprobs": (0,),
}
"""Parameters that Converse has nothing for, by the values that ask for what it does anyway."""

_REFUSED = frozenset(
    """
    audio function_call functions moderation prediction prompt_cache_key prompt_cache_options prompt_cache_retention
    safety_identifier seed verbosity web_search_options
    """.split()  # noqa: SIM905 - 12 quoted words are harder to read
)
"""OpenAI's other parameters that Converse has nothing for."""

_UNSENT = frozenset({"cache_control", "cache_control_injection_points", "extra_body", "stream", "stream_options"})

_TIERS = frozenset({"default", "flex", "priority", "reserved"})


def build(call: Call, provider: Provider) -> Built:
    """Return the request for `call`; see `Wire.build`."""
    try:
        request = _Request(call)
        body = request.body()
        return Built(f"/model/{quote(call.model, safe='')}/converse", body, notes=request.notes)
    except (BadRequestError, UnsupportedParamsError) as error:
        error.provider = provider.name
        raise


def streaming(built: Built) -> Built:
    """Return the same request, asking for a stream: another path."""
    return replace(built, path=f"{built.path.removesuffix('/converse')}/converse-stream")


def bypass(body: Json) -> str | None:
    """Say which part of the request makes its answer depend on more than the request, or None."""
    tools = body.get("toolConfig")
    for tool in (tools.get("tools") if isinstance(tools, dict) else None) or ():
        if isinstance(tool, dict) and isinstance(tool.get("systemTool"), dict):
            return f"the vendor runs the tool {tool['systemTool'].get('name')!r}"
    fields = body.get("additionalModelRequestFields")
    for tool in (fields.get("tools") if isinstance(fields, dict) else None) or ():
        if isinstance(tool, dict) and tool.get("type", "custom") != "custom":
            return f"the vendor runs the tool {tool['type']!r}"
    return None


class _Request:
    """One request in the making."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._traits: Traits = traits_of(call.model)
        self._inference: Json = {}
        self._fields: Json = {}
        self._output: Json = {}
        self._body: Json = {}
        self._system: list[Json] = []
        self._tools: list[Json] = []
        self._choice: Any = None
        self.notes: tuple[str, ...] = ()
        """What could not be kept of the caller's marks."""

    def body(self) -> Json:
        params = {name: value for name, value in self._call.params.items() if value is not None}
        system, turns = turns_of(self._call.messages, self._traits)
        for name, value in params.items():
            # A class is described by its own schema, which says what it holds.
            given = value if name == "response_format" else check_json(value, name)
            if name not in _UNSENT and not self._take(name, given):
                self._refuse(name)
        self._close(turns)
        system = [*self._system, *system]
        if system:
            self._body["system"] = system
        # The part that grows stands last: what was sent before stays a prefix, to the byte.
        self._body["messages"] = turns
        try:
            mark_end(turns[-1]["content"], point_of(check_json(params.get("cache_control"), "cache_control")))
        except Flaw as flaw:
            raise flaw.at("cache_control") from None
        self.notes = settle(self._body, self._traits)
        return self._body | extra_body(params)

    def _refuse(self, name: str, why: str = "") -> None:
        """Leave a parameter out where the caller allows it. Raises: UnsupportedParamsError: he does not."""
        if not self._call.drop_params:
            raise UnsupportedParamsError(
                f"Bedrock Converse cannot take the parameter {name!r}{why}; drop_params=True leaves it out"
            )

    def _take(self, name: str, value: Any) -> bool:
        """Place one parameter. Return whether Converse has a place for it."""
        placing = _PLACES.get(name)
        if placing is not None:
            placing(self, value)
        elif name in _OWN:
            self._own(name, value)
        elif name in _MODEL:
            self._fields[name] = value
        elif name in _NEUTRAL:
            return value in _NEUTRAL[name]
        elif name in _REFUSED or self._call.strict:
            return False
        else:
            self._fields[name] = value
        return True

    def _own(self, name: str, value: Any) -> None:
        if not isinstance(value, dict | list):
            raise BadRequestError(f"{name} must be an object, not {kind_of(value)}")
        if name == "inferenceConfig":
            self._inference |= value
        elif name == "additionalModelRequestFields":
            self._fields |= value
        elif name == "outputConfig":
            self._output |= value
        elif name == "toolConfig" and isinstance(value, dict):
            self._tools += value.get("tools") or ()
            self._choice = value.get("toolChoice") or self._choice
        else:
            self._body[name] = {**self._body.get(name, {}), **value} if isinstance(value, dict) else value

    def _take_system(self, value: Any) -> None:
        """Take the vendor's own `system`: a text, or blocks of Converse's or Anthropic's."""
        try:
            self._system = blocks_of(value)
        except Flaw as flaw:
            flaw.path = [step for step in flaw.path if step != "content"]
            raise flaw.at("system") from None

    def _max_tokens(self, value: Any) -> None:
        if "maxTokens" in self._inference:
            raise BadRequestError("max_tokens and max_completion_tokens are one setting; pass one of them")
        self._inference["maxTokens"] = value

    def _stop(self, value: Any) -> None:
        stops = [value] if isinstance(value, str) else value
        if stops:
            self._inference["stopSequences"] = stops

    def _reasoning_effort(self, value: Any) -> None:
        fields, output = reasoning_fields(str(value), self._traits)
        self._fields = fields | self._fields
        self._output |= output

    def _top_k(self, value: Any) -> None:
        self._fields |= top_k_fields(value, self._traits)

    def _metadata(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise BadRequestError(f"metadata must be a mapping, not {kind_of(value)}")
        if value:
            self._body["requestMetadata"] = {**self._body.get("requestMetadata", {}), **value}

    def _user(self, value: Any) -> None:
        self._metadata({"user": value})

    def _service_tier(self, value: Any) -> None:
        if isinstance(value, str) and value in _TIERS:
            self._body["serviceTier"] = {"type": value}
        elif value != "auto":
            self._refuse("service_tier", f" as {value!r}")

    def _response_format(self, value: Any) -> None:
        wanted = strict_format(value) if isinstance(value, type) else check_json(value, "response_format")
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        described = wanted.get("json_schema") if kind == "json_schema" else None
        if isinstance(described, dict) and "schema" in described:
            named = {name: described[name] for name in ("name", "description") if described.get(name) is not None}
            schema = msgspec.json.encode(described["schema"]).decode()
            structure = {"jsonSchema": {"schema": schema, **named}}
            self._output["textFormat"] = {"type": "json_schema", "structure": structure}
        elif kind != "text":
            self._refuse("response_format", f" as {kind!r}: it knows json_schema")

    def _take_tools(self, value: Any) -> None:
        if not isinstance(value, list):
            raise BadRequestError(f"tools must be a list, not {kind_of(value)}")
        for index, given in enumerate(value):
            try:
                tool = plain_object(mapping(given), 1)
                marked = tool.get("cache_control") or _function(tool).get("cache_control")
                spec = _tool(tool)
                point = point_of(marked)
            except Flaw as flaw:
                raise flaw.at(f"tools[{index}]") from None
            if spec is None:
                self._refuse("tools", f" with a tool of type {tool.get('type')!r}")
                continue
            self._tools.append(spec)
            if point is not None:
                self._tools.append(point)

    def _tool_choice(self, value: Any) -> None:
        name = _function(value).get("name") if isinstance(value, dict) and value.get("type") == "function" else None
        if name is not None:
            self._choice = {"tool": {"name": name}}
        elif value in ("auto", "required"):
            self._choice = {"auto": {}} if value == "auto" else {"any": {}}
        elif value == "none":
            self._choice = "none"
        else:
            self._refuse("tool_choice", f" as {value!r}")

    def _close(self, turns: list[Json]) -> None:
        """Put together what several parameters make up."""
        if self._choice == "none":
            self._choice = None
            # There is no such choice. Without tools in the history it is enough to offer none.
            if not any(_of_tools(block) for turn in turns for block in turn["content"]):
                self._tools = []
            elif self._tools:
                self._refuse("tool_choice", " as 'none' once the messages hold tool calls")
        config: Json = {"tools": self._tools} if self._tools else {}
        if self._tools and self._choice is not None:
            config["toolChoice"] = self._choice
        for name, value in (
            ("toolConfig", config),
            ("inferenceConfig", self._inference),
            ("outputConfig", self._output),
            ("additionalModelRequestFields", self._fields),
        ):
            if value:
                self._body[name] = value


def _inference(name: str) -> Callable[[_Request, Any], None]:
    def place(request: _Request, value: Any) -> None:
        request._inference[name] = value

    return place


_PLACES: Mapping[str, Callable[[_Request, Any], None]] = {
    "max_completion_tokens": _Request._max_tokens,
    "max_tokens": _Request._max_tokens,
    "metadata": _Request._metadata,
    "reasoning_effort": _Request._reasoning_effort,
    "response_format": _Request._response_format,
    "service_tier": _Request._service_tier,
    "stop": _Request._stop,
    "system": _Request._take_system,
    "temperature": _inference("temperature"),
    "tool_choice": _Request._tool_choice,
    "tools": _Request._take_tools,
    "top_k": _Request._top_k,
    "top_p": _inference("topP"),
    "user": _Request._user,
}


def _function(value: Any) -> Json:
    function = value.get("function") if isinstance(value, dict) else None
    return function if isinstance(function, dict) else {}


def _tool(tool: Json) -> Json | None:
    """Return a tool as Converse describes it, or None for one of a type that it does not know. Raises: Flaw."""
    own = {name: value for name, value in tool.items() if name != "cache_control"}
    if len(own) == 1 and own.keys() <= {"toolSpec", "systemTool", POINT}:
        return own
    if tool.get("type", "function") != "function":
        return None
    function = _function(tool)
    if not isinstance(function.get("name"), str):
        raise Flaw(f"must be a str, not {kind_of(function.get('name'))}", "name", "function")
    spec: Json = {"name": function["name"]}
    if function.get("description"):
        spec["description"] = function["description"]
    spec["inputSchema"] = {"json": function.get("parameters") or {"type": "object", "properties": {}}}
    if function.get("strict") is not None:
        spec["strict"] = function["strict"]
    return {"toolSpec": spec}


def _of_tools(block: Json) -> bool:
    return "toolUse" in block or "toolResult" in block
