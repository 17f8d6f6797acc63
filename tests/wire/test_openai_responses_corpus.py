"""Every recorded exchange with the Responses API, against the official client and the corpus's own index."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import msgspec

from ostinato.errors import BadRequestError
from ostinato.wire.openai_responses import WIRE
from ostinato.wire.openai_responses.channels import DELTAS
from ostinato.wire.openai_responses.invert import read_request, render
from tests.corpus import open_index, open_records, sse_events
from tests.wire.anthropic_oracle import leaves
from tests.wire.openai_responses_calls import OTHER, folded, official, texts, without_nulls

Record = dict[str, Any]

ENDS = {"response.completed", "response.incomplete"}


def answered() -> list[Record]:
    return [record for record in open_records(api="responses") if record["response"]["status"] == 200]


def bodies() -> list[tuple[str, Record]]:
    """Return the body of every answer: as it came, or as its stream folds."""
    return [
        (record["id"], copy.deepcopy(record["response"]["json"]))
        if "json" in record["response"]
        else (record["id"], folded(sse_events(record)).body())
        for record in answered()
    ]


def streams() -> list[tuple[str, list[Record]]]:
    return [(record["id"], sse_events(record)) for record in answered() if "sse_text" in record["response"]]


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def test_no_leaf_of_a_body_is_lost_and_the_answer_is_what_the_index_says() -> None:
    index = open_index()
    read = 0
    for name, body in bodies():
        before = copy.deepcopy(body)
        completion = WIRE.parse(body)
        found = Counter(map(repr, leaves(plain(completion))))
        if completion.usage is not None:
            found.update(map(repr, leaves(plain(completion.usage.raw))))
            assert completion.usage.raw == before["usage"], name
        message = completion.choices[0].message

        # That it is a response is said by its being a record.
        assert Counter(map(repr, leaves(before))) - found <= Counter(["'response'"]), name
        assert len(message.tool_calls or ()) == sum(
            item["type"] in {"function_call", "custom_tool_call"} for item in before["output"]
        ), name
        assert (message.content or "") == "".join(text for kind, text in texts(before) if kind == "text"), name
        assert completion.model == index[name]["model"] or before["model"] == completion.model, name
        read += 1

    assert read == 257


def test_a_stream_folds_to_what_the_official_client_makes_of_it() -> None:
    read = 0
    for name, events in streams():
        fold = folded(events)
        ended = [event["response"] for event in events if event["type"] in ENDS]
        theirs, _ = official(events[:2] + [event for event in events if event["type"] in ENDS])

        assert fold.complete, name
        assert fold.body() == ended[-1], name
        if theirs is not None:
            assert without_nulls(fold.body()) == theirs, name
        read += 1

    assert read == 63


def test_deltas_alone_fold_to_the_texts_that_the_official_client_gathers() -> None:
    compared = 0
    for name, events in streams():
        if name == "oth-resp-c26e09334e":
            # The parts of its message are numbered from 1, which the official client takes for a place.
            continue
        deltas = [event for event in events if event["type"] not in ENDS and not event["type"].endswith(".done")]
        _, theirs = official(deltas)

        assert texts(folded(deltas).body()) == theirs, name
        compared += len(theirs)

    assert compared > 60


def test_a_stream_whose_end_leaves_out_the_output_folds_to_the_same_body() -> None:
    for name, events in streams():
        whole = folded(events).body()
        bare = [
            {**event, "response": {**event["response"], "output": []}} if event["type"] in ENDS else event
            for event in events
        ]
        reasoning = {place for place, item in enumerate(whole["output"]) if item["type"] == "reasoning"}
        body = folded(bare).body()
        for place in reasoning:
            # The content is encrypted anew for the last event, and some name the item anew.
            for member in ("encrypted_content", "id"):
                whole["output"][place].pop(member, None)
                body["output"][place].pop(member, None)

        assert body == whole, name


def test_a_stream_without_the_ends_of_its_items_says_the_same() -> None:
    for name, events in streams():
        whole = folded(events).body()
        bare = [
            {**event, "response": {**event["response"], "output": []}} if event["type"] in ENDS else event
            for event in events
            if not event["type"].endswith(".done")
        ]
        body = folded(bare).body()

        assert texts(body) == texts(whole), name
        assert [item.get("status") for item in body["output"] if item["type"] == "message"] == [
            item.get("status") for item in whole["output"] if item["type"] == "message"
        ], name


def test_a_stream_that_is_unfolded_again_has_the_events_and_the_pieces_that_came() -> None:
    apart = []
    for name, events in streams():
        fold = folded(events)
        cuts = msgspec.json.decode(msgspec.json.encode(fold.cuts()))
        again = list(WIRE.unfold(fold.body(), cuts))

        assert _pieces(again) == _pieces(events), name
        assert [event["sequence_number"] for event in again] == list(range(len(again))), name
        if [event["type"] for event in again] != [event["type"] for event in events]:
            apart.append(name)
        else:
            assert all(_likens(ours, theirs) for ours, theirs in zip(again, events, strict=True)), name

    # Two ran items side by side, one names the parts of its reasoning in a way of its own.
    assert apart == ["oth-resp-023684439d", "oth-resp-b0d9e7ec7d", "oth-resp-c26e09334e"]


def _pieces(events: list[Record]) -> list[Any]:
    return [(event["type"], event["output_index"], event["delta"]) for event in events if event["type"] in DELTAS]


def _likens(ours: Record, theirs: Record) -> bool:
    """Say whether two events have the same members, padding aside."""
    return ours.keys() == theirs.keys() - {"obfuscation"}


def test_a_body_that_is_unfolded_folds_to_itself() -> None:
    for name, body in bodies():
        before = copy.deepcopy(body)
        if before["status"] not in {"completed", "incomplete"}:
            continue
        events = list(WIRE.unfold(body, None))
        fold = folded(events)

        assert fold.complete, name
        assert fold.body() == before, name
        assert list(WIRE.unfold(before, fold.cuts())) == events, name
        # And its deltas alone say all that it says.
        assert texts(folded(events[:-1]).body()) == texts(before), name


def test_chunks_say_what_the_whole_answer_says() -> None:
    for name, events in streams():
        body = folded(events).body()
        translator = WIRE.translator()
        chunks = [chunk for event in copy.deepcopy(events) for chunk in translator.feed(event)] + translator.end()
        completion = WIRE.parse(body)
        message = completion.choices[0].message
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.choices]

        assert deltas[0] == {"role": "assistant", "content": ""}, name
        assert "".join(delta.get("content") or "" for delta in deltas) == (message.content or ""), name
        thoughts = "".join(delta.get("reasoning_content") or "" for delta in deltas)
        assert thoughts == (message.reasoning_content or ""), name
        assert _calls(deltas) == [
            (call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()
        ], name
        for member in ("output_items", "reasoning_items", "annotations"):
            assert plain(deltas[-1].get(member)) == plain(dict.get(message, member)), name
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
    return [(call["id"], call["function"]["name"], call["arguments"]) for call in calls.values()]


def test_counts_agree_with_the_corpus_index() -> None:
    index = open_index()
    unsaid = []
    for name, body in bodies():
        runs = WIRE.tokens(body)
        if runs is None:
            unsaid.append(name)
            continue
        usage = index[name]["usage"]
        details = usage.get("input_tokens_details") or {}
        (run,) = runs

        assert run.prompt == usage["input_tokens"], name
        assert run.read == details.get("cached_tokens", 0), name
        assert sum(run.written.values()) == details.get("cache_write_tokens", 0), name
        assert run.output == usage["output_tokens"], name
        assert run.reasoning == (usage.get("output_tokens_details") or {}).get("reasoning_tokens", 0), name

    assert unsaid == ["oai-resp-5c49402844"]


def test_only_answers_that_run_on_or_were_cut_in_a_call_are_not_kept() -> None:
    said = {name: WIRE.incomplete(body) for name, body in bodies()}

    assert {name: reason for name, reason in said.items() if reason is not None} == {
        "oai-resp-19638f9b67": "the limit cut a tool call",
        "oai-resp-5c49402844": "it runs in the background",
        "oai-resp-eca22f7cb2": "the limit cut a tool call",
    }


CLASSES: dict[tuple[int, Any], str] = {
    (400, "model_not_found"): "NotFoundError",
    (400, "context_length_exceeded"): "ContextWindowExceededError",
    (401, "invalid_api_key"): "AuthenticationError",
    (500, "server_error"): "InternalServerError",
}


def test_an_error_is_of_its_class_and_keeps_what_it_says() -> None:
    read = 0
    for record in open_records(api="responses"):
        response = record["response"]
        if response["status"] == 200:
            continue
        error = WIRE.error(response["status"], response["headers"], msgspec.json.encode(response["json"]))
        said = response["json"]["error"]
        code = said.get("code") if isinstance(said, dict) else None
        name = record["id"]
        read += 1

        assert type(error).__name__ == CLASSES.get((response["status"], code), "BadRequestError"), name
        assert error.status_code == response["status"], name
        assert error.retryable == (response["status"] == 500), name
        if isinstance(said, dict):
            assert error.code == code, name
        assert error.request_id == response["headers"].get("x-request-id"), name

    assert read == 24


def test_no_event_of_a_recorded_stream_is_an_error() -> None:
    assert all(WIRE.event_error(event) is None for _, events in streams() for event in events)
    assert all(WIRE.event_error(body) is None for _, body in bodies())


def test_a_request_read_as_a_call_is_built_again_the_same() -> None:
    same, refused = 0, []
    for record in open_records(api="responses"):
        request = record["request"]["json"]
        if not isinstance(request, dict) or not request.get("input"):
            continue
        before = copy.deepcopy(request)
        try:
            body = WIRE.build(read_request(request), OTHER).body
        except BadRequestError:
            refused.append(record["id"])
            continue

        assert request == before, record["id"]
        assert normal(plain(body)) == normal(before), record["id"]
        same += 1

    # It has a message of a role that there is not: the vendor answered 400 too.
    assert refused == ["oai-resp-0f65494fb7"]
    assert same == 279


def normal(body: Record) -> Record:
    """Return a request in which what means the same is the same.

    A text is one message, a message of one part its text; a message need not say its type, nor what the user said
    its status; a null is absent; the detail of an image is `auto`; a tool may be written as chat has it.
    """
    made = {name: value for name, value in body.items() if name != "stream" and value is not None}
    if isinstance(made["input"], str):
        made["input"] = [{"role": "user", "content": made["input"]}]
    made["input"] = [_item(item) for item in made["input"]]
    if "tools" in made:
        made["tools"] = [_tool(tool) for tool in made["tools"]]
    choice = made.get("tool_choice")
    if isinstance(choice, dict) and "function" in choice:
        made["tool_choice"] = {"type": "function", **choice["function"]}
    return made


def _item(item: Record) -> Record:
    kind = item.get("type", "message")
    apart = {"type"} if kind == "message" else set()
    if (kind == "message" and item["role"] != "assistant") or kind == "function_call_output":
        apart |= {"status", "id"}
    made = {name: value for name, value in item.items() if name not in apart}
    for member in ("content", "output"):
        parts = made.get(member)
        if isinstance(parts, list) and kind != "reasoning":
            parts = [{"detail": "auto", **part} if part["type"] == "input_image" else part for part in parts]
            single = len(parts) == 1 and parts[0].keys() == {"type", "text"}
            made[member] = parts[0]["text"] if single else parts
    return made


def _tool(tool: Record) -> Record:
    if isinstance(tool.get("function"), dict):
        tool = {"type": "function", **tool["function"], "strict": tool["function"].get("strict", False)}
    return {name: value for name, value in tool.items() if name != "strict" or value is not None}


def test_an_answer_is_rendered_as_the_body_it_was_read_from() -> None:
    for name, body in bodies():
        before = copy.deepcopy(body)

        assert plain(render(WIRE.parse(body))) == before, name
