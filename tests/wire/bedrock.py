"""What the tests of the Bedrock wires share: recordings, botocore's own reading of them, bodies to try."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.eventstream import EventStreamBuffer
from botocore.validate import ParamValidator
from hypothesis import strategies as st

from ostinato.providers import Provider
from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.contract import Call
from ostinato.wire.eventstream import Decoder
from tests.corpus import open_records

Json = dict[str, Any]
BEDROCK = Provider("bedrock", wire="bedrock_converse", base_url=None, auth="aws")
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
HELLO = [{"role": "user", "content": "hello"}]
PNG = "data:image/png;base64,iVBORw0KGgo="


def build(
    messages: Any = None, /, *, model: str = SONNET, drop: bool = False, strict: bool = True, **params: Any
) -> Json:
    call = Call(model, HELLO if messages is None else messages, params, drop_params=drop, strict=strict)
    before = copy.deepcopy((call.messages, call.params))
    built = WIRE.build(call, BEDROCK)
    assert (call.messages, call.params) == before
    return built.body


def tool(name: str = "f", **rest: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}, **rest}


def call_of(arguments: Any = '{"a":1}', call_id: str = "t1") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def answered() -> list[Json]:
    """Return the recordings of Converse that hold an answer."""
    return [record for record in open_records(api="converse") if record["response"]["status"] == 200]


def streamed() -> list[Json]:
    """Return the recordings of ConverseStream that hold a stream."""
    return [record for record in open_records(api="converse-stream") if "eventstream_base64" in record["response"]]


def failed() -> list[Json]:
    """Return the recordings of all of Bedrock that hold an error."""
    return [
        record
        for record in open_records()
        if record["provider"].startswith("bedrock") and record["response"]["status"] != 200
    ]


def events_of(record: Json) -> list[Json]:
    decoder = Decoder()
    data = base64.b64decode(record["response"]["eventstream_base64"])
    return [json.loads(event) for event in [*decoder.feed(data), *decoder.end()]]


def botocore_events(record: Json) -> list[Json]:
    buffer = EventStreamBuffer()
    buffer.add_data(base64.b64decode(record["response"]["eventstream_base64"]))
    return [{event.headers[":event-type"]: json.loads(event.payload)} for event in buffer]


def body_of(record: Json) -> Json:
    """Return a copy of a recorded answer, for whoever takes it over."""
    body: Json = json.loads(json.dumps(record["response"]["json"]))
    return body


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


@cache
def _service() -> Any:
    return botocore.session.Session().get_service_model("bedrock-runtime")


def complaints(body: Json) -> str:
    """Return what botocore's own validator says against a request, nothing when it is well."""
    shape = _service().operation_model("Converse").input_shape
    report: str = (
        ParamValidator().validate({"modelId": "anthropic.claude-x", **_as_botocore(body)}, shape).generate_report()
    )
    return report + "".join(_unknown(body, shape, ""))


def _as_botocore(value: Any, name: str = "") -> Any:
    """Return a body with its blobs as bytes: botocore encodes them itself."""
    if isinstance(value, dict):
        return {key: item if key in _FREE else _as_botocore(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_botocore(item, name) for item in value]
    return base64.b64decode(value, validate=True) if name in {"bytes", "redactedContent"} else value


_FREE = frozenset({"json", "input", "additionalModelRequestFields"})


def _unknown(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield members that the service has no name for, and enumerated strings that it does not list."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, item in value.items():
            if name not in shape.members:
                yield f"{path}.{name} is unknown"
            else:
                yield from _unknown(item, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _unknown(item, shape.member, f"{path}[{index}]")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{path} is {value!r}, not one of {shape.enum}"


texts = st.text(st.characters(codec="utf-8"), max_size=12)
json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), texts
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=3,
)
objects = st.dictionaries(texts, json_values, max_size=3)
blobs = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())
ids = st.from_regex(r"tooluse_[A-Za-z0-9]{1,6}", fullmatch=True)
tool_uses = st.fixed_dictionaries(
    {"toolUseId": ids, "name": st.sampled_from(["f", "g"]), "input": json_values},
    optional={"type": st.sampled_from(["tool_use", "server_tool_use"])},
).map(lambda use: {"toolUse": use})
tool_results = st.fixed_dictionaries(
    {
        "toolUseId": ids,
        "content": st.lists(
            st.one_of(texts.map(lambda text: {"text": text}), json_values.map(lambda value: {"json": value})),
            max_size=3,
        ),
    },
    optional={"status": st.sampled_from(["success", "error"]), "type": texts},
).map(lambda result: {"toolResult": result})
thoughts = st.fixed_dictionaries({"text": texts}, optional={"signature": texts}).map(
    lambda text: {"reasoningContent": {"reasoningText": text}}
)
redacted = blobs.map(lambda blob: {"reasoningContent": {"redactedContent": blob}})
citations = st.fixed_dictionaries({}, optional={"title": texts, "source": texts, "location": objects})
cited = st.fixed_dictionaries(
    {"citations": st.lists(citations, max_size=3)},
    optional={"content": st.lists(texts.map(lambda text: {"text": text}), max_size=3)},
).map(lambda content: {"citationsContent": content})
images = st.fixed_dictionaries({"format": st.just("png"), "source": blobs.map(lambda blob: {"bytes": blob})}).map(
    lambda image: {"image": image}
)
blocks = st.one_of(texts.map(lambda text: {"text": text}), tool_uses, tool_results, thoughts, redacted, cited, images)
counts = st.integers(0, 10_000)
usages = st.fixed_dictionaries(
    {"inputTokens": counts, "outputTokens": counts, "totalTokens": counts},
    optional={"cacheReadInputTokens": counts, "cacheWriteInputTokens": counts, "serverToolUsage": objects},
)
stops = st.sampled_from(
    ["end_turn", "tool_use", "max_tokens", "stop_sequence", "guardrail_intervened", "content_filtered", "new_reason"]
)
bodies = st.fixed_dictionaries(
    {
        "output": st.fixed_dictionaries(
            {"message": st.fixed_dictionaries({"role": st.just("assistant"), "content": st.lists(blocks, max_size=5)})}
        ),
        "stopReason": stops,
        "usage": usages,
        "metrics": st.fixed_dictionaries({"latencyMs": counts}),
    },
    optional={
        "trace": objects,
        "serviceTier": st.fixed_dictionaries({"type": st.sampled_from(["default", "flex"])}),
        "additionalModelResponseFields": objects,
    },
)
