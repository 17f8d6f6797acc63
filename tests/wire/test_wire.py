from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from ostinato.errors import ConfigurationError
from ostinato.records import Chunk
from ostinato.wire import WIRES, find_wire
from ostinato.wire.contract import Wire
from ostinato.wire.dialects import find_dialect


@pytest.mark.parametrize("name", WIRES)
def test_a_wire_is_found_by_its_name_and_is_the_same_each_time(name: str) -> None:
    wire: Wire = find_wire(name)

    assert wire.name == name
    assert find_wire(name) is wire
    assert f"ostinato.wire.{name}" in sys.modules


def test_an_unknown_wire_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'os'.*openai_chat"):
        find_wire("os")


@pytest.mark.parametrize("name", ["anthropic", "openai_responses", "completions"])
@pytest.mark.parametrize(
    ("content", "text"),
    [([{"type": "text", "text": 'a"b'}, {"type": "thinking", "thinking": []}], 'a\\"b'), ({"a": 1}, r"{\"a\":1}")],
)
def test_content_that_is_no_text_is_told_as_text_in_every_dialect(name: str, content: Any, text: str) -> None:
    dialect = find_dialect(name)
    choice = {"index": 0, "finish_reason": "stop"}
    said = {"id": "c", "model": "m", "choices": [{**choice, "message": {"role": "assistant", "content": content}}]}
    whole = dialect.render(find_wire("openai_chat").parse(said))
    renderer = dialect.renderer()
    events = renderer.feed(Chunk({"id": "c", "choices": [{**choice, "delta": {"content": content}}]}))

    assert text in json.dumps(whole, separators=(",", ":"))
    assert text in json.dumps([*events, *renderer.end()], separators=(",", ":"))


@pytest.mark.parametrize(("name", "path"), [("anthropic", "id"), ("openai_responses", "call_id")])
def test_a_tool_call_without_an_id_has_one_in_every_dialect(name: str, path: str) -> None:
    dialect = find_dialect(name)
    calls = [{"id": "", "type": "function", "function": {"name": tool, "arguments": "{}"}} for tool in ("f", "g")]
    choice = {"index": 0, "finish_reason": "tool_calls"}
    said = {"id": "c", "model": "m", "choices": [{**choice, "message": {"role": "assistant", "tool_calls": calls}}]}
    whole = dialect.render(find_wire("openai_chat").parse(said))
    renderer = dialect.renderer()
    delta = {"tool_calls": [{**call, "index": place} for place, call in enumerate(calls)]}
    events = [*renderer.feed(Chunk({"id": "c", "choices": [{**choice, "delta": delta}]})), *renderer.end()]

    items = [*whole.get("content", ()), *whole.get("output", ())]
    begun = [event.get("content_block") or event.get("item") for event in events]
    assert [(item[path], item["name"]) for item in items] == [("call_0", "f"), ("call_1", "g")]
    assert {(item[path], item["name"]) for item in begun if item} == {("call_0", "f"), ("call_1", "g")}


def test_a_tool_call_of_a_newer_kind_takes_nothing_else_of_an_answer_with_it() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    known = {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": [thought, {"type": "text", "text": "hi"}], "tool_calls": [{"id": "a", "type": "new"}, known]}
    said = {"id": "c", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}

    assert find_dialect("anthropic").render(find_wire("openai_chat").parse(said))["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "b", "name": "f", "input": {}},
    ]
