from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from ostinato.errors import APIResponseError, InternalServerError
from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.bedrock_converse.render import render
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import usage_of
from tests.corpus import open_index
from tests.wire.bedrock import answered, bodies, body_of, events_of, leaves, streamed

Json = dict[str, Any]


def answer(*content: Json, stop: str = "end_turn", **rest: Any) -> Json:
    usage = {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}
    message = {"role": "assistant", "content": list(content)}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}, **rest}


CALL = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}
FINISH = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "guardrail_intervened": "content_filter",
}


def test_every_recorded_answer_says_what_botocore_reads_in_it() -> None:
    index = open_index()
    for record in answered():
        completion = WIRE.parse(body_of(record))
        body, row = record["response"]["json"], index[record["id"]]
        blocks = body["output"]["message"]["content"]
        said = [block.get("text", "") for block in blocks]
        said += [
            "".join(part["text"] for part in block["citationsContent"].get("content", ()))
            for block in blocks
            if "citationsContent" in block
        ]
        uses = [block["toolUse"] for block in blocks if "toolUse" in block]
        called = [use for use in uses if use.get("type") != "server_tool_use"]
        choice = completion.choices[0]

        assert choice.native_finish_reason == row["finish"] == body["stopReason"], record["id"]
        assert choice.finish_reason == FINISH[row["finish"]], record["id"]
        assert completion["usage"].raw == row["usage"], record["id"]
        assert len(uses) == row["tool_calls"], record["id"]
        assert (choice.message.content or "") == "".join(said), record["id"]
        assert [
            {"toolUseId": call.id, "name": call.function.name, "input": json.loads(call.function.arguments)}
            for call in choice.message.tool_calls or ()
        ] == [{name: use[name] for name in ("toolUseId", "name", "input")} for use in called], record["id"]


def test_no_leaf_of_a_recorded_answer_is_lost() -> None:
    for record in answered():
        completion = json.loads(WIRE.parse(body_of(record)).model_dump_json())
        found = list(leaves(completion))
        for call in completion["choices"][0]["message"].get("tool_calls", ()):
            found += leaves(json.loads(call["function"]["arguments"]))

        missing = [leaf for leaf in leaves(record["response"]["json"]) if leaf not in found]

        assert missing == [], record["id"]


def test_a_recorded_answer_can_be_given_again_from_its_record() -> None:
    for record in answered():
        assert render(WIRE.parse(body_of(record))) == record["response"]["json"], record["id"]


@given(bodies)
def test_any_answer_can_be_given_again_from_its_record(body: Json) -> None:
    expected = json.loads(json.dumps(body))
    if expected["stopReason"] == "new_reason":
        expected["stopReason"] = "end_turn"

    assert render(WIRE.parse(body)) == expected


def test_the_prompt_of_every_recorded_answer_includes_what_the_prompt_cache_read_and_wrote() -> None:
    usages = [record["response"]["json"]["usage"] for record in answered()]
    usages += [
        event["metadata"]["usage"] for record in streamed() for event in events_of(record) if "metadata" in event
    ]
    for raw in usages:
        (run,) = WIRE.tokens({"usage": raw}) or (Tokens(),)
        usage = WIRE.parse(answer({"text": "x"}) | {"usage": dict(raw)}).usage

        assert usage is not None
        assert usage.total_tokens == raw["totalTokens"]
        assert usage.prompt_tokens == run.prompt == raw["totalTokens"] - raw["outputTokens"]
        assert usage.uncached_tokens == raw["inputTokens"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == raw.get("cacheReadInputTokens", 0)
        assert usage.cache_creation_input_tokens == raw.get("cacheWriteInputTokens", 0) == sum(run.written.values())


@pytest.mark.parametrize(
    ("usage", "rest", "expected"),
    [
        ({"inputTokens": 3, "outputTokens": 2}, {}, Tokens(uncached=3, output=2)),
        ({"inputTokens": 0, "cacheReadInputTokens": 7, "outputTokens": 2}, {}, Tokens(read=7, output=2)),
        ({"cacheReadInputTokenCount": 7, "cacheWriteInputTokenCount": 4}, {}, Tokens(read=7, written={"": 4})),
        (
            {
                "cacheWriteInputTokens": 9,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 5}],
            },
            {},
            Tokens(written={"5m": 5, "1h": 4}),
        ),
        (
            {"cacheWriteInputTokens": 9, "cacheDetails": [{"ttl": "1h", "inputTokens": 400}]},
            {},
            Tokens(written={"1h": 9}),
        ),
        (
            {"cacheWriteInputTokens": 9, "cacheDetails": [{"ttl": "5m", "inputTokens": 2}]},
            {},
            Tokens(written={"5m": 9}),
        ),
        ({"inputTokens": -3, "outputTokens": None, "cacheDetails": None}, {}, Tokens()),
        ({"inputTokens": 1}, {"serviceTier": {"type": "flex"}}, Tokens(uncached=1, service_tier="flex")),
        ({"inputTokens": 1}, {"serviceTier": {"type": "default"}}, Tokens(uncached=1)),
        (
            {"inputTokens": 1},
            {"performanceConfig": {"latency": "optimized"}},
            Tokens(uncached=1, service_tier="optimized"),
        ),
    ],
)
def test_tokens_are_counted_once_and_by_their_rate(usage: Json, rest: Json, expected: Tokens) -> None:
    assert WIRE.tokens({"usage": usage, **rest}) == [expected]


def test_no_usage_is_unknown_and_not_nothing() -> None:
    assert WIRE.tokens({}) is None


def test_reasoning_and_what_only_converse_has_stay_on_the_message() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}
    hidden = {"reasoningContent": {"redactedContent": "YWJj"}}

    message = WIRE.parse(answer(thought, hidden, {"text": "yes"}, CALL)).choices[0].message

    assert message.content == "yes"
    assert message.reasoning_content == "hm"
    assert message["thinking_blocks"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "YWJj"},
    ]
    assert "provider_specific_fields" not in message


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "a"}, {"text": "b"}],
        [{"text": "a"}, {"reasoningContent": {"redactedContent": "YWJj"}}],
        [CALL, {"text": "a"}],
        [{"toolUse": {"toolUseId": "s", "name": "n", "input": {}, "type": "server_tool_use"}}],
        [{"citationsContent": {"citations": [{"title": "t"}], "content": [{"text": "a"}]}}],
        [{"image": {"format": "png", "source": {"bytes": "AA=="}}}],
        [{"text": ""}],
    ],
)
def test_content_that_openai_cannot_say_is_kept_as_it_came(content: list[Json]) -> None:
    message = WIRE.parse(answer(*content)).choices[0].message

    assert message["provider_specific_fields"]["converse_content"] == content


def test_what_a_block_says_is_read_also_beside_members_that_are_newer() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s", "new": 1}, "new": 2}}
    content: list[Json] = [thought, {"text": "a", "new": 3}, {**CALL, "new": 4}]

    message = WIRE.parse(answer(*content, stop="tool_use")).choices[0].message

    assert (message.reasoning_content, message.content) == ("hm", "a")
    assert [call.id for call in message.tool_calls or ()] == ["t1"]
    assert message["provider_specific_fields"]["converse_content"] == content


def test_a_tool_that_the_vendor_ran_is_no_call_for_the_caller() -> None:
    server = {"toolUse": {"toolUseId": "s", "name": "n", "input": {}, "type": "server_tool_use"}}

    message = WIRE.parse(answer(server, CALL, stop="tool_use")).choices[0].message

    assert [call.id for call in message.tool_calls or ()] == ["t1"]


def test_arguments_that_were_cut_reach_the_caller_as_they_are() -> None:
    cut = {"toolUse": {"toolUseId": "t", "name": "f", "input": '{"a": '}}

    assert WIRE.parse(answer(cut)).choices[0].message["tool_calls"][0]["function"]["arguments"] == '{"a": '


def test_the_model_behind_a_router_is_the_model_that_answered() -> None:
    routed = answer({"text": "a"}, trace={"promptRouter": {"invokedModelId": "arn:aws:bedrock:::m"}})

    assert WIRE.parse(routed).model == "arn:aws:bedrock:::m"


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"output": {}},
        {"output": {"message": {}}},
        {"output": {"message": {"content": 3}}},
        {"output": {"message": {"content": [3]}}},
    ],
)
def test_a_body_of_another_kind_is_no_answer(body: Any) -> None:
    with pytest.raises(APIResponseError):
        WIRE.parse(body)


def test_an_error_inside_a_200_is_raised_as_what_it_is() -> None:
    with pytest.raises(InternalServerError, match="unknown"):
        WIRE.parse({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException", "message": "unknown"}})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (answer({"text": "a"}), None),
        (answer({"text": "a"}, stop="max_tokens"), None),
        (answer(CALL, stop="tool_use"), None),
        (answer({"reasoningContent": {"reasoningText": {"text": "hm"}}}, stop="max_tokens"), None),
        (answer({"reasoningContent": {"reasoningText": {"text": "hm"}}}), "it is empty"),
        (answer(), "it is empty"),
        (answer({"text": "  "}), "it is empty"),
        (answer({"text": "a"}, stop="guardrail_intervened"), "a guardrail stopped or changed it"),
        (answer({"text": "a"}, stop="content_filtered"), "a content filter refused it"),
        (answer({"text": "a"}, stop="malformed_tool_use"), "the model's tool call was malformed"),
        (
            answer({"toolUse": {"toolUseId": "t", "name": "f", "input": '{"a'}}, stop="max_tokens"),
            "the arguments of a tool call are no JSON",
        ),
        (answer({"toolUse": {"toolUseId": "t", "name": "f", "input": '"\\ud800"'}}, stop="tool_use"), None),
        (answer({"text": "a"}) | {"stopReason": None}, "it has no stop reason"),
        (
            answer({"text": "a"}) | {"usage": {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}},
            "its usage is all zeros",
        ),
        ({"stopReason": "end_turn"}, "it has no message"),
    ],
)
def test_only_a_whole_answer_is_kept(body: Json, reason: str | None) -> None:
    assert WIRE.incomplete(body) == reason


def test_recorded_answers_are_kept_unless_a_guardrail_spoke() -> None:
    refused = {record["id"]: WIRE.incomplete(record["response"]["json"]) for record in answered()}

    assert {record: why for record, why in refused.items() if why} == {
        "brc-conv-1533a4a88d": "it is empty",  # reasoning and nothing else
        "brc-conv-bd4b5047ab": "a guardrail stopped or changed it",
    }


@given(bodies)
def test_usage_is_the_sum_of_the_tokens(body: Json) -> None:
    runs = WIRE.tokens(body)
    assert runs is not None

    usage = WIRE.parse(body).usage

    assert usage == usage_of(body["usage"], runs)
    assert usage is not None
    assert usage.raw == body["usage"]
