"""Every recorded exchange with Anthropic's messages, against the official client and the corpus's own index."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from ostinato.providers import Provider
from ostinato.wire.anthropic import WIRE
from ostinato.wire.anthropic.invert import read_request, render
from ostinato.wire.contract import Call
from tests.corpus import open_index, open_records, sse_events
from tests.wire.anthropic_oracle import lost_leaves, official_fold

PROVIDER = Provider("anthropic", wire="anthropic", base_url="https://api.anthropic.com", auth="x-api-key")

Record = dict[str, Any]


def answered(*, stream: bool | None = None) -> list[Record]:
    records = open_records(api="messages", provider="anthropic", stream=stream)
    return [record for record in records if record["response"]["status"] == 200]


def bodies() -> list[tuple[str, Record]]:
    return [
        (record["id"], copy.deepcopy(record["response"]["json"]))
        for record in answered()
        if "json" in record["response"]
    ]


def streams() -> list[tuple[str, list[Record]]]:
    return [(record["id"], sse_events(record)) for record in answered() if "sse_text" in record["response"]]


def folded(events: list[Record]) -> Any:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold


def test_no_leaf_of_a_body_is_lost_and_the_answer_is_what_the_index_says() -> None:
    index = open_index()
    read = 0
    for name, body in bodies():
        before = copy.deepcopy(body)
        completion = WIRE.parse(body)
        message = completion.choices[0].message

        assert not lost_leaves(before, completion), name
        assert completion.choices[0].native_finish_reason == index[name]["finish"], name
        assert len(message.tool_calls or ()) == sum(block["type"] == "tool_use" for block in before["content"]), name
        assert completion.usage is not None, name
        assert completion.usage.raw == before["usage"], name
        read += 1

    assert read > 150


def test_the_message_of_an_answer_goes_back_as_the_blocks_that_came() -> None:
    for name, body in bodies():
        content = copy.deepcopy(body["content"])
        message = WIRE.parse(body).choices[0].message

        sent = WIRE.build(Call("m", [{"role": "user", "content": "u"}, message]), PROVIDER).body["messages"][1:]

        # A single text is sent as a text, and nothing at all as no turn.
        want = [{"role": "assistant", "content": content}] if content else []
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            want = [{"role": "assistant", "content": content[0]["text"]}]
        assert sent == want, name


def test_a_stream_folds_to_what_the_official_client_makes_of_it() -> None:
    index = open_index()
    read = 0
    for name, events in streams():
        fold = folded(events)
        theirs = official_fold(events)
        if theirs is None:
            assert not fold.complete, name
            continue

        assert fold.body() == theirs, name
        assert fold.complete == any(event["type"] == "message_stop" for event in events), name
        usage = index[name]["usage"]
        assert all(fold.body()["usage"][member] == count for member, count in usage.items() if count is not None), name
        read += 1

    assert read > 90


def test_a_stream_that_is_unfolded_again_is_the_one_that_came() -> None:
    for name, events in streams():
        fold = folded(events)
        if fold.complete:
            cuts = msgspec.json.decode(msgspec.json.encode(fold.cuts()))
            assert list(WIRE.unfold(fold.body(), cuts)) == [event for event in events if event["type"] != "ping"], name


def test_a_body_that_is_unfolded_folds_to_itself_also_for_the_official_client() -> None:
    for name, body in bodies():
        events = list(WIRE.unfold(body, None))
        fold = folded(events)

        assert fold.complete, name
        assert fold.body() == body, name
        assert list(WIRE.unfold(body, fold.cuts())) == events, name
        known = {"context_management"} & body.keys()
        if not known:
            assert official_fold(events) == body, name


def test_chunks_say_what_the_whole_answer_says() -> None:
    for name, events in streams():
        fold = folded(events)
        if not fold.complete:
            continue
        translator = WIRE.translator()
        chunks = [chunk for event in copy.deepcopy(events) for chunk in translator.feed(event)] + translator.end()
        completion = WIRE.parse(fold.body())
        message = completion.choices[0].message
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.choices]

        assert deltas[0]["role"] == "assistant", name
        assert "".join(delta.get("content") or "" for delta in deltas) == (message.content or ""), name
        assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == (message.reasoning_content or ""), (
            name
        )
        assert _calls(deltas) == _decoded(dict.get(message, "tool_calls") or []), name
        thoughts = [block for delta in deltas for block in delta.get("thinking_blocks", ())]
        assert [block.pop("index") for block in thoughts] == list(range(len(thoughts))), name
        assert thoughts == (dict.get(message, "thinking_blocks") or []), name
        assert deltas[-1].get("content_blocks") == dict.get(message, "content_blocks"), name
        assert chunks[-2].choices[0].finish_reason == completion.choices[0].finish_reason, name
        assert chunks[-1].choices == [], name
        assert chunks[-1].usage == completion.usage, name
        assert {chunk.id for chunk in chunks} == {completion.id}, name


def _calls(deltas: list[Record]) -> list[Any]:
    calls: dict[int, Record] = {}
    for delta in deltas:
        for piece in delta.get("tool_calls", ()):
            call = calls.setdefault(piece["index"], {"arguments": "", **piece})
            call["arguments"] += piece["function"]["arguments"]
    return [(call["id"], call["function"]["name"], msgspec.json.decode(call["arguments"])) for call in calls.values()]


def _decoded(calls: list[Record]) -> list[Any]:
    return [
        (call["id"], call["function"]["name"], msgspec.json.decode(call["function"]["arguments"])) for call in calls
    ]


def test_counts_agree_with_the_corpus_index() -> None:
    index = open_index()
    for name, body in bodies():
        usage = index[name]["usage"]
        runs = WIRE.tokens(body) or []
        if usage.get("iterations"):
            assert len(runs) == len(usage["iterations"]), name
            continue

        (run,) = runs
        assert run.uncached == usage["input_tokens"], name
        assert run.read == usage.get("cache_read_input_tokens", 0), name
        assert sum(run.written.values()) == usage.get("cache_creation_input_tokens", 0), name
        assert run.output == usage["output_tokens"], name


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("ant-msg-2730e19122", [{"5m", "1h"}]),
        ("ant-msg-0a595d8697", [{"1h"}]),
        ("ant-msg-07965611a9", [{"5m"}]),
        ("ant-msg-170025e36e", [{"5m"}, set()]),
        ("ant-msg-21444e8db5", [set(), set(), set()]),
    ],
)
def test_what_was_written_is_split_by_how_long_it_is_kept(name: str, runs: list[set[str]]) -> None:
    record = next(record for record in answered() if record["id"] == name)
    body = record["response"].get("json") or folded(sse_events(record)).body()
    found = WIRE.tokens(body) or []

    assert [set(run.written) for run in found] == runs
    if name == "ant-msg-21444e8db5":
        assert [run.model for run in found] == [None, "claude-opus-4-8", None]
    if name == "ant-msg-170025e36e":
        assert WIRE.parse(copy.deepcopy(body)).usage.cache_creation_input_tokens == 55096  # type: ignore[union-attr]


def test_only_refused_and_empty_answers_are_not_kept() -> None:
    said = {name: WIRE.incomplete(body) for name, body in bodies()}
    said |= {name: WIRE.incomplete(folded(events).body()) for name, events in streams()}

    assert {name: reason for name, reason in said.items() if reason is not None} == {
        "ant-msg-2a57f01ea1": "it is empty",
        "ant-msg-2b683542b4": "it is empty",
        "ant-msg-6fd2a375bd": "it is empty",
        "ant-msg-ded1050541": "it is empty",
        "ant-msg-2352c269d7": "it has no stop reason",
        "ant-msg-6046b1e99a": "it has no stop reason",
        "ant-msg-a9a95c05f5": "it has no stop reason",
    }


def test_an_error_in_a_stream_is_found_wherever_it_stands() -> None:
    found = {}
    for name, events in streams():
        for place, event in enumerate(events):
            error = WIRE.event_error(event)
            if error is not None:
                found[name] = (place == 0, type(error).__name__, error.code, error.retryable)

    overloaded = ("ServiceUnavailableError", "overloaded_error", True)
    assert found["ant-msg-2352c269d7"] == (True, *overloaded)
    assert found["ant-msg-a9a95c05f5"] == (False, *overloaded)
    assert len(found) == 3


BY_STATUS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    529: "ServiceUnavailableError",
}


def test_an_error_is_of_the_class_of_the_official_client_and_keeps_what_it_says() -> None:
    read = 0
    for record in open_records(api="messages", provider="anthropic"):
        response = record["response"]
        if response["status"] == 200:
            continue
        body = msgspec.json.encode(response["json"]) if "json" in response else response["text"].encode()
        error = WIRE.error(response["status"], response["headers"], body)
        name = record["id"]
        read += 1

        want = "ContextWindowExceededError" if name == "ant-msg-19a50ac5f6" else BY_STATUS[response["status"]]
        assert type(error).__name__ == want, name
        assert error.status_code == response["status"], name
        if "json" in response:
            assert error.code == response["json"]["error"]["type"], name
            assert error.message, name
        told = response["headers"].get("x-should-retry")
        if told is not None:
            assert error.retryable == (told == "true"), name
        if "retry-after" in response["headers"]:
            assert error.retry_after == float(response["headers"]["retry-after"]), name

    assert read == 28


def test_a_request_read_as_a_call_is_built_again_the_same() -> None:
    same = 0
    for record in open_records(api="messages", provider="anthropic"):
        request = record["request"]["json"]
        if record["response"]["status"] == 400 or not isinstance(request, dict):
            continue
        before = copy.deepcopy(request)
        body = WIRE.build(read_request(request), PROVIDER).body

        assert request == before, record["id"]
        assert normal(body) == normal(request), record["id"]
        same += 1

    assert same > 280


def normal(body: Record) -> Record:
    """Return a request in which what means the same is the same.

    A text is one block; turns of one role are one; a null, a False of `strict` and of `disable_parallel_tool_use`
    are absent.
    """
    turns: list[Record] = []
    for turn in body["messages"]:
        content = [_block(block) for block in _listed(turn["content"])]
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": turn["role"], "content": content})
    made = {name: value for name, value in body.items() if name != "stream" and value is not None}
    if "system" in made:
        made["system"] = _listed(made["system"])
    if "tools" in made:
        made["tools"] = [_without_false(tool, "strict") for tool in made["tools"]]
    if "tool_choice" in made:
        made["tool_choice"] = _without_false(made["tool_choice"], "disable_parallel_tool_use")
    return {**made, "messages": turns}


def _listed(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _block(block: Record) -> Record:
    block = {name: value for name, value in block.items() if name != "cache_control" or value is not None}
    if block["type"] == "tool_result" and isinstance(block.get("content"), str):
        block["content"] = _listed(block["content"])
    return block


def _without_false(value: Record, name: str) -> Record:
    return {key: item for key, item in value.items() if key != name or item is not False}


def test_an_answer_is_rendered_as_the_body_it_was_read_from() -> None:
    for name, body in bodies():
        before = copy.deepcopy(body)
        rendered = render(WIRE.parse(body))

        assert {key: value for key, value in before.items() if value is not None} == {
            key: value for key, value in rendered.items() if value is not None
        }, name
