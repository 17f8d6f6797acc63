"""What every recorded usage must add up to, whoever the vendor is and however it was sent."""

from __future__ import annotations

import copy
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from ostinato.client.route import Route
from ostinato.errors import APIError
from ostinato.pricing import price
from ostinato.providers import PROVIDERS, Found
from ostinato.records import Usage
from ostinato.wire import find_wire
from ostinato.wire.contract import Wire
from ostinato.wire.eventstream import Decoder
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import usage_of
from tests.corpus import open_records, sse_events

Json = dict[str, Any]

WIRES = {
    "chat": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic",
    "converse": "bedrock_converse",
    "converse-stream": "bedrock_converse",
    "invoke": "bedrock_invoke",
    "invoke-stream": "bedrock_invoke",
}
"""The wire that reads an API of the corpus. What it has besides (models, token counts) has no usage."""
OWNERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "deepseek": "deepseek",
    "bedrock-converse": "bedrock",
    "bedrock-invoke": "bedrock",
}
"""The vendors of the corpus whose models are priced."""
DERIVED = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    }
)
"""Members whose meaning is ours, whatever the vendor counts under the same name."""
INVOKE = {"input": "uncached", "output": "output", "cache-read-input": "read", "cache-write-input": "written"}
"""What Invoke counts in its headers, and which counter that is."""
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
AT_S = 1_750_000_000


class Heard:
    """One recorded answer as its wire reads it: the vendor's body, the Completion and the runs."""

    def __init__(self, record: Json, wire: Wire) -> None:
        self.id = record["id"]
        self.api = record["api"]
        self.provider = record["provider"]
        self.wire = wire
        self.headers: Mapping[str, str] = record["response"]["headers"]
        self.body = copy.deepcopy(body_of(record, wire))
        self.completion = wire.parse(copy.deepcopy(self.body), self.headers)
        self.runs = wire.tokens(copy.deepcopy(self.body), self.headers)

    @property
    def raw(self) -> Json:
        """The usage as the vendor sent it; empty where it sent none."""
        return self.body.get("usage") or (self.body.get("x_groq") or {}).get("usage") or {}


def body_of(record: Json, wire: Wire) -> Json:
    """Return the body of a recorded answer, folded where it came as a stream."""
    if "json" in record["response"]:
        return dict(record["response"]["json"])
    fold = wire.fold()
    for event in events_of(record):
        fold.feed(event)
    return fold.body()


def events_of(record: Json) -> list[Json]:
    if "sse_text" in record["response"]:
        return sse_events(record)
    decoder = Decoder()
    data = [*decoder.feed(b64decode(record["response"]["eventstream_base64"])), *decoder.end()]
    return [msgspec.json.decode(event) for event in data]


@cache
def heard() -> list[Heard]:
    """Return every recorded answer that its wire reads; errors and other bodies are none."""
    answers = []
    for record in open_records():
        response = record["response"]
        if record["api"] not in WIRES or not 200 <= response["status"] < 300 or "text" in response:
            continue
        try:
            answers.append(Heard(record, find_wire(WIRES[record["api"]])))
        except APIError:
            continue
    return answers


def counted() -> list[tuple[Heard, Usage, list[Tokens]]]:
    return [(one, one.completion.usage, one.runs) for one in heard() if one.completion.usage is not None and one.runs]


def total(runs: list[Tokens], name: str) -> int:
    if name == "written":
        return sum(sum(run.written.values()) for run in runs)
    return sum(getattr(run, name) for run in runs)


def test_most_of_the_corpus_is_read() -> None:
    """The rest of this module says nothing of what is not."""
    apis = Counter(one.api for one in heard())
    said = Counter(one.api for one, _, _ in counted())

    assert len(counted()) > 1200
    assert set(said) == set(WIRES)
    assert all(said[api] > 0.8 * apis[api] for api in WIRES)


def test_read_written_and_uncached_are_the_prompt() -> None:
    for one, usage, _ in counted():
        details: Any = usage.prompt_tokens_details
        read, written = details.cached_tokens, details.cache_creation_tokens

        assert read + written + usage.uncached_tokens == usage.prompt_tokens, one.id
        assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (read, written), one.id


def test_prompt_and_completion_are_the_total() -> None:
    for one, usage, _ in counted():
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, one.id


def test_no_count_is_below_0_and_no_part_above_its_whole() -> None:
    for one, usage, runs in counted():
        numbers = [value for value in leaves(usage.model_dump()) if isinstance(value, int | float)]

        assert all(number >= 0 for number in numbers), one.id
        for run in runs:
            assert min(run.uncached, run.read, run.output, run.reasoning, *run.written.values(), 0) == 0, one.id
            assert all(run.written.values()), one.id
            assert run.reasoning <= run.output, one.id
            assert (run.audio_input <= run.uncached, run.audio_output <= run.output) == (True, True), one.id


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def test_the_vendor_s_own_usage_is_kept_as_it_came() -> None:
    for one, usage, _ in counted():
        assert usage.raw == one.raw, one.id
        for name, value in one.raw.items():
            assert name in usage, one.id
            if name not in DERIVED:
                assert usage[name] == value, one.id


def test_usage_and_runs_agree() -> None:
    for one in heard():
        assert (one.completion.usage is None) is (one.runs is None), one.id
    for one, usage, runs in counted():
        assert usage_of(one.raw, runs) == usage, one.id
        assert sum(run.prompt for run in runs) == usage.prompt_tokens, one.id
        assert total(runs, "read") == usage.cache_read_input_tokens, one.id
        assert total(runs, "written") == usage.cache_creation_input_tokens, one.id
        assert total(runs, "uncached") == usage.uncached_tokens, one.id
        assert total(runs, "output") == usage.completion_tokens, one.id


def test_no_usage_is_unknown_and_not_0() -> None:
    silent = [one for one in heard() if not one.raw and not one.body.get("amazon-bedrock-invocationMetrics")]
    silent = [one for one in silent if not any(name.endswith("-token-count") for name in one.headers)]

    assert len(silent) >= 10
    for one in silent:
        assert (one.completion.usage, one.runs) == (None, None), one.id


def test_anthropic_s_flat_fields_win_over_a_split_that_does_not_sum() -> None:
    odd = 0
    for one, _, runs in counted():
        split = one.raw.get("cache_creation")
        if one.api != "messages" or one.raw.get("iterations") or not isinstance(split, dict):
            continue
        flat, hour = one.raw["cache_creation_input_tokens"], split.get("ephemeral_1h_input_tokens", 0)
        odd += sum(split.values()) != flat

        assert total(runs, "written") == flat, one.id
        assert runs[0].written.get("1h", 0) == min(hour, flat), one.id
    assert odd >= 3


def test_each_iteration_is_a_run_of_its_own_model() -> None:
    several = [(one, runs) for one, _, runs in counted() if one.raw.get("iterations")]
    others = set()

    for one, runs in several:
        iterations = one.raw["iterations"]
        assert len(runs) == len(iterations), one.id
        for run, iteration in zip(runs, iterations, strict=True):
            assert (run.uncached, run.output) == (iteration["input_tokens"], iteration["output_tokens"]), one.id
            assert run.model == iteration.get("model"), one.id
            others |= {run.model} - {None, one.completion.model}
    assert others


def test_usage_of_message_delta_replaces_that_of_message_start() -> None:
    changed, wire = 0, find_wire("anthropic")
    for record in open_records(api="messages", stream=True):
        if "sse_text" not in record["response"]:
            continue
        events = sse_events(record)
        starts = [event["message"]["usage"] for event in events if event["type"] == "message_start"]
        deltas = [event["usage"] for event in events if event["type"] == "message_delta" and event.get("usage")]
        if not starts or not deltas or any(delta.get("iterations") for delta in deltas):
            continue
        last: Json = {}
        for usage in (*starts, *deltas):
            last |= {name: value for name, value in usage.items() if value is not None}
        changed += last["input_tokens"] != starts[0]["input_tokens"]
        runs = wire.tokens(body_of(record, wire)) or []

        assert total(runs, "uncached") == last["input_tokens"], record["id"]
        assert total(runs, "output") == last["output_tokens"], record["id"]
        assert total(runs, "read") == last.get("cache_read_input_tokens", 0), record["id"]
        assert total(runs, "written") == last.get("cache_creation_input_tokens", 0), record["id"]
    assert changed >= 2


def test_headers_of_invoke_count_where_the_body_does_not() -> None:
    """Also of bodies that are neither messages nor text, which this wire does not read."""
    tokens, alone = find_wire("bedrock_invoke").tokens, 0
    for record in open_records(api="invoke"):
        headers, body = record["response"]["headers"], record["response"].get("json")
        if "x-amzn-bedrock-input-token-count" not in headers or not isinstance(body, dict):
            continue
        alone += "usage" not in body
        runs = tokens(copy.deepcopy(body), headers) or []
        told = [int(headers.get(f"x-amzn-bedrock-{name}-token-count", 0)) for name in INVOKE]

        assert [total(runs, name) for name in INVOKE.values()] == told, record["id"]
    assert alone >= 10


def test_deepseek_s_hits_and_misses_are_the_prompt_and_hits_count_once() -> None:
    told = [(one, runs) for one, _, runs in counted() if "prompt_cache_hit_tokens" in one.raw]

    assert any(one.raw["prompt_cache_hit_tokens"] for one, _ in told)
    for one, runs in told:
        assert total(runs, "read") == one.raw["prompt_cache_hit_tokens"], one.id
        assert total(runs, "uncached") == one.raw["prompt_cache_miss_tokens"], one.id
        assert total(runs, "written") == 0, one.id


def test_reasoning_that_a_vendor_counts_outside_is_added() -> None:
    """XAI counts so; where it is inside, nothing is added."""
    outside = 0
    for one, usage, _ in counted():
        if one.api != "chat" or not all(isinstance(one.raw.get(name), int) for name in COUNTS):
            continue
        reasoning = (one.raw.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
        prompt, completion, whole = (one.raw[name] for name in COUNTS)
        if reasoning and whole == prompt + completion + reasoning:
            outside += 1
            assert usage.completion_tokens == completion + reasoning, one.id
        elif whole == prompt + completion:
            assert usage.completion_tokens == completion, one.id
        assert usage.total_tokens == whole, one.id
    assert outside >= 3


def test_priced_is_what_the_vendor_counted_whatever_has_been_read_of_the_answer() -> None:
    """Tier, ttl, iterations and headers of the body cost the same, read off the answer."""
    priced = 0
    for one, _, runs in counted():
        provider = OWNERS.get(one.provider)
        if provider is None:
            continue
        answer = copy.deepcopy(one.completion)
        model = answer.get("model") or "anthropic.claude-sonnet-4-5-20250929-v1:0"
        answer["created"] = AT_S
        route = Route(f"{provider}/{model}", Found(PROVIDERS[provider], model, one.wire.name))
        expected = price(runs, provider=provider, model=model, at=AT_S)
        priced += expected is not None

        assert route.price(answer) == expected, one.id
        assert answer.usage is not None
        for name in answer.usage:
            getattr(answer.usage, name)
        assert route.price(answer) == expected, one.id
    assert priced > 700
