from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from ostinato.gateway.affinity import prefix_of, ranked
from ostinato.gateway.models import Deployment

MARK = {"cache_control": {"type": "ephemeral"}}
SYSTEM = {"role": "system", "content": "You know the contract."}
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def turns(count: int, first: str = "first question") -> list[dict[str, Any]]:
    said = [SYSTEM, user(first)]
    for number in range(1, count):
        said += [{"role": "assistant", "content": f"answer {number}"}, user(f"question {number}")]
    return said


def with_mark(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "content": [{"type": "text", "text": message["content"], **MARK}]}


def deployments(*weights: float) -> list[Deployment]:
    return [Deployment(f"d{index}", "openai/gpt-4o", weight=weight) for index, weight in enumerate(weights)]


def drawn(count: int) -> list[bytes]:
    prefixes = [prefix_of({"messages": turns(1, f"question {number}")}) for number in range(count)]
    return [prefix for prefix in prefixes if prefix is not None]


def test_the_turns_of_a_conversation_share_a_prefix() -> None:
    prefixes = {prefix_of({"messages": turns(count), "tools": TOOLS}) for count in (1, 2, 7)}

    assert len(prefixes) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"messages": turns(1, "another question"), "tools": TOOLS},
        {"messages": turns(1)},
        {"messages": turns(1)[1:], "tools": TOOLS},
        {"messages": [{**SYSTEM, "role": "developer"}, *turns(1)[1:]], "tools": TOOLS},
    ],
    ids=["first question", "tools", "system", "role"],
)
def test_another_beginning_is_another_prefix(other: dict[str, Any]) -> None:
    assert prefix_of(other) != prefix_of({"messages": turns(1), "tools": TOOLS})


def test_marks_that_move_with_the_turns_move_no_prefix() -> None:
    said = turns(3)
    first = [with_mark(said[0]), with_mark(said[1])]
    second = [with_mark(said[0]), *said[1:3], with_mark(said[3])]
    third = [with_mark(said[0]), *said[1:5], with_mark(said[5])]

    assert prefix_of({"messages": first}) == prefix_of({"messages": second}) == prefix_of({"messages": third})


def test_a_marked_document_is_shared_by_all_who_ask_about_it() -> None:
    asked = [{"messages": [with_mark(SYSTEM), user(f"question {number}")]} for number in range(3)]

    assert len({prefix_of(body) for body in asked}) == 1


def test_a_document_marked_inside_the_question_is_shared_too() -> None:
    def body(question: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": [{"type": "text", "text": "contract", **MARK}, question]}]}

    assert prefix_of(body("who pays?")) == prefix_of(body("when?"))
    assert prefix_of(body("who pays?")) is not None


def test_marked_tools_are_shared_whatever_stands_behind_them() -> None:
    marked = [{**TOOLS[0], "function": {**TOOLS[0]["function"], **MARK}}]

    assert prefix_of({"messages": turns(1), "tools": marked}) == prefix_of({"messages": turns(1, "x"), "tools": marked})


def test_anthropic_s_shape_has_its_system_and_tools_counted() -> None:
    body = {"system": [{"type": "text", "text": "You know."}], "messages": [user("hello")]}

    assert prefix_of(body) == prefix_of({**body, "max_tokens": 9, "messages": [user("hello"), user("again")]})
    assert prefix_of(body) != prefix_of({**body, "system": "You do not know."})


def test_responses_inputs_are_read_as_text_and_as_items() -> None:
    assert prefix_of({"input": "hello", "instructions": "be brief"}) is not None
    assert prefix_of({"input": [user("hello")]}) == prefix_of({"input": [user("hello"), {"type": "reasoning"}]})


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"input": ""}])
def test_nothing_to_share_is_none(body: dict[str, Any]) -> None:
    assert prefix_of(body) is None


def test_the_body_is_left_as_it_was() -> None:
    body = {"messages": [with_mark(SYSTEM), user("hello")], "tools": TOOLS}
    before = copy.deepcopy(body)

    prefix_of(body)

    assert body == before


def test_shares_follow_the_weights() -> None:
    firsts = Counter(ranked(deployments(1, 2, 1), prefix)[0].id for prefix in drawn(4000))

    assert firsts["d1"] == pytest.approx(2000, rel=0.1)
    assert firsts["d0"] == pytest.approx(1000, rel=0.1)


def test_a_deployment_that_leaves_moves_its_own_prefixes_alone() -> None:
    three = deployments(1, 1, 1)
    moved = [prefix for prefix in drawn(600) if ranked(three, prefix)[0] is not ranked(three[:2], prefix)[0]]

    assert {ranked(three, prefix)[0].id for prefix in moved} == {"d2"}


def test_a_weight_of_nought_takes_no_calls_and_a_higher_order_comes_later() -> None:
    first, idle, later = deployments(1, 0, 1)
    later = Deployment("later", later.model, order=1, weight=100)

    assert {tuple(item.id for item in ranked([later, idle, first], prefix)) for prefix in drawn(50)} == {
        ("d0", "later")
    }
