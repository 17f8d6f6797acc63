"""What the official clients ask of a gateway, way by way: each asks, and returns what it was told.

Every one takes the gateway's address and a model's name. What it returns is compared with what it returns for the same
request a second time, which is a hit.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai

PROMPT = "hello"
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASK: Any = [{"role": "user", "content": PROMPT}]
RESULT = "18 degrees"
WAYS: dict[str, Callable[[str, str], Any]] = {}


class MissingClientError(Exception):
    """A client is not installed; the message says how to have it."""


def way(name: str) -> Callable[[Callable[[str, str], Any]], Callable[[str, str], Any]]:
    """Name a way to ask."""

    def named(ask: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
        WAYS[name] = ask
        return ask

    return named


def _openai(url: str) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


def _anthropic(url: str) -> Any:
    return anthropic.Anthropic(base_url=url, api_key="any", max_retries=0)


def _said(text: str | None, *more: Any) -> Any:
    assert text, "the answer is empty"
    return text, *more


@way("openai chat")
def chat(url: str, model: str) -> Any:
    with _openai(url) as client:
        answer = client.chat.completions.create(model=model, messages=ASK, max_tokens=40)
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        return _said(answer.choices[0].message.content, answer.choices[0].finish_reason, answer.id)


@way("openai chat, async")
def chat_async(url: str, model: str) -> Any:
    async def ask() -> Any:
        client: Any
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            return await client.chat.completions.create(model=model, messages=ASK, max_tokens=41)

    return _said(asyncio.run(ask()).choices[0].message.content)


@way("openai chat, streamed")
def chat_streamed(url: str, model: str) -> Any:
    with _openai(url) as client:
        chunks = list(
            client.chat.completions.create(
                model=model, messages=ASK, max_tokens=42, stream=True, stream_options={"include_usage": True}
            )
        )
    assert chunks[-1].usage.completion_tokens > 0
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [end for end in ends if end], "no reason to finish"
    return _said("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))


@way("openai chat, streamed async")
def chat_streamed_async(url: str, model: str) -> Any:
    async def ask() -> str:
        client: Any
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
            stream = await client.chat.completions.create(model=model, messages=ASK, max_tokens=43, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    return _said(asyncio.run(ask()))


@way("openai chat, tools")
def chat_tools(url: str, model: str) -> Any:
    tools = [{"type": "function", "function": TOOL}]
    with _openai(url) as client:
        answer = client.chat.completions.create(model=model, messages=ASK, tools=tools, tool_choice="required")
        message = answer.choices[0].message
        (call,) = message.tool_calls
        assert json.loads(call.function.arguments).keys() == {"city"}
        spoken = [*ASK, message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
        last = client.chat.completions.create(model=model, messages=spoken, tools=tools)
    return call.function.name, call.id, last.choices[0].message.model_dump()


@way("openai chat, streamed tools")
def chat_streamed_tools(url: str, model: str) -> Any:
    tools: Any = [{"type": "function", "function": {**TOOL, "strict": True}}]
    tools[0]["function"]["parameters"] = {**TOOL["parameters"], "additionalProperties": False}
    with (
        _openai(url) as client,
        client.chat.completions.stream(model=model, messages=ASK, tools=tools, tool_choice="required") as stream,
    ):
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments).keys() == {"city"}
    return call.function.name, call.function.arguments


@way("openai chat, raw response")
def chat_raw(url: str, model: str) -> Any:
    with _openai(url) as client:
        raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK, max_tokens=44)
        assert raw.headers["x-ostinato-call-id"]
        return _said(raw.parse().choices[0].message.content)


@way("openai responses")
def responses(url: str, model: str) -> Any:
    with _openai(url) as client:
        answer = client.responses.create(model=model, input=PROMPT, max_output_tokens=40, instructions="Be brief.")
    assert answer.usage is not None
    return _said(answer.output_text, answer.status)


@way("openai responses, streamed")
def responses_streamed(url: str, model: str) -> Any:
    with (
        _openai(url) as client,
        client.responses.stream(model=model, input=PROMPT, max_output_tokens=41) as stream,
    ):
        pieces = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        answer = stream.get_final_response()
    assert answer.output_text == pieces
    return _said(pieces)


@way("openai responses, tools")
def responses_tools(url: str, model: str) -> Any:
    tools: Any = [{"type": "function", **TOOL}]
    with _openai(url) as client:
        answer = client.responses.create(model=model, input=PROMPT, tools=tools, tool_choice="required")
        (call,) = [item for item in answer.output if item.type == "function_call"]
        spoken: Any = [
            {"role": "user", "content": PROMPT},
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
            {"type": "function_call_output", "call_id": call.call_id, "output": RESULT},
        ]
        last = client.responses.create(model=model, input=spoken, tools=tools)
    return call.name, call.arguments, last.output_text


@way("openai completions")
def completions(url: str, model: str) -> Any:
    with _openai(url) as client:
        answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=45)
        pieces = client.completions.create(model=model, prompt=PROMPT, max_tokens=45, stream=True)
        streamed = "".join(piece.choices[0].text for piece in pieces if piece.choices)
    assert streamed == answer.choices[0].text
    return _said(streamed)


@way("anthropic messages")
def messages(url: str, model: str) -> Any:
    with _anthropic(url) as client:
        answer = client.messages.create(model=model, messages=ASK, max_tokens=46, system="Be brief.")
    assert answer.usage.output_tokens > 0
    return _said(answer.content[0].text, answer.stop_reason, answer.id)


@way("anthropic messages, async")
def messages_async(url: str, model: str) -> Any:
    async def ask() -> Any:
        client: Any
        async with anthropic.AsyncAnthropic(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
            return await client.messages.create(model=model, messages=ASK, max_tokens=47)

    return _said(asyncio.run(ask()).content[0].text)


@way("anthropic messages, streamed")
def messages_streamed(url: str, model: str) -> Any:
    with (
        _anthropic(url) as client,
        client.messages.stream(model=model, messages=ASK, max_tokens=48) as stream,
    ):
        pieces = "".join(stream.text_stream)
        answer = stream.get_final_message()
    assert answer.content[0].text == pieces
    assert answer.usage.output_tokens > 0
    return _said(pieces, answer.stop_reason)


@way("anthropic messages, tools")
def messages_tools(url: str, model: str) -> Any:
    tools: Any = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}]
    with _anthropic(url) as client:
        answer = client.messages.create(
            model=model,
            messages=ASK,
            max_tokens=200,
            tools=tools,
            tool_choice={"type": "any"},
        )
        (call,) = [block for block in answer.content if block.type == "tool_use"]
        assert call.input.keys() == {"city"}
        result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
        spoken: Any = [*ASK, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
        last = client.messages.create(model=model, messages=spoken, max_tokens=200, tools=tools)
    assert answer.stop_reason == "tool_use"
    return call.name, call.input, last.model_dump()["content"]


@way("anthropic messages, streamed tools")
def messages_streamed_tools(url: str, model: str) -> Any:
    tools: Any = [{"name": TOOL["name"], "input_schema": TOOL["parameters"]}]
    with (
        _anthropic(url) as client,
        client.messages.stream(
            model=model,
            messages=ASK,
            max_tokens=201,
            tools=tools,
            tool_choice={"type": "any"},
        ) as stream,
    ):
        (call,) = [block for block in stream.get_final_message().content if block.type == "tool_use"]
    assert call.input.keys() == {"city"}
    return call.name, call.input


@way("anthropic messages, raw response")
def messages_raw(url: str, model: str) -> Any:
    with _anthropic(url) as client:
        raw = client.messages.with_raw_response.create(model=model, messages=ASK, max_tokens=49)
        assert raw.headers["x-ostinato-call-id"]
        return _said(raw.parse().content[0].text)


@way("anthropic count_tokens")
def count_tokens(url: str, model: str) -> Any:
    with _anthropic(url) as client:
        counted = client.messages.count_tokens(model=model, messages=ASK).input_tokens
    assert counted > 0
    return counted


@way("curl chat, streamed")
def curl(url: str, model: str) -> Any:
    program = shutil.which("curl")
    if program is None:
        raise MissingClientError("curl is not on PATH")
    body = json.dumps({"model": model, "messages": ASK, "max_tokens": 50, "stream": True})
    command = [program, "-sSN", f"{url}/v1/chat/completions", "-H", "content-type: application/json", "-d", body]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    assert said.endswith("data: [DONE]\n\n")
    return _said("".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]))


# Clients that `make matrix` installs beside; without it they are missing.

INSTALLED_BESIDE = {"LangChain ChatOpenAI", "LangChain ChatAnthropic", "npm openai"}
BESIDE = Path(__file__).resolve().parents[2] / "build" / "matrix"

_LANGCHAIN = """
import sys
kind, url, model = sys.argv[1:]
if kind == "openai":
    from langchain_openai import ChatOpenAI
    chat = ChatOpenAI(model=model, base_url=url + "/v1", api_key="any", max_tokens=51, max_retries=0)
else:
    from langchain_anthropic import ChatAnthropic
    chat = ChatAnthropic(model=model, base_url=url, api_key="any", max_tokens=51, max_retries=0)
whole = chat.invoke("hello").text
pieces = "".join(piece.text for piece in chat.stream("hello"))
assert whole == pieces, (whole, pieces)
print(whole)
"""

_NODE = """
import OpenAI from "openai";
const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: "any", maxRetries: 0 });
const asked = { model, messages: [{ role: "user", content: "hello" }], max_tokens: 52 };
const whole = (await client.chat.completions.create(asked)).choices[0].message.content;
let pieces = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  pieces += chunk.choices[0]?.delta?.content ?? "";
}
const answer = await client.responses.create({ model, input: "hello", max_output_tokens: 52 });
if (whole !== pieces || !answer.output_text) throw new Error(`${whole} | ${pieces} | ${answer.output_text}`);
console.log(whole);
"""


def _run(command: list[str | Path], **how: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(command, check=False, capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def _langchain(kind: str, url: str, model: str) -> Any:
    python = BESIDE / "bin" / "python"
    if (
        not python.exists()
        or subprocess.run([python, "-c", f"import langchain_{kind}"], check=False, capture_output=True).returncode
    ):
        raise MissingClientError(f"langchain-{kind} is installed by `make matrix`")
    return _said(_run([python, "-W", "ignore", "-c", _LANGCHAIN, kind, url, model]))


@way("LangChain ChatOpenAI")
def langchain_openai(url: str, model: str) -> Any:
    return _langchain("openai", url, model)


@way("LangChain ChatAnthropic")
def langchain_anthropic(url: str, model: str) -> Any:
    return _langchain("anthropic", url, model)


@way("npm openai")
def node_openai(url: str, model: str) -> Any:
    node = shutil.which("node")
    if node is None or not (BESIDE / "node_modules" / "openai").is_dir():
        raise MissingClientError("the npm client is installed by `make matrix`, where there is node")
    return _said(_run([node, "--input-type=module", "-e", _NODE, "-", url, model], cwd=BESIDE))
