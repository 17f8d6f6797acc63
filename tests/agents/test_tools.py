"""Tools: told to the model, carried out by an agent, in both worlds."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pytest

from ostinato.agents import ConversableAgent, UserProxyAgent, register_function
from ostinato.agents.schema import arguments_for, result_text, tool_schema
from ostinato.errors import ConfigurationError
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import LLM, pair

Chat = Callable[..., Any]


@dataclass
class Money:
    amount: Annotated[float, "How much"]
    currency: Literal["USD", "EUR"] = "USD"


class Place(TypedDict):
    city: str


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def convert(
    money: Annotated[Money, "What to convert"],
    to: Annotated[Literal["USD", "EUR"], "Into what"],
    rates: dict[str, float] | None = None,
    places: list[Place] | None = None,
    colour: Colour = Colour.RED,
) -> str:
    return f"{money.amount} {money.currency} in {to}, {colour.value}, {places and places[0]['city']}"


def test_schema_says_what_the_type_hints_say() -> None:
    parameters = tool_schema(convert, name="convert", description="Convert money")["function"]["parameters"]

    assert parameters["required"] == ["money", "to"]
    assert parameters["properties"]["to"] == {"type": "string", "enum": ["USD", "EUR"], "description": "Into what"}
    assert parameters["properties"]["money"] == {"$ref": "#/$defs/Money", "description": "What to convert"}
    assert parameters["properties"]["rates"]["default"] is None
    assert parameters["properties"]["colour"]["default"] == "red"
    assert set(parameters["$defs"]) == {"Money", "Place", "Colour"}
    assert parameters["$defs"]["Money"]["properties"]["amount"]["type"] == "number"


def test_schema_of_plain_types_has_nothing_else_in_it() -> None:
    def add(a: int, b: Annotated[int, "the other"] = 3) -> int:
        return a + b

    assert tool_schema(add, name="add", description="Add") == {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": "integer"},
                    "b": {"type": "integer", "description": "the other", "default": 3},
                },
                "required": ["a"],
            },
        },
    }


class Model:
    """What pydantic's models can do, as far as tools ask it."""

    def __init__(self, value: int) -> None:
        self.value = value

    @classmethod
    def model_json_schema(cls, ref_template: str) -> dict[str, Any]:
        inner = {"$ref": ref_template.format(model="Inner")}
        return {"type": "object", "properties": {"value": inner}, "$defs": {"Inner": {"type": "integer"}}}

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        return cls(value["value"])

    def model_dump(self) -> dict[str, Any]:
        return {"value": self.value}


def test_models_of_pydantic_s_kind_are_known_by_what_they_can_do() -> None:
    def double(model: Model) -> Model:
        return Model(2 * model.value)

    parameters = tool_schema(double, name="double", description="Double")["function"]["parameters"]
    arguments = arguments_for(double, {"model": {"value": 4}})

    assert parameters["properties"]["model"]["properties"]["value"] == {"$ref": "#/$defs/Inner"}
    assert parameters["$defs"] == {"Inner": {"type": "integer"}}
    assert result_text(double(**arguments)) == '{"value":8}'


def test_arguments_become_what_the_function_takes() -> None:
    given = {"money": {"amount": 3}, "to": "EUR", "places": [{"city": "Turin"}], "colour": "blue"}

    assert convert(**arguments_for(convert, given)) == "3.0 USD in EUR, blue, Turin"
    with pytest.raises(ValueError, match="argument 'to'"):
        arguments_for(convert, {"to": "GBP"})


def test_function_without_type_hints_or_description_is_refused() -> None:
    _, assistant = pair()

    def bare(a, b: int) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return b

    with pytest.raises(TypeError, match="missing for: a"):
        assistant.register_for_llm(description="Bare")(bare)
    with pytest.raises(ConfigurationError, match="needs a description"):
        assistant.register_for_llm()(convert)
    with pytest.raises(RuntimeError, match="has no llm_config"):
        UserProxyAgent("user").register_for_llm(description="Convert")(convert)


def scripted(emulator: Emulator, *calls: Any) -> None:
    emulator.script(Reply(tool_calls=calls), Reply(text="TERMINATE"))


def answers(result: Any) -> list[str]:
    return [answer["content"] for answer in result.chat_history[2]["tool_responses"]]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_tool_is_told_to_one_agent_carried_out_by_another_and_repeated_for_nothing(
    chat: Chat, emulator: Emulator, asynchronous: bool
) -> None:
    scripted(emulator, {"name": "add", "arguments": '{"a": 1, "b": 2}', "id": "c1"})
    done: list[int] = []

    def add(a: int, b: int) -> int:
        done.append(a + b)
        return a + b

    async def add_async(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return add(a, b)

    results = []
    for _ in range(2):
        user, assistant = pair()
        function = add_async if asynchronous else add
        register_function(function, caller=assistant, executor=user, name="add", description="Add two numbers")
        results.append(chat(user, assistant, message="1 and 2?"))
    cold, warm = results

    assert cold.chat_history == warm.chat_history
    assert cold.chat_history[2] == {
        "role": "tool",
        "name": "user",
        "content": "3",
        "tool_responses": [{"tool_call_id": "c1", "role": "tool", "content": "3"}],
    }
    assert emulator.calls[1].body["messages"][-1] == {"tool_call_id": "c1", "role": "tool", "content": "3"}
    assert done == [3, 3]
    assert len(emulator.calls) == 2


def test_what_goes_wrong_in_a_tool_is_told_to_the_model(chat: Chat, emulator: Emulator) -> None:
    scripted(
        emulator,
        {"name": "fail", "arguments": "{}"},
        {"name": "nothing", "arguments": "{}"},
        {"name": "add", "arguments": '{"a": "one"}'},
        {"name": "add", "arguments": "[1]"},
        {"name": "add", "arguments": '{"a": "1"}'},
    )
    user, assistant = pair()

    @user.register_for_execution()
    @assistant.register_for_llm(description="Fail")
    def fail() -> str:
        raise ValueError("out of order")

    @user.register_for_execution()
    @assistant.register_for_llm(description="Add one")
    def add(a: int) -> int:
        return a + 1

    assert answers(chat(user, assistant, message="go")) == [
        "Error: out of order",
        "Error: Function nothing not found.",
        "Error: argument 'a': Expected `int`, got `str`",
        "Error: arguments are a JSON list, not an object\n The arguments must be in JSON format.",
        "2",
    ]


def test_arguments_that_are_no_json_are_told_to_the_model() -> None:
    user, _ = pair()
    user.register_function({"f": lambda **_: "fine"})

    succeeded, message = user.execute_function({"name": "f", "arguments": "{'a': 1}"})
    assert not succeeded
    assert message["content"].endswith("must be in JSON format.")
    assert user.execute_function({"name": "f", "arguments": '{"a": "line\nbreak"}'})[0]


def test_awaited_tools_of_one_message_run_side_by_side(emulator: Emulator) -> None:
    scripted(emulator, {"name": "meet", "arguments": "{}"}, {"name": "meet", "arguments": "{}"})
    user, assistant = pair()

    async def run() -> Any:
        both = asyncio.Barrier(2)

        @user.register_for_execution()
        @assistant.register_for_llm(description="Meet the other")
        async def meet() -> str:
            await both.wait()
            return "met"

        return await user.a_initiate_chat(assistant, message="go", silent=True)

    assert answers(asyncio.run(run())) == ["met", "met"]


def test_function_call_of_2023_is_carried_out(chat: Chat, emulator: Emulator) -> None:
    user, assistant = pair()
    user.register_function({"double": lambda a: 2 * a})
    user.send(
        {"function_call": {"name": "double", "arguments": '{"a": 2}'}}, assistant, request_reply=False, silent=True
    )
    reply = user.generate_reply(
        messages=[{"function_call": {"name": "double", "arguments": '{"a": 2}'}}], sender=assistant
    )

    assert reply == {"name": "double", "role": "function", "content": "4"}


def test_functions_can_be_told_in_the_way_of_2023() -> None:
    _, assistant = pair()
    assistant.register_for_llm(description="Convert money", api_style="function")(convert)
    assert isinstance(assistant.llm_config, dict)
    assert assistant.llm_config["functions"][0]["name"] == "convert"
    assistant.update_function_signature("convert", is_remove=True)

    assert assistant.llm_config["functions"] is None


def test_telling_a_model_of_a_tool_keeps_what_was_used(chat: Chat, emulator: Emulator) -> None:
    user, assistant = pair()
    chat(user, assistant, message="hello", max_turns=1)
    used = assistant.get_total_usage()
    assistant.register_for_llm(description="Convert money")(convert)
    chat(user, assistant, message="hello", max_turns=1)

    assert used is not None
    assert assistant.get_total_usage() != used
    assert emulator.calls[1].body["tools"][0]["function"]["name"] == "convert"
    assistant.update_tool_signature("convert", is_remove=True)
    chat(user, assistant, message="bye", max_turns=1)
    assert "tools" not in emulator.calls[2].body


def test_function_map_can_grow_and_shrink() -> None:
    agent = ConversableAgent("a", llm_config=False, function_map={"f": len})
    agent.register_function({"g": len})
    agent.register_function({"f": None})

    assert agent.can_execute_function("g")
    assert not agent.can_execute_function(["f", "g"])
    assert list(agent.function_map) == ["g"]
    with pytest.raises(ValueError, match="no function"):
        agent.register_function({"f": None})
    with pytest.raises(ValueError, match="must be 1 to 64"):
        agent.register_function({"bad name": len})


def test_tool_of_its_own_settings_leaves_the_caller_s_config_alone() -> None:
    config: dict[str, Any] = {**LLM, "tools": []}
    agent = ConversableAgent("a", llm_config=config)
    agent.register_for_llm(description="Convert money")(convert)

    assert config == {**LLM, "tools": []}
