"""Every recorded answer of OpenAI's chat, streamed and not, beside the official client's reading of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from ostinato.wire.openai_chat.usage import reported_usage
from ostinato.wire.usage import usage_of
from tests.corpus import open_index
from tests.wire.openai_chat.recorded import WIRE, answers, chats, folded, streams


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict | list) and value:
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, name))
    else:
        yield path, value


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def test_every_answer_is_read_without_losing_a_field() -> None:
    for record, body in answers():
        completion = WIRE.parse(copy.deepcopy(body), record["response"]["headers"])
        plain = completion.model_dump()
        for path, leaf in leaves(body):
            if path[0] != "usage":
                assert at(plain, path) == leaf, (record["id"], path)
        for path, leaf in leaves(body["usage"]) if body.get("usage") else ():
            assert completion.usage is not None
            assert at(completion.usage.raw, path) == leaf, (record["id"], path)


# Where a vendor counts outside of both, see `usage.py`; null details become objects.
COMPLETED = {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}


def test_every_usage_has_the_same_form_and_adds_up() -> None:
    bodies = [(record["id"], body) for record, body in answers()]
    bodies += [(record["id"], folded(events).body()) for record, events in streams()]
    for name, body in bodies:
        usage = WIRE.parse(copy.deepcopy(body)).usage
        if usage is None:
            continue
        plain = usage.model_dump()
        assert plain["total_tokens"] == plain["prompt_tokens"] + plain["completion_tokens"], name
        assert plain["prompt_tokens_details"]["cached_tokens"] == plain["cache_read_input_tokens"], name
        assert plain["completion_tokens_details"]["reasoning_tokens"] is not None, name
        assert 0 <= usage.uncached_tokens <= plain["prompt_tokens"], name
        for field, value in usage.raw.items():
            assert field in COMPLETED or plain[field] == value, (name, field)


def test_the_disjoint_counters_give_every_usage_again() -> None:
    for record, body in answers():
        runs = WIRE.tokens(body)
        usage = WIRE.parse(copy.deepcopy(body)).usage

        assert (runs is None) is (usage is None), record["id"]
        if runs is not None and usage is not None:
            assert usage_of(usage.raw, runs) == usage, record["id"]


def test_every_stream_agrees_with_the_index_of_the_corpus() -> None:
    index = open_index()
    for record, events in streams():
        body, row = folded(events).body(), index[record["id"]]
        choices = body["choices"]
        calls = sum(len(choice.get("message", {}).get("tool_calls") or ()) for choice in choices)
        usage = body.get("usage") or body.get("x_groq", {}).get("usage")

        assert calls == row["tool_calls"], record["id"]
        assert usage == row["usage"], record["id"]
        assert (choices[0].get("finish_reason") if choices else None) == row["finish"], record["id"]


def test_every_stream_that_was_answered_is_complete() -> None:
    index = open_index()
    for record, events in streams():
        assert folded(events).complete is (index[record["id"]]["finish"] is not None), record["id"]


SDK_OTHERWISE = {
    "choices.message.tool_calls.index": "it keeps the number, which no unstreamed answer of OpenAI's has",
    "choices.message.role": "it joins what every delta repeats",
    "choices.message.name": "the same",
    "choices.message.channel": "the same",
    "choices.message.reasoning_details.format": "the same",
    "choices.message.executed_tools.arguments": "it joins what Groq sends again whole",
    "choices.message.token_id": "it adds numbers up",
    "choices.logprobs.reasoning_content": "it knows logprobs of content and refusal alone",
    "usage": "oai-chat-baae90770b: it takes the last, also where that is null",
}
"""Where the official accumulator does otherwise, and why.

What stands beside the deltas, of whatever name, it takes from the first chunk; ours is the last that is not null.
"""
COMPARED_BESIDE = {"object", "usage", "choices", "choices.index", "choices.finish_reason"}


def is_expected(path: str) -> bool:
    within = path.startswith(("choices.message", "choices.logprobs"))
    return path in SDK_OTHERWISE or not (within or path in COMPARED_BESIDE)


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each member that differs, a null that one of the two leaves out aside."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in ours.keys() | theirs.keys():
            yield from differences(ours.get(name), theirs.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for one, other in zip(ours, theirs, strict=True):
            yield from differences(one, other, path)
    elif ours != theirs:
        yield path


def accumulated(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what the official client makes of a stream, or None where it fails.

    It raises on list items without an index (annotations and reasoning_details of OpenRouter, tool calls of
    Mistral) and on choices without a delta (Azure).
    """
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    try:
        for event in copy.deepcopy(events):
            state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=event))  # type: ignore[arg-type]
    except (RuntimeError, AttributeError, TypeError):
        return None
    found: dict[str, Any] = state.current_completion_snapshot.to_dict()
    for choice in found["choices"]:
        choice["message"].pop("parsed", None)
    return found


def test_every_stream_folds_to_what_the_official_client_makes_of_it() -> None:
    compared = failed = 0
    for record, events in streams():
        theirs = accumulated(events)
        if theirs is None:
            failed += 1
            continue
        ours = {"object": "chat.completion", **folded(events).body()}
        found = [path for path in differences(ours, theirs) if not is_expected(path)]

        assert not found, record["id"]
        compared += 1
    assert failed < compared / 10


def test_where_the_official_client_fails_the_text_is_whole_all_the_same() -> None:
    for record, events in streams():
        if accumulated(events) is not None:
            continue
        deltas = [choice.get("delta") or {} for event in events for choice in event["choices"]]
        message = folded(events).body()["choices"][0]["message"]
        said = [delta.get("content") or "" for delta in deltas]
        thoughts = "".join(delta.get("reasoning") or "" for delta in deltas)

        assert not all(isinstance(piece, str) for piece in said) or (message["content"] or "") == "".join(said)
        assert message.get("reasoning", "") == thoughts, record["id"]
        assert len(message.get("annotations", ())) == sum(len(delta.get("annotations", ())) for delta in deltas)
        details = message.get("reasoning_details", ())
        assert "".join(part.get("text", "") for part in details) in {thoughts, ""}, record["id"]


def test_every_body_comes_back_from_its_unfolded_stream() -> None:
    bodies: list[tuple[str, dict[str, Any], list[Any] | None]] = [
        (record["id"], body, None) for record, body in answers()
    ]
    bodies += [(record["id"], (fold := folded(events)).body(), fold.cuts()) for record, events in streams()]
    for name, body, cuts in bodies:
        for given in (None, cuts):
            events = json.loads(json.dumps(list(WIRE.unfold(copy.deepcopy(body), copy.deepcopy(given)))))

            assert folded(events).body() == body, name


def pieces(events: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[str]]:
    """Return the pieces of each text of a stream, empty ones left out."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for event in events:
        for choice in event["choices"]:
            delta = choice.get("delta") or {}
            for name in ("content", "reasoning", "reasoning_content", "refusal"):
                found.setdefault((choice["index"], name), []).append(delta.get(name) or "")
            for call in delta.get("tool_calls") or ():
                found.setdefault((choice["index"], call["index"]), []).append(call["function"].get("arguments") or "")
    return {key: kept for key, texts in found.items() if (kept := [text for text in texts if text])}


def test_every_stream_is_cut_again_as_it_was() -> None:
    for record, events in streams():
        fold = folded(events)

        assert pieces(list(WIRE.unfold(fold.body(), fold.cuts()))) == pieces(events), record["id"]


def test_cuts_take_a_fraction_of_the_stream_they_come_from() -> None:
    cuts = sum(len(msgspec.json.encode(folded(events).cuts())) for _, events in streams())
    streamed = sum(len(record["response"]["sse_text"]) for record in chats(stream=True))

    assert cuts < streamed / 50


def test_the_chunks_of_every_stream_carry_the_same_text_and_numbered_calls() -> None:
    for record, events in streams():
        translator, fold = WIRE.translator(), folded(events)
        chunks = [chunk for event in copy.deepcopy(events) for chunk in translator.feed(event)] + translator.end()

        assert len(chunks) == len(events), record["id"]
        assert pieces([chunk.model_dump() for chunk in chunks]) == pieces(events), record["id"]
        usages = [chunk.usage for chunk in chunks if dict.get(chunk, "usage") is not None]
        assert (usages[-1] if usages else None) == WIRE.parse(fold.body()).usage, record["id"]


def test_what_must_not_be_kept_is_told_from_the_rest() -> None:
    for record, body in [*answers(), *((record, folded(events).body()) for record, events in streams())]:
        choices = body["choices"]
        messages = [choice.get("message") or {} for choice in choices]
        filtered = any(choice.get("finish_reason") == "content_filter" for choice in choices)
        cut = any(choice.get("finish_reason") == "length" for choice in choices)
        said = all(
            message.get("content") or message.get("refusal") or message.get("tool_calls")
            or message.get("function_call") or message.get("audio")
            for message in messages
        )  # fmt: skip
        calls = [call for message in messages for call in message.get("tool_calls") or () if "function" in call]
        whole = all(is_whole(call["function"]["arguments"], cut) for call in calls)
        expected = bool(choices) and not filtered and (said or cut) and whole

        assert (WIRE.incomplete(body) is None) is expected, record["id"]


def test_what_is_cut_behind_the_last_finish_is_as_whole_as_ever_and_its_usage_unknown() -> None:
    """Usage comes in an event of its own, behind the answer: losing it loses no answer, and makes no call free."""
    cut = 0
    for record, events in streams():
        ends = [
            index
            for index, event in enumerate(events)
            if any(choice.get("finish_reason") for choice in event.get("choices") or ())
        ]
        if not ends or any(map(reported_usage, events[: ends[-1] + 1])):
            continue
        cut += ends[-1] + 1 < len(events)
        whole, rest = folded(events), folded(events[: ends[-1] + 1])

        assert (rest.complete, WIRE.incomplete(rest.body())) == (True, WIRE.incomplete(whole.body())), record["id"]
        assert rest.body()["choices"] == whole.body()["choices"], record["id"]
        assert (WIRE.tokens(rest.body()), WIRE.parse(rest.body()).usage) == (None, None), record["id"]
    assert cut > 50


def is_whole(arguments: str, cut: bool) -> bool:
    try:
        json.loads(arguments)
    except ValueError:
        return arguments == "" and not cut
    return True
