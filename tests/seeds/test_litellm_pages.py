"""Scripts written for LiteLLM run as they are, but for the name of the package.

The snippets for LiteLLM's proxy wait for the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import ostinato
from ostinato import completion_cost
from ostinato.testing.emulator import Emulator, Reply
from tests.seeds.pages import PROMPT_CACHING_PAGE, REDIS_PAGE, Snippet, page, snippet, snippets
from tests.stores.redis_server import PASSWORD, RedisServer, binaries, version

CLAUDE = "claude-3-5-sonnet-20240620"
INPUT, OUTPUT, WRITTEN = Decimal("0.000003"), Decimal("0.000015"), Decimal("0.00000375")
"""US dollars a token of Claude 3.5 Sonnet.

Source: https://platform.claude.com/docs/en/about-claude/pricing (read 2026-11-22)."""

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def vendors(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the vendors of the pages be the emulator. What a snippet sets in the environment is undone."""
    for name, url in (
        ("OPENAI", emulator.base_url),
        ("ANTHROPIC", emulator.anthropic_url),
        ("DEEPSEEK", emulator.base_url),
    ):
        monkeypatch.setenv(f"{name}_BASE_URL", url)
        monkeypatch.setenv(f"{name}_API_KEY", "any")


@pytest.fixture(scope="module", params=binaries(), ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, password=PASSWORD) as running:
        yield running


@pytest.fixture
def reached(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """Let an empty Redis be where the page's variables say."""
    server.ask("FLUSHALL")
    for name, value in (("HOST", "127.0.0.1"), ("PORT", str(server.port)), ("PASSWORD", PASSWORD)):
        monkeypatch.setenv(f"REDIS_{name}", value)
    return server


def run(found: Snippet, **names: Any) -> Any:
    """Run a snippet and return what it leaves behind, to be read by name."""
    return found.run(names)


@pytest.mark.parametrize("number", range(9))
def test_every_snippet_of_the_prompt_caching_page_runs(number: int, emulator: Emulator) -> None:
    found = snippets(PROMPT_CACHING_PAGE)[number]
    if found.asks_a_proxy:
        return  # test_litellm_proxy.py runs it
    answer = ostinato.completion("gpt-4o", [{"role": "user", "content": "hello"}])

    run(found, response=answer, model="gpt-4o", completion_cost=completion_cost)


def test_every_snippet_of_both_pages_is_found() -> None:
    assert len(snippets(PROMPT_CACHING_PAGE)) == 9
    assert len(snippets(REDIS_PAGE)) == 4
    assert sum(found.asks_a_proxy for found in snippets(PROMPT_CACHING_PAGE)) == 3


def test_openai_reads_the_prompt_cache_the_second_time(emulator: Emulator) -> None:
    left = run(snippet(PROMPT_CACHING_PAGE, "for _ in range(2)"))
    first, second = (call.outcome.usage for call in emulator.calls)

    assert first is not None
    assert second is not None
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert left["response"].usage.prompt_tokens_details.cached_tokens > 1024
    assert left["response"].usage.prompt_tokens == second["prompt_tokens"]
    assert emulator.calls[0].body["max_tokens"] == 10


def test_usage_has_every_member_that_the_page_shows(emulator: Emulator) -> None:
    example = page(PROMPT_CACHING_PAGE).partition('"usage": {')[2].partition("prompt_tokens\n")[0]
    names = set(re.findall(r'^"(\w+)":', example, re.MULTILINE))
    usage = run(snippet(PROMPT_CACHING_PAGE, "for _ in range(2)"))["response"].usage
    there = {*usage, *usage.prompt_tokens_details, *usage.completion_tokens_details}

    assert len(names) == 8
    assert names <= there


def test_anthropic_writes_the_marked_prompt_and_reads_it_after(
    emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    found = snippet(PROMPT_CACHING_PAGE, "ANTHROPIC_API_KEY", "litellm.set_verbose")
    first, second = (run(found)["response"].usage for _ in range(2))
    out, err = capfd.readouterr()

    assert first.cache_creation_input_tokens > 1024
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (
        0,
        first.cache_creation_input_tokens,
    )
    assert first.prompt_tokens == second.prompt_tokens
    assert repr(first) in out
    assert '"cache_control":{"type":"ephemeral"}' in err  # set_verbose: the raw request
    assert "x-api-key: ***" in err


def test_marks_are_ignored_by_other_providers(emulator: Emulator) -> None:
    found = snippet(PROMPT_CACHING_PAGE, "ANTHROPIC_API_KEY", "litellm.set_verbose")
    run(Snippet(found.line, found.code.replace(f"anthropic/{CLAUDE}", "openai/gpt-4o")))

    assert b"cache_control" not in emulator.calls[0].raw


def test_deepseek_is_asked_twice_and_counts_no_hit_for_so_short_a_prompt(emulator: Emulator) -> None:
    """The emulator counts DeepSeek's prompts as OpenAI does: from 1024 tokens on. Its own unit is 64."""
    left = run(snippet(PROMPT_CACHING_PAGE, "DEEPSEEK_API_KEY"))
    usage = left["response_2"].usage

    assert [call.body["model"] for call in emulator.calls] == ["deepseek-chat", "deepseek-chat"]
    assert usage.prompt_tokens_details.cached_tokens == 0
    assert usage.uncached_tokens == usage.prompt_tokens


def test_deepseek_s_own_hits_and_misses_are_read(emulator: Emulator) -> None:
    told = {"prompt_tokens": 150, "prompt_cache_hit_tokens": 128, "prompt_cache_miss_tokens": 22, "total_tokens": 155}
    emulator.script(
        Reply(), Reply(usage={**told, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 128}})
    )
    usage = run(snippet(PROMPT_CACHING_PAGE, "DEEPSEEK_API_KEY"))["response_2"].usage

    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_cache_hit_tokens == 128
    assert usage.uncached_tokens == usage.prompt_cache_miss_tokens == 22


def test_deepseek_s_long_prompts_hit() -> None:
    found = snippet(PROMPT_CACHING_PAGE, "DEEPSEEK_API_KEY")
    longer = Snippet(
        found.line, found.code.replace('"You are a history expert.', '"You are a history expert. " * 400 + "')
    )
    usage = run(longer)["response_2"].usage

    assert usage.prompt_tokens_details.cached_tokens > 1024


def test_cost_of_the_page_is_the_price_list_s_to_the_last_digit(capfd: pytest.CaptureFixture[str]) -> None:
    left = run(snippet(PROMPT_CACHING_PAGE, "formatted_string"))
    usage = left["response"].usage
    cost = (
        usage.uncached_tokens * INPUT
        + usage.cache_creation_input_tokens * WRITTEN
        + usage.completion_tokens * OUTPUT
    )  # fmt: skip

    assert usage.cache_creation_input_tokens > 1024
    assert left["cost"] == left["response"].cost == float(cost)
    assert capfd.readouterr().out.splitlines()[-1] == f"${float(cost):.10f}"


def test_cost_function_alone_takes_any_answer() -> None:
    answer = ostinato.completion("gpt-4o", [{"role": "user", "content": "hello"}])
    found = next(found for found in snippets(PROMPT_CACHING_PAGE) if found.code.startswith("cost = "))
    left = run(found, response=answer, model="gpt-4o", completion_cost=completion_cost)

    assert left["cost"] == answer.cost
    assert answer.cost


def test_model_of_the_page_supports_prompt_caching() -> None:
    left = run(snippet(PROMPT_CACHING_PAGE, "supports_prompt_caching"))

    assert left["supports_pc"] is True
    assert ostinato.supports_prompt_caching("gpt-3.5-turbo") is False


def test_model_info_says_what_the_page_expects_of_it() -> None:
    """The endpoint comes with the gateway; what it will answer is here."""
    key, value = re.findall(r'^"(key|supports_prompt_caching)": "?([\w.-]+)', page(PROMPT_CACHING_PAGE), re.MULTILINE)
    info = ostinato.get_model_info(f"anthropic/{key[1]}")

    assert key[1].startswith(info["key"])
    assert info["supports_prompt_caching"] is (value[1] == "true") is True


def test_second_call_of_the_redis_page_is_answered_from_the_cache(emulator: Emulator, reached: RedisServer) -> None:
    left = run(snippet(REDIS_PAGE, "response1 == response2"))
    first, second = left["response1"], left["response2"]

    assert first == second
    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert len(emulator.calls) == 1
    assert emulator.calls[0].body == {
        "model": "gpt-3.5-turbo",
        "messages": [{"role": "user", "content": "Tell me a joke."}],
    }
    assert ostinato.cache is not None
    ostinato.cache.flush()
    assert reached.ask("DBSIZE") == 1


def test_custom_key_of_the_redis_page_is_used(
    emulator: Emulator, capfd: pytest.CaptureFixture[str], reached: RedisServer
) -> None:
    left = run(snippet(REDIS_PAGE, "def custom_get_cache_key"), ostinato=ostinato)
    run(snippet(REDIS_PAGE, "cache.get_cache_key = "), **left)
    messages = [{"role": "user", "content": "Tell me a joke."}]
    calls: list[Json] = [{}, {"max_tokens": 5}, {"temperature": 0.5}, {"logit_bias": {"50256": -100}}, {}]
    hits = [ostinato.completion("gpt-3.5-turbo", messages, caching=True, **call).cache_hit for call in calls]
    said = capfd.readouterr().out.splitlines()

    assert hits == [False, True, False, False, True]  # max_tokens is no part of that key
    assert said[0] == f"key for cache gpt-3.5-turbo{messages}"
    assert said[2] == f"key for cache gpt-3.5-turbo{messages}0.5"
    assert len(emulator.calls) == 3


def test_hit_shows_what_the_redis_page_shows_of_one(reached: RedisServer) -> None:
    found = next(found for found in snippets(REDIS_PAGE) if found.code.startswith("{"))
    example = run(Snippet(found.line, f"example = {found.code}"))["example"]
    hit = run(snippet(REDIS_PAGE, "response1 == response2"))["response2"]

    assert hit["cache"] is example["cache"] is True
    assert hit.get("cache") is True
    assert all(name in hit for name in example)
    assert all(name in hit.choices[0] for name in example["choices"][0])
    assert all(name in hit.choices[0].message for name in example["choices"][0]["message"])
    assert all(name in hit.usage for name in example["usage"])
    assert hit.choices[0].finish_reason == example["choices"][0]["finish_reason"]
