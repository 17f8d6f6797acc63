from __future__ import annotations

from typing import Any

import pytest

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.records import Message
from tests.wire.anthropic_calls import CALL, HOUR, MARK, PDF, PIXEL, SCHEMA, blocks, build, user, validate


def test_system_messages_in_front_become_the_system_prompt() -> None:
    plain = build({"role": "system", "content": "S"}, {"role": "user", "content": "u"})
    several = build(
        {"role": "system", "content": "S"},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "D", "cache_control": MARK}, {"type": "text", "text": ""}],
        },
        {"role": "user", "content": "u"},
        system="first",
    )

    assert plain["system"] == "S"
    assert several["system"] == [
        {"type": "text", "text": "first"},
        {"type": "text", "text": "S"},
        {"type": "text", "text": "D", "cache_control": MARK},
    ]
    assert several["messages"] == [{"role": "user", "content": "u"}]


ASKED = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]


@pytest.mark.parametrize(
    ("model", "before", "after", "role"),
    [
        ("claude-sonnet-4-5", ASKED, [], "user"),
        ("claude-opus-4-8", ASKED, [], "system"),
        ("claude-opus-4-8", ASKED, [{"role": "assistant", "content": "b"}], "system"),
        ("claude-opus-4-8", ASKED, [{"role": "user", "content": "w"}], "user"),
        ("claude-opus-4-8", ASKED[:2], [{"role": "user", "content": "w"}], "user"),
        ("us.anthropic.claude-opus-4-8", ASKED, [], "system"),
    ],
)
def test_a_later_system_message_stays_in_its_place_as_what_the_model_takes(
    model: str, before: list[Any], after: list[Any], role: str
) -> None:
    body = build(*before, {"role": "system", "content": "now in Spanish"}, *after, model=model)

    assert "system" not in body
    assert body["messages"][len(before)] == {"role": role, "content": "now in Spanish"}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "text", "text": "t"}, {"type": "text", "text": "t"}),
        ("t", {"type": "text", "text": "t"}),
        ({"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}}, {"type": "text", "text": "t"}),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        ),
        (
            {"type": "image_url", "image_url": f"data:image/jpg;base64,{PIXEL}", "cache_control": HOUR},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": PIXEL},
                "cache_control": HOUR,
            },
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/p.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://a.example/p.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:application/pdf;base64,{PDF}"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": PDF}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}, "citations": {"enabled": True}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
                "citations": {"enabled": True},
            },
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain,h%20i"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "h i"}},
        ),
        (
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://a.example/d.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://a.example/d.pdf"}},
        ),
        (
            {"type": "file", "file": {"file_id": "file_2", "format": "image/png"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_2"}},
        ),
        ({"type": "search_result", "source": "s", "title": "t", "content": []},) * 2,
        ({"type": "container_upload", "file_id": "file_3"},) * 2,
    ],
)
def test_a_part_becomes_a_block(part: Any, block: Any) -> None:
    assert blocks(part) == [block]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}, r"messages\[0\]\.content\[0\].*sound"),
        ({"type": "file", "file": {"file_data": "data:audio/wav;base64,eA=="}}, "audio/wav"),
        ({"type": "file", "file": {"file_data": "AAAA"}}, "media type"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "UTF-8"),
        ({"type": "file", "file": {}}, "file_data or file_id"),
        ({"type": "image_url", "image_url": {}}, "URL"),
        ({"type": "text"}, r"content\[0\]\.text must be a str"),
        ({"text": "no type"}, "type"),
        (7, "part"),
    ],
)
def test_a_part_that_no_block_can_carry_is_an_error_that_names_its_place(part: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as raised:
        build(user(part))

    assert raised.value.provider == "anthropic"


def test_a_turn_with_tools_is_said_in_blocks() -> None:
    body = build(
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL, {**CALL, "id": "call:2"}]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "12 degrees"},
        {"role": "tool", "tool_call_id": "call:2", "content": [{"type": "text", "text": "x"}], "is_error": True},
        {"role": "user", "content": "thanks"},
    )

    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}},
                {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Bern"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12 degrees"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [{"type": "text", "text": "x"}],
                    "is_error": True,
                },
            ],
        },
        {"role": "user", "content": "thanks"},
    ]
    validate(body)


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        (None, {}),
        ("{}", {}),
        ('{"a":1', {"INVALID_JSON": '{"a":1'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_arguments_become_an_object_whatever_they_are(arguments: Any, given: Any) -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}

    content = build({"role": "assistant", "content": None, "tool_calls": [call]})["messages"][0]["content"]

    assert content == [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": given}]


def test_custom_tools_and_their_calls_are_tools_with_one_text() -> None:
    body = build(
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select"}}],
        },
        tools=[{"type": "custom", "custom": {"name": "sql", "description": "d"}}],
        tool_choice={"type": "custom", "custom": {"name": "sql"}},
    )

    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert body["messages"][0]["content"][0]["input"] == {"input": "select"}
    assert body["tool_choice"] == {"type": "tool", "name": "sql"}
    with pytest.raises(UnsupportedParamsError, match=r"tools\[0\]\.custom\.format"):
        build(tools=[{"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar"}}}])


def test_the_functions_of_old_are_tools_with_ids_of_their_place() -> None:
    body = build(
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
        functions=[{"name": "f", "parameters": SCHEMA}],
        function_call={"name": "f"},
    )

    assert body["messages"][1]["content"][0]["id"] == body["messages"][2]["content"][0]["tool_use_id"]
    assert body["tools"] == [{"name": "f", "input_schema": SCHEMA}]
    assert body["tool_choice"] == {"type": "tool", "name": "f"}


def test_results_of_tools_stand_in_one_turn_only_where_nothing_is_between_them() -> None:
    first, second = ({"role": "tool", "tool_call_id": name, "content": name} for name in "ab")

    turns = build(first, {"role": "user", "content": "wait"}, second)["messages"]

    assert [turn["content"] if isinstance(turn["content"], str) else len(turn["content"]) for turn in turns] == [
        1,
        "wait",
        1,
    ]


def test_thinking_goes_back_as_it_came_and_in_front() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    hidden = {"type": "redacted_thinking", "data": "x"}
    message = {
        "role": "assistant",
        "content": "so",
        "reasoning_content": "hm",
        "thinking_blocks": [
            {"index": 0, **thought, "cache_control": MARK},
            hidden,
            {"type": "thinking", "thinking": "of another vendor"},
        ],
        "tool_calls": [CALL],
    }

    content = build(message)["messages"][0]["content"]

    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert content[:2] == [thought, hidden]


def test_a_refusal_is_said_and_an_answer_of_nothing_is_left_out() -> None:
    body = build(
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "v"},
    )

    assert body["messages"][1:] == [{"role": "assistant", "content": "no"}, {"role": "user", "content": "v"}]


def test_content_blocks_of_an_answer_go_back_while_the_message_still_says_the_same() -> None:
    kept = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "text", "text": "a", "citations": [{"type": "web_search_result_location", "url": "u"}]},
    ]
    message = Message({"role": "assistant", "content": "a", "content_blocks": kept})
    edited = Message({"role": "assistant", "content": "b", "content_blocks": kept})

    assert build(message)["messages"][0]["content"] == kept
    assert build(edited)["messages"][0] == {"role": "assistant", "content": "b"}
