"""What `OpenAIWrapper` asks, of whom, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ostinato
from ostinato.agents import OpenAIWrapper
from ostinato.agents.deployment import deployment_of
from ostinato.caching import Cache
from ostinato.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentPolicyViolationError,
    InternalServerError,
    ReplayMissError,
    Timeout,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import HELLO

Create = Callable[..., Any]


def wrapper(*models: str, **base: Any) -> OpenAIWrapper:
    return OpenAIWrapper(config_list=[{"model": model} for model in models or ("gpt-4o",)], **base)


def test_second_call_is_the_first_answer_again_and_asks_nobody(create: Create, emulator: Emulator) -> None:
    cold, warm = create(wrapper(), messages=HELLO), create(wrapper(), messages=HELLO)

    assert cold == warm
    assert (cold.cache_hit, warm.cache_hit) == (False, True)
    assert (warm.cost, warm.saved_cost) == (0, cold.cost)
    assert len(emulator.calls) == 1


def test_another_seed_is_another_answer_that_stays(create: Create) -> None:
    texts = [create(wrapper(), messages=HELLO, cache_seed=seed).choices[0].message.content for seed in (1, 2, 1, 2)]

    assert texts[0] != texts[1]
    assert texts[:2] == texts[2:]


def test_nothing_of_ours_reaches_the_vendor(create: Create, emulator: Emulator) -> None:
    asked = wrapper(
        cache_seed=5, cache_path_root="own", price=[1, 1], tags=["a"], api_rate_limit=1000, filter_func=lambda **_: True
    )
    create(asked, messages=HELLO, context={"a": 1}, agent="me", sample_index=3, allow_format_str_template=True)

    assert emulator.calls[0].body == {"model": "gpt-4o", "messages": HELLO}


def test_the_vendor_s_own_seed_is_sent_and_without_a_cache_asks_every_time(
    create: Create, emulator: Emulator, folder: Path
) -> None:
    for _ in range(2):
        create(wrapper(), messages=HELLO, seed=9, cache_seed=None)

    assert [call.body["seed"] for call in emulator.calls] == [9, 9]
    assert list(folder.iterdir()) == []


def test_call_goes_before_the_constructor(create: Create, emulator: Emulator) -> None:
    create(wrapper(temperature=0.5, max_tokens=7), messages=HELLO, temperature=1)

    assert emulator.calls[0].body == {"model": "gpt-4o", "messages": HELLO, "temperature": 1, "max_tokens": 7}


def test_without_a_list_the_settings_are_the_only_entry(create: Create, emulator: Emulator) -> None:
    create(OpenAIWrapper(model="gpt-4o-mini"), messages=HELLO)

    assert emulator.calls[0].body["model"] == "gpt-4o-mini"


def test_streamed_answer_is_shown_and_returned_whole_and_serves_both_ways(
    create: Create, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    cold = create(wrapper(), messages=HELLO, stream=True)
    shown = capsys.readouterr().out
    replayed = create(wrapper(), messages=HELLO, stream=True)
    whole = create(wrapper(), messages=HELLO)

    assert shown == cold.choices[0].message.content + "\n"
    assert capsys.readouterr().out == shown
    assert cold == replayed == whole
    assert [answer.cache_hit for answer in (cold, replayed, whole)] == [False, True, True]
    assert cold.cost == whole.saved_cost > 0
    assert len(emulator.calls) == 1


def test_streamed_tool_calls_come_whole(create: Create, emulator: Emulator) -> None:
    emulator.script(Reply(tool_calls=({"name": "add", "arguments": '{"a": 1}'}, {"name": "add", "arguments": "{}"})))
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    asked = wrapper(tools=[tool])
    (message,) = asked.extract_text_or_completion_object(create(asked, messages=HELLO, stream=True))

    assert [call.function.arguments for call in message.tool_calls] == ['{"a": 1}', "{}"]


# Failover.


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(status=429), Reply(status=401), Reply(status=404)])
def test_entry_that_fails_is_followed_by_the_next_under_whose_own_key_the_answer_is_kept(
    create: Create, emulator: Emulator, reply: Reply
) -> None:
    emulator.script(reply, times=None, when=lambda call: call.body["model"] == "gpt-4o")
    asked = wrapper("gpt-4o", "gpt-4o-mini", max_retries=0)
    answer = create(asked, messages=HELLO)

    assert answer.config_id == 1
    assert create(wrapper("gpt-4o-mini"), messages=HELLO) == answer
    assert [call.body["model"] for call in emulator.calls] == ["gpt-4o", "gpt-4o-mini"]


def test_last_entry_s_error_is_raised(create: Create, emulator: Emulator) -> None:
    emulator.script(Reply(status=401), Reply(status=500))

    with pytest.raises(InternalServerError):
        create(wrapper("gpt-4o", "gpt-4o-mini", max_retries=0), messages=HELLO)


def test_answer_that_a_policy_refuses_is_not_asked_of_others(create: Create, emulator: Emulator) -> None:
    emulator.script(Reply(status=400, error={"code": "content_policy_violation", "message": "no"}))

    with pytest.raises(ContentPolicyViolationError):
        create(wrapper("gpt-4o", "gpt-4o-mini"), messages=HELLO)
    assert len(emulator.calls) == 1


def test_wrong_setting_is_not_asked_of_others(create: Create, emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError):
        create(wrapper("gpt-4o", "gpt-4o-mini"), messages=HELLO, sample_index=-1)
    assert emulator.calls == ()


def test_timeout_of_the_last_entry_is_python_s_too(create: Create, emulator: Emulator) -> None:
    emulator.script(Reply(delay_s=30), times=None)

    with pytest.raises(TimeoutError) as caught:
        create(wrapper("gpt-4o", max_retries=0, timeout=0.05), messages=HELLO)
    assert isinstance(caught.value, Timeout)


def test_replay_finds_the_answer_that_the_second_entry_gave(create: Create, emulator: Emulator) -> None:
    emulator.script(Reply(status=500))
    store = Cache.memory().store
    asked = wrapper("gpt-4o", "gpt-4o-mini", max_retries=0)
    answer = create(asked, messages=HELLO, cache=Cache(store=store))
    replayed = create(asked, messages=HELLO, cache=Cache(store=store, mode="replay"))

    assert (replayed, replayed.config_id) == (answer, 1)
    with pytest.raises(ReplayMissError):
        create(asked, messages=[{"role": "user", "content": "another"}], cache=Cache(store=store, mode="replay"))
    assert len(emulator.calls) == 2


# Filters and templates.


def test_answer_that_the_filter_refuses_is_kept_and_the_next_entry_asked(create: Create, emulator: Emulator) -> None:
    seen: list[Any] = []

    def fits(*, context: Any, response: Any) -> bool:
        seen.append((context, response.model))
        return "mini" in response.model

    answers = [
        create(wrapper("gpt-4o", "gpt-4o-mini"), messages=HELLO, filter_func=fits, context={"a": 1}) for _ in range(2)
    ]

    assert [(answer.config_id, answer.pass_filter, answer.cache_hit) for answer in answers] == [
        (1, True, False),
        (1, True, True),
    ]
    assert [context for context, _ in seen] == [{"a": 1}] * 4
    assert len(emulator.calls) == 2


def test_last_answer_is_returned_although_the_filter_refuses_it(create: Create) -> None:
    answer = create(wrapper("gpt-4o", "gpt-4o-mini"), messages=HELLO, filter_func=lambda **_: False)

    assert (answer.config_id, answer.pass_filter) == (1, False)


def test_context_fills_in_templates_where_that_is_allowed(create: Create, emulator: Emulator) -> None:
    messages = [
        {"role": "system", "content": lambda context: f"You know {context['what']}."},
        {"role": "user", "content": "Tell me of {what}."},
    ]
    create(wrapper(), messages=messages, context={"what": "herons"}, allow_format_str_template=True)
    create(wrapper(), messages=messages[1:], context={"what": "herons"})

    assert [message["content"] for message in emulator.calls[0].body["messages"]] == [
        "You know herons.",
        "Tell me of herons.",
    ]
    assert emulator.calls[1].body["messages"][0]["content"] == "Tell me of {what}."
    assert OpenAIWrapper.instantiate("a {b}", {"b": 1}, allow_format_str_template=True) == "a 1"


# What an entry means.

DEPLOYMENTS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"model": "gpt-4o"}, "openai/gpt-4o", {}),
    ({"model": "claude-3-5-haiku-latest"}, "anthropic/claude-3-5-haiku-latest", {}),
    ({"model": "deepseek/deepseek-chat"}, "deepseek/deepseek-chat", {}),
    ({"model": "my-own"}, "openai/my-own", {}),
    (
        {"model": "meta-llama/Llama-3", "base_url": "http://h/v1"},
        "openai/meta-llama/Llama-3",
        {"api_base": "http://h/v1"},
    ),
    ({"model": "claude-x", "api_type": "anthropic"}, "anthropic/claude-x", {}),
    ({"model": "x", "api_type": "open_ai", "api_version": "1"}, "openai/x", {}),
    (
        {
            "model": "gpt-4o",
            "api_type": "azure",
            "azure_endpoint": "https://a",
            "azure_deployment": "d",
            "api_version": "v",
        },
        "azure/d",
        {"api_base": "https://a", "api_version": "v"},
    ),
    (
        {"model": "c", "api_type": "bedrock", "aws_region": "r", "aws_access_key": "k", "aws_secret_key": "s"},
        "bedrock/c",
        {"aws_region_name": "r", "aws_access_key_id": "k", "aws_secret_access_key": "s"},
    ),
    (
        {"model": "gpt-4o", "organization": "o", "default_headers": {"a": "1"}, "default_query": {"q": "1"}},
        "openai/gpt-4o",
        {"extra_headers": {"a": "1", "OpenAI-Organization": "o"}, "extra_query": {"q": "1"}},
    ),
    (
        {"model": "gpt-4o", "max_retries": 0, "timeout": 3, "top_p": 1},
        "openai/gpt-4o",
        {"num_retries": 0, "timeout": 3, "top_p": 1},
    ),
    (
        {"model": "gpt-4o", "price": [1, 2], "cache_seed": 3, "tags": ["a"]},
        "openai/gpt-4o",
        {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002},
    ),
]


@pytest.mark.parametrize(("config", "model", "settings"), DEPLOYMENTS)
def test_entry_means_a_model_and_where_it_is_asked(config: Any, model: str, settings: Any) -> None:
    deployment = deployment_of(config)

    assert (deployment.model, deployment.settings) == (model, settings)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model": ""},
        {"model": "x", "api_type": "nobody"},
        {"model": "x", "http_client": object()},
        {"model": "x", "price": 3},
    ],
)
def test_entry_that_cannot_be_kept_is_refused(config: Any) -> None:
    with pytest.raises(ConfigurationError):
        deployment_of(config)


def test_every_vendor_answers_the_same_way(create: Create, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "planted")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    entries: list[dict[str, Any]] = [
        {"model": "gpt-4o", "api_key": "k", "base_url": emulator.base_url},
        {"model": "claude-3-5-haiku-20241022", "api_type": "anthropic", "api_key": "k", "base_url": emulator.url},
        {"model": "anthropic.claude-3-haiku-20240307-v1:0", "api_type": "bedrock", "base_url": emulator.bedrock_url},
        {"model": "openai/responses/gpt-4o", "api_key": "k", "base_url": emulator.base_url},
        {"model": "deepseek-chat", "api_type": "deepseek", "api_key": "k", "base_url": emulator.base_url},
        {"model": "llama", "api_type": "vllm", "base_url": emulator.base_url},
    ]
    for entry in entries:
        asked = OpenAIWrapper(config_list=[entry])
        cold, warm = create(asked, messages=HELLO), create(asked, messages=HELLO)

        assert cold == warm
        assert warm.cache_hit
        assert asked.extract_text_or_completion_object(warm) == [cold.choices[0].message.content]
    assert len(emulator.calls) == len(entries)


def test_no_key_is_said_and_the_key_is_nowhere(create: Create, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    asked = wrapper(api_key="planted-secret-key")
    create(asked, messages=HELLO)
    ostinato.agents.seeds.close_seed_caches()
    monkeypatch.delenv("OPENAI_API_KEY")

    with pytest.raises(AuthenticationError):
        create(wrapper(), messages=[{"role": "user", "content": "other"}])
    assert all(b"planted-secret-key" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert "planted-secret-key" not in repr(vars(asked)["_ledger"])
