"""The official client, unchanged, against the emulator."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest

from ostinato.testing.emulator import Emulator, Reply

HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo"]}, "days": {"type": "integer", "minimum": 2}},
        "required": ["city", "days"],
    },
}
TIME: Any = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
FORMAT: Any = {
    "format": {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"kind": {"enum": ["soup"]}, "minutes": {"type": "integer"}},
            "required": ["kind", "minutes"],
            "additionalProperties": False,
        },
    }
}
THINK: Any = {"type": "enabled", "budget_tokens": 1024}
REQUEST: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 2000, "messages": HI}


def plain(message: Any) -> dict[str, Any]:
    """Return a message without its id, and without what the client's accumulator adds."""
    body: dict[str, Any] = message.model_dump(exclude_none=True, warnings=False)
    body.pop("id")
    for block in body["content"]:
        block.pop("parsed_output", None)
    return body


def test_two_calls_are_told_apart_by_their_numbers(claude: anthropic.Anthropic) -> None:
    answers = [claude.messages.create(**REQUEST) for _ in range(2)]

    assert [getattr(answer.content[0], "text", "")[:9] for answer in answers] == ["Answer 1:", "Answer 2:"]
    assert len({answer.id for answer in answers}) == 2


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_tokens": 4},
        {"stop_sequences": ["."]},
        {"stop_sequences": ["Answer"]},
        {"tools": [WEATHER, TIME]},
        {"tools": [TIME, WEATHER]},
        {"tools": [WEATHER], "tool_choice": {"type": "any"}},
        {"output_config": FORMAT},
        {"thinking": THINK},
        {"thinking": THINK, "tools": [WEATHER]},
        {"thinking": {"type": "adaptive"}, "model": "claude-opus-4-8"},
    ],
    ids=lambda more: ",".join(more) or "plain",
)
def test_a_stream_folds_to_the_body_of_its_unstreamed_twin(
    emulator: Emulator, claude: anthropic.Anthropic, more: dict[str, Any]
) -> None:
    body = plain(claude.messages.create(**{**REQUEST, **more}))
    emulator.reset()
    with claude.messages.stream(**{**REQUEST, **more}) as stream:
        folded = plain(stream.get_final_message())

    assert folded == body


def test_the_asynchronous_client_streams(emulator: Emulator) -> None:
    emulator.script(Reply(text="One, two."))

    async def text() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=emulator.anthropic_url, api_key="any", max_retries=0) as client,
            client.messages.stream(**REQUEST) as stream,
        ):
            return "".join([piece async for piece in stream.text_stream])

    assert asyncio.run(text()) == "One, two."


def test_a_tool_is_called_then_its_result_is_answered(claude: anthropic.Anthropic) -> None:
    called = claude.messages.create(**REQUEST, tools=[WEATHER])
    (use,) = called.content
    assert use.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
    history: Any = [*HI, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    answered = claude.messages.create(**{**REQUEST, "messages": history}, tools=[WEATHER])

    assert (called.stop_reason, use.name, use.input) == ("tool_use", "get_weather", {"city": "Oslo", "days": 7})
    assert (answered.stop_reason, answered.content[0].type) == ("end_turn", "text")


def test_a_forced_tool_is_called(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**REQUEST, tools=[WEATHER, TIME], tool_choice={"type": "tool", "name": "get_time"})

    assert [(block.type, getattr(block, "input", None)) for block in answer.content] == [("tool_use", {})]


def test_a_tool_that_takes_nothing_streams_no_json(claude: anthropic.Anthropic) -> None:
    with claude.messages.create(**REQUEST, tools=[TIME], stream=True) as stream:
        pieces = [getattr(event.delta, "partial_json", None) for event in stream if event.type == "content_block_delta"]

    assert pieces == [""]


def test_scripted_tools_are_called_in_parallel_behind_a_text(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    emulator.script(
        Reply(text="Both.", tool_calls=("get_time", {"name": "get_weather", "arguments": {"city": "Rome"}}))
    )
    with claude.messages.stream(**REQUEST, tools=[WEATHER, TIME]) as stream:
        answer = stream.get_final_message()

    assert [block.type for block in answer.content] == ["text", "tool_use", "tool_use"]
    assert [block.input for block in answer.content if block.type == "tool_use"] == [{}, {"city": "Rome"}]


def test_a_tool_that_is_forbidden_is_not_called(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**REQUEST, tools=[WEATHER], tool_choice={"type": "none"})

    assert [block.type for block in answer.content] == ["text"]


def test_thinking_is_signed_and_can_be_sent_back_unchanged_only(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**REQUEST, thinking=THINK)
    thinking = answer.content[0]
    assert thinking.type == "thinking"

    def again(text: str) -> Any:
        said = [{**thinking.model_dump(), "thinking": text}, {"type": "text", "text": "hi"}]
        messages = [*HI, {"role": "assistant", "content": said}, *HI]
        return claude.messages.create(**{**REQUEST, "messages": messages}, thinking=THINK)

    assert again(thinking.thinking).stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
        again("something else")


@pytest.mark.parametrize(
    ("model", "display", "shown"),
    [
        ("claude-sonnet-4-6", None, True),
        ("claude-sonnet-4-6", "omitted", False),
        ("claude-opus-4-8", None, False),
        ("claude-opus-4-8", "summarized", True),
    ],
)
def test_thinking_comes_with_its_text_where_the_model_or_the_request_shows_it(
    claude: anthropic.Anthropic, model: str, display: str | None, shown: bool
) -> None:
    asked: Any = {"type": "adaptive"} if display is None else {"type": "adaptive", "display": display}
    answer = claude.messages.create(**{**REQUEST, "model": model}, thinking=asked)
    thinking, text = answer.content
    assert thinking.type == "thinking"
    assert text.type == "text"
    details = answer.usage.output_tokens_details

    assert (bool(thinking.thinking), bool(thinking.signature)) == (shown, True)
    assert details is not None
    assert 0 < details.thinking_tokens < answer.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_can_be_scripted_to_come_redacted(
    emulator: Emulator, claude: anthropic.Anthropic, streamed: bool
) -> None:
    emulator.script(Reply(text="OK", redacted_thinking=True))
    if streamed:
        with claude.messages.stream(**REQUEST, thinking=THINK) as stream:
            answer: Any = stream.get_final_message()
    else:
        answer = claude.messages.create(**REQUEST, thinking=THINK)

    assert [block.type for block in answer.content] == ["redacted_thinking", "text"]
    assert answer.content[0].data


def test_a_stop_sequence_ends_the_text_before_it(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    emulator.script(Reply(text="one two three"), times=2)
    answers = [claude.messages.create(**REQUEST, stop_sequences=stop) for stop in (["three", "two"], ["one"])]

    assert [(answer.stop_reason, answer.stop_sequence) for answer in answers] == [
        ("stop_sequence", "two"),
        ("stop_sequence", "one"),
    ]
    assert [[getattr(block, "text", None) for block in answer.content] for answer in answers] == [["one "], []]


def test_max_tokens_ends_an_answer_in_the_middle(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**{**REQUEST, "max_tokens": 3})

    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)
    assert [getattr(block, "text", None) for block in answer.content] == ["Answer 1:"]


def test_a_tool_call_that_is_cut_off_streams_half_of_its_json(claude: anthropic.Anthropic) -> None:
    with claude.messages.create(**{**REQUEST, "max_tokens": 2}, tools=[WEATHER], stream=True) as stream:
        events = list(stream)
    pieces = [getattr(event.delta, "partial_json", "") for event in events if event.type == "content_block_delta"]
    (ending,) = [event.delta.stop_reason for event in events if event.type == "message_delta"]

    assert ("".join(pieces), ending) == ('{"city":', "max_tokens")


def test_a_tool_call_that_nothing_is_left_for_is_left_out(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    emulator.script(Reply(text="two words", tool_calls=("get_weather",)))
    answer = claude.messages.create(**{**REQUEST, "max_tokens": 2}, tools=[WEATHER])

    assert ([block.type for block in answer.content], answer.stop_reason) == (["text"], "max_tokens")


def test_a_model_that_decides_for_itself_does_not_think_before_a_forced_tool(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(
        **REQUEST, thinking={"type": "adaptive"}, tools=[WEATHER], tool_choice={"type": "any"}
    )

    assert [block.type for block in answer.content] == ["tool_use"]


def test_a_refusal_ends_with_its_own_reason(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    emulator.script(Reply(refusal="I cannot help with that."))
    answer = claude.messages.create(**REQUEST)

    assert (answer.stop_reason, getattr(answer.content[0], "text", None)) == ("refusal", "I cannot help with that.")
    assert answer.stop_details is not None
    assert answer.stop_details.type == "refusal"


def test_usage_and_reason_can_be_scripted(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    emulator.script(Reply(finish_reason="pause_turn", usage={"input_tokens": 9, "output_tokens": 8}))
    with claude.messages.stream(**REQUEST) as stream:
        answer = stream.get_final_message()

    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("pause_turn", 9, 8)


def test_a_format_is_filled_in(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**REQUEST, output_config=FORMAT)

    assert getattr(answer.content[0], "text", None) == '{"kind":"soup","minutes":7}'


def test_tokens_are_counted_as_a_call_would_count_them(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    asked: dict[str, Any] = {
        "model": "claude-sonnet-4-6",
        "system": "Be terse.",
        "tools": [WEATHER],
        "messages": [{"role": "user", "content": [image, pdf, {"type": "text", "text": "What?"}]}],
    }
    counted = claude.messages.count_tokens(**asked).input_tokens
    called = claude.messages.create(**asked, max_tokens=10).usage.input_tokens

    assert counted == called
    assert len(emulator.paid_calls) == 1


def test_a_text_of_four_bytes_is_a_token(claude: anthropic.Anthropic) -> None:
    def count(text: str) -> int:
        return claude.messages.count_tokens(
            model="claude-opus-4-5", messages=[{"role": "user", "content": text}]
        ).input_tokens

    assert [count("a"), count("aaaa"), count("aaaaa"), count("ä" * 4)] == [7, 7, 8, 8]


def test_both_vendors_list_their_models_under_one_path(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    listed = [model.id for model in claude.models.list()]

    assert "claude-opus-5" in listed
    assert not any(name.startswith("gpt") for name in listed)
    assert claude.models.retrieve("claude-opus-5").display_name == "Claude Opus 5"


def test_an_alias_is_answered_by_the_model_it_stands_for(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**{**REQUEST, "model": "claude-haiku-4-5"})

    assert answer.model == "claude-haiku-4-5-20251001"


def test_a_bearer_token_is_a_key_too() -> None:
    with Emulator(api_keys=["right"]) as emulator:
        for settings in ({"api_key": "right"}, {"auth_token": "right"}):
            with anthropic.Anthropic(base_url=emulator.anthropic_url, max_retries=0, **settings) as client:  # type: ignore[arg-type]
                client.messages.create(**REQUEST)

        assert [call.outcome.status for call in emulator.calls] == [200, 200]


def test_bedrocks_client_of_the_vendor_asks_and_streams(emulator: Emulator) -> None:
    emulator.script(Reply(text="As asked."), times=None)
    with anthropic.AnthropicBedrock(
        base_url=emulator.bedrock_url,
        aws_access_key="AKIDEXAMPLE",
        aws_secret_key="secret",
        aws_region="eu-north-1",
        max_retries=0,
    ) as client:
        request = {**REQUEST, "model": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"}
        body = plain(client.messages.create(**request))
        with client.messages.stream(**request) as stream:
            folded = plain(stream.get_final_message())

    assert body["content"] == [{"type": "text", "text": "As asked."}]
    assert {name: folded[name] for name in ("content", "stop_reason", "model")} == {
        name: body[name] for name in ("content", "stop_reason", "model")
    }
    assert folded["usage"] == body["usage"]
    assert body["model"] == "claude-sonnet-4-5-20250929"
