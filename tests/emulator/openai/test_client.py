"""The official client, unchanged, against the emulator."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from pydantic import BaseModel

from ostinato.testing.emulator import Emulator, Reply

HI: list[Any] = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}},
            "required": ["city", "unit", "days"],
            "additionalProperties": False,
        },
    },
}
TIME: Any = {"type": "function", "function": {"name": "get_time"}}


class Step(BaseModel):
    title: str
    minutes: int


class Recipe(BaseModel):
    name: str
    kind: Literal["soup", "salad"]
    steps: list[Step]


def folded(client: openai.OpenAI, **request: Any) -> dict[str, Any]:
    """Return what the client's own accumulator makes of the stream."""
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for chunk in client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}):
        state.handle_chunk(chunk)
    return plain(state.current_completion_snapshot)


def plain(completion: Any) -> dict[str, Any]:
    """Return a completion without what differs from call to call, and without what the client adds."""
    body: dict[str, Any] = completion.model_dump(exclude_none=True)
    for name in ("id", "created", "object"):
        body.pop(name)
    for choice in body["choices"]:
        choice["message"].pop("parsed", None)
        choice["message"].pop("annotations", None)
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
    return body


def test_two_calls_are_told_apart_by_their_numbers(client: openai.OpenAI) -> None:
    texts = [
        client.chat.completions.create(model="gpt-4o-mini", messages=HI).choices[0].message.content for _ in range(2)
    ]

    assert [str(text)[:9] for text in texts] == ["Answer 1:", "Answer 2:"]


def test_the_same_request_with_a_seed_is_answered_the_same(client: openai.OpenAI) -> None:
    first, second = (
        client.chat.completions.create(model="gpt-4o-mini", messages=HI, seed=7, user=user) for user in ("a", "b")
    )

    assert plain(first) == plain(second)


def test_every_answer_has_its_own_id(client: openai.OpenAI) -> None:
    ids = {client.chat.completions.create(model="gpt-4o", messages=HI, seed=7).id for _ in range(3)}

    assert len(ids) == 3


def test_another_seed_is_another_answer(client: openai.OpenAI) -> None:
    first, second = (client.chat.completions.create(model="gpt-4o", messages=HI, seed=seed) for seed in (7, 8))

    assert plain(first) != plain(second)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"n": 3},
        {"max_tokens": 4},
        {"stop": ["."]},
        {"logprobs": True, "top_logprobs": 2},
        {"tools": [WEATHER, TIME]},
        {"tools": [WEATHER], "n": 2},
        {"tools": [WEATHER], "max_tokens": 3},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "in JSON"}]},
        {"model": "gpt-5", "max_completion_tokens": 100},
        {"model": "o3-mini", "reasoning_effort": "low", "n": 2},
        {"service_tier": "flex"},
    ],
    ids=lambda value: ",".join(value) or "plain",
)
def test_a_stream_folds_to_the_body_of_its_unstreamed_twin(client: openai.OpenAI, request_: dict[str, Any]) -> None:
    request: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HI, "seed": 3, **request_}

    body = plain(client.chat.completions.create(**request))

    assert body == folded(client, **request)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(refusal="I cannot help with that."),
        Reply(tool_calls=("get_weather", "get_time")),
        Reply(text="Let me look.", tool_calls=({"name": "get_weather", "arguments": {"city": "Oslo"}},)),
        Reply(text=("one", "two"), usage={"prompt_tokens": 1000}),
        Reply(pieces=("Hel", "lo"), finish_reason="content_filter"),
        Reply(text=""),
    ],
    ids=["refusal", "parallel tools", "text and tool", "two texts", "pieces", "nothing"],
)
def test_a_scripted_answer_is_the_same_streamed_and_not(
    client: openai.OpenAI, emulator: Emulator, reply: Reply
) -> None:
    request: dict[str, Any] = {"model": "gpt-4o", "messages": HI, "tools": [WEATHER, TIME], "seed": 1, "n": 2}
    emulator.script(reply, times=2)

    body = plain(client.chat.completions.create(**request))
    streamed = folded(client, **request)

    assert body == streamed


def test_arguments_satisfy_the_tools_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=HI, tools=[WEATHER])
    calls: Any = answer.choices[0].message.tool_calls
    (call,) = calls

    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.type == "function"
    arguments = json.loads(call.function.arguments)
    assert list(arguments) == ["city", "unit", "days"]
    assert (type(arguments["city"]), arguments["unit"], type(arguments["days"])) == (str, "C", int)


def test_a_tool_result_is_answered_in_words(client: openai.OpenAI) -> None:
    asked: Any = client.chat.completions.create(model="gpt-4o", messages=HI, tools=[WEATHER]).choices[0].message
    result: Any = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "12 °C"}

    answer = client.chat.completions.create(model="gpt-4o", messages=[*HI, asked, result], tools=[WEATHER])

    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


def test_tool_choice_is_obeyed(client: openai.OpenAI) -> None:
    def called(choice: Any) -> list[str]:
        answer = client.chat.completions.create(model="gpt-4o", messages=HI, tools=[WEATHER, TIME], tool_choice=choice)
        calls: Any = answer.choices[0].message.tool_calls or ()
        return [answer.choices[0].finish_reason, *(call.function.name for call in calls)]

    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TIME]}}
    assert called("none") == ["stop"]
    assert called("required") == ["tool_calls", "get_weather"]
    assert called({"type": "function", "function": {"name": "get_time"}}) == ["stop", "get_time"]
    assert called(allowed) == ["tool_calls", "get_time"]


def test_a_custom_tool_gets_free_text(client: openai.OpenAI) -> None:
    tool: Any = {"type": "custom", "custom": {"name": "shell"}}

    answer = client.chat.completions.create(model="gpt-4o", messages=HI, tools=[tool])
    calls: Any = answer.choices[0].message.tool_calls
    (call,) = calls

    assert call.type == "custom"
    assert call.custom.name == "shell"
    assert call.custom.input


def test_a_legacy_function_is_called_the_legacy_way(client: openai.OpenAI) -> None:
    function: Any = WEATHER["function"]

    answer = client.chat.completions.create(model="gpt-4o", messages=HI, functions=[function], seed=1)
    streamed = folded(client, model="gpt-4o", messages=HI, functions=[function], seed=1)

    assert answer.choices[0].finish_reason == "function_call"
    assert answer.choices[0].message.function_call is not None
    assert plain(answer) == streamed


def test_parse_returns_the_caller_s_own_type(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="gpt-4o", messages=HI, response_format=Recipe)

    assert isinstance(answer.choices[0].message.parsed, Recipe)


def test_every_choice_has_its_own_text(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=HI, n=3)

    assert len({choice.message.content for choice in answer.choices}) == 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_max_tokens_ends_the_answer_and_is_what_is_billed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=5)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_a_stop_sequence_is_not_part_of_the_answer(client: openai.OpenAI, emulator: Emulator) -> None:
    emulator.script(Reply(text="one two three four"))

    answer = client.chat.completions.create(model="gpt-4o", messages=HI, stop=["ee f", "three"])

    assert answer.choices[0].message.content == "one two "
    assert answer.choices[0].finish_reason == "stop"


def test_reasoning_is_billed_and_may_use_up_the_budget(client: openai.OpenAI) -> None:
    thought = client.chat.completions.create(model="gpt-5", messages=HI)
    starved = client.chat.completions.create(model="gpt-5", messages=HI, max_completion_tokens=100)

    assert thought.usage is not None
    assert thought.usage.completion_tokens_details is not None
    assert thought.usage.completion_tokens_details.reasoning_tokens == 192
    assert thought.usage.completion_tokens > 192
    assert starved.usage is not None
    assert starved.usage.completion_tokens == 100
    assert (starved.choices[0].message.content, starved.choices[0].finish_reason) == ("", "length")


def test_logprobs_spell_the_text(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=HI, logprobs=True, top_logprobs=3)
    choice = answer.choices[0]

    assert choice.logprobs is not None
    entries = choice.logprobs.content or []
    assert "".join(entry.token for entry in entries) == choice.message.content
    assert {len(entry.top_logprobs) for entry in entries} == {3}
    assert all(entry.logprob < 0 and bytes(entry.bytes or []).decode() == entry.token for entry in entries)


def test_embeddings_are_unit_vectors_that_depend_on_the_text(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b", "a"])
    first, other, again = (item.embedding for item in answer.data)

    assert first == again
    assert first != other
    assert len(first) == 1536
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-4)
    assert answer.usage.prompt_tokens == 3


def test_base64_and_float_embeddings_are_the_same_numbers(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="text-embedding-3-large", input="a", dimensions=8)
    plainly = client.embeddings.create(model="text-embedding-3-large", input="a", dimensions=8, encoding_format="float")

    assert packed.data[0].embedding == plainly.data[0].embedding
    assert len(plainly.data[0].embedding) == 8


def test_tokens_are_embedded_as_they_are(client: openai.OpenAI) -> None:
    one = client.embeddings.create(model="text-embedding-ada-002", input=[1, 2, 3])
    two = client.embeddings.create(model="text-embedding-ada-002", input=[[1, 2, 3], [4]])

    assert one.data[0].embedding == two.data[0].embedding
    assert (len(two.data), two.usage.total_tokens) == (2, 4)
    assert one.model == "text-embedding-ada-002-v2"


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert "gpt-4o" in [model.id for model in client.models.list()]
    assert client.models.retrieve("anything-goes").id == "anything-goes"


def test_the_async_client_reads_a_stream(emulator: Emulator) -> None:
    async def ask() -> tuple[str, int]:
        async with openai.AsyncOpenAI(base_url=emulator.base_url, api_key="any") as client:
            stream = await client.chat.completions.create(
                model="gpt-4o", messages=HI, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        return text, chunks[-1].usage.completion_tokens if chunks[-1].usage else 0

    text, tokens = asyncio.run(ask())

    assert text.startswith("Answer 1: ")
    assert tokens == emulator.calls[0].outcome.events_sent - 4  # role, finish, usage and [DONE] carry no token


def test_azure_s_client_is_answered_at_both_of_azure_s_addresses() -> None:
    with Emulator(api_keys=["sk-azure"]) as emulator:
        dated = openai.AzureOpenAI(azure_endpoint=emulator.url, api_key="sk-azure", api_version="2024-10-21")
        new = openai.OpenAI(base_url=f"{emulator.url}/openai/v1", api_key="sk-azure")
        with dated, new:
            answers = [client.chat.completions.create(model="gpt-4o", messages=HI) for client in (dated, new)]
        wrong = openai.AzureOpenAI(
            azure_endpoint=emulator.url, api_key="another", api_version="2024-10-21", max_retries=0
        )
        with wrong, pytest.raises(openai.AuthenticationError):
            wrong.chat.completions.create(model="gpt-4o", messages=HI)

    assert [answer.model for answer in answers] == ["gpt-4o-2024-08-06"] * 2
    assert [call.path for call in emulator.calls[:2]] == [
        "/openai/deployments/gpt-4o/chat/completions",
        "/openai/v1/chat/completions",
    ]
