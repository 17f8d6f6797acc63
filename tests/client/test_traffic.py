"""Every recorded exchange, served again over HTTP, through the public call: read whole, cached, streamed again."""

from __future__ import annotations

import asyncio
import base64
import http.server
import socketserver
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest

import ostinato
from ostinato import APIError, Cache
from tests.corpus import open_index, open_records

DOORS = {
    ("openai", "chat"): "openai/",
    ("deepseek", "chat"): "deepseek/",
    ("other-openai-compatible", "chat"): "openai_compatible/",
    ("openai", "responses"): "openai/responses/",
    ("deepseek", "responses"): "deepseek/responses/",
    ("other-openai-compatible", "responses"): "openai_compatible/responses/",
    ("anthropic", "messages"): "anthropic/",
    ("bedrock-converse", "converse"): "bedrock/converse/",
    ("bedrock-converse", "converse-stream"): "bedrock/converse/",
    ("bedrock-invoke", "invoke"): "bedrock/invoke/anthropic.",
    ("bedrock-invoke", "invoke-stream"): "bedrock/invoke/anthropic.",
}
ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "x-ds-trace-id", "apim-request-id")
HELLO = [{"role": "user", "content": "hello"}]
NOT_KEPT = {"max-tokens", "reasoning", "server-tools", "vendor:perplexity", "stop-sequence-hit"}
"""Tags under which answers are found that are rightly not stored: a tool argument that was cut, reasoning and
nothing else, what the vendor searched for, an answer that a stop sequence left empty."""
NOT_KEPT_IDS = {"oai-resp-5c49402844": "queued", "ant-msg-6fd2a375bd": "it has no content"}
"""Others that are rightly not stored."""
SERVER_CALLS = {"brc-conv-3adfaf6830", "brc-conv-b4e4f16a14", "brc-conv-f7defaee40", "brc-convs-384ad3d02a"}
"""Answers of which the index counts the calls that the vendor made itself."""
NOT_STORED = {"mid-stream-error", "truncated-stream", "error-in-200", "content-filter", "refusal", "guardrail"}


def body_of(response: dict[str, Any]) -> bytes:
    if "json" in response:
        return msgspec.json.encode(response["json"])
    if "sse_text" in response:
        return str(response["sse_text"]).encode()
    if "eventstream_base64" in response:
        return base64.b64decode(response["eventstream_base64"])
    return str(response.get("text", "")).encode()


class Player(http.server.BaseHTTPRequestHandler):
    """Answers with the recorded bytes of the record that a request names."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    records: ClassVar[dict[str, dict[str, Any]]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        response = self.records[self.headers["x-record"]]["response"]
        body = body_of(response)
        self.send_response(response["status"])
        for name, value in response["headers"].items():
            if name not in {"content-length", "transfer-encoding", "content-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        for size in response.get("chunk_bytes") or [len(body)]:
            self.wfile.write(body[:size])
            self.wfile.flush()
            body = body[size:]
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def player() -> Iterator[str]:
    Player.records = {record["id"]: record for record in open_records()}
    with Server(("127.0.0.1", 0), Player) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "DEEPSEEK", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "k")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "k")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


class Asked:
    """One record, asked for in one world."""

    def __init__(self, record: dict[str, Any], base_url: str) -> None:
        self.record = record
        self.streams = "sse_text" in record["response"] or "eventstream_base64" in record["response"]
        model = (record["request"]["json"] or {}).get("model") or "claude-3-haiku"
        self.call: dict[str, Any] = {
            "model": DOORS[record["provider"], record["api"]] + str(model).rpartition("/")[2],
            "messages": HELLO,
            "api_base": base_url,
            "num_retries": 0,
            "extra_headers": {"x-record": record["id"]},
            "stream_options": {"include_usage": True},
        }
        self.awaits = int(record["id"][-1], 16) % 3 == 0

    def __call__(self, *, stream: bool, cache: Cache | None = None) -> Any:
        return asyncio.run(self._await(stream, cache)) if self.awaits else self._wait(stream, cache)

    def _wait(self, stream: bool, cache: Cache | None) -> Any:
        answer = ostinato.completion(**self.call, stream=stream, cache=cache)
        return list(answer) if stream else answer

    async def _await(self, stream: bool, cache: Cache | None) -> Any:
        answer: Any = await ostinato.acompletion(**self.call, stream=stream, cache=cache)
        return [chunk async for chunk in answer] if stream else answer


def recorded(provider: str, api: str) -> list[dict[str, Any]]:
    return [record for record in open_records(api=api, provider=provider) if "non-anthropic-body" not in record["tags"]]


def said(answer: Any) -> tuple[str, str, list[tuple[str, Any]]]:
    """Return what an answer says, streamed or not: text, reasoning, the names and arguments of its calls."""
    streamed = isinstance(answer, list)
    choices = [choice for chunk in answer for choice in chunk.choices] if streamed else answer.choices
    content, reasoning, calls = "", "", dict[Any, list[str]]()
    for choice in choices:
        if choice.index != 0:
            continue
        message = choice.delta if streamed else choice.message
        content += message.content or ""
        reasoning += message.reasoning_content or ""
        for place, call in enumerate(message.tool_calls or []):
            function = call.function or call.custom or {}
            held = calls.setdefault(call.index if streamed else place, ["", ""])
            held[0] += function.get("name") or ""
            held[1] += function.get("arguments") or function.get("input") or ""
        if message.function_call:
            held = calls.setdefault("function_call", ["", ""])
            held[0] += message.function_call.name or ""
            held[1] += message.function_call.arguments or ""
    return content, reasoning, [(name, as_json(arguments)) for name, arguments in calls.values()]


def as_json(arguments: str) -> Any:
    """Return arguments decoded: a vendor that sends an object has no text of its own when it does not stream."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def pieces(chunks: list[Any]) -> list[Any]:
    """Return the pieces of text that a stream came in."""
    return [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]


@pytest.mark.parametrize(("provider", "api"), DOORS)
def test_every_recorded_answer_is_read_cached_and_given_again(provider: str, api: str, player: str) -> None:
    index = open_index()
    read = 0
    for record in recorded(provider, api):
        if record["response"]["status"] >= 400 or NOT_STORED.intersection(record["tags"]):
            continue
        ask, cache, name = Asked(record, player), Cache.memory(), record["id"]
        live = ask(stream=ask.streams, cache=cache)
        if not cache.stats()["stored"]:
            assert NOT_KEPT.intersection(record["tags"]) or name in NOT_KEPT_IDS, name
            continue
        whole = ask(stream=False, cache=cache)
        again = ask(stream=True, cache=cache)
        read += 1

        assert whole.cache_hit, name
        assert again[0].cache_hit, name
        if ask.streams:
            assert pieces(live) == pieces(again), name
        else:
            assert whole == live, name
        assert said(whole) == said(again), name
        if len(whole.choices) == 1:
            assert said(live) == said(whole), name
            if "server-tools" not in record["tags"] and name not in SERVER_CALLS:
                assert len(said(whole)[2]) == index[name]["tool_calls"], name
        usage = whole.usage
        counted = [chunk.usage for chunk in again if chunk.usage is not None]
        assert (counted[-1] if counted else None) == usage, name
        if ask.streams:
            paid = [chunk.usage for chunk in live if chunk.usage is not None]
            assert (paid[-1] if paid else None) == usage, name
        if usage is not None:
            assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, name
            read_and_written = usage.cache_read_input_tokens + usage.cache_creation_input_tokens
            assert usage.uncached_tokens + read_and_written == usage.prompt_tokens, name

    assert read, "there is no such record"


@pytest.mark.parametrize(("provider", "api"), DOORS)
def test_every_recorded_error_is_raised_with_its_facts_and_nothing_is_stored(
    provider: str, api: str, player: str
) -> None:
    for record in recorded(provider, api):
        failing = {"mid-stream-error", "truncated-stream", "error-in-200"}.intersection(record["tags"])
        if record["response"]["status"] < 400 and not failing:
            continue
        ask, cache = Asked(record, player), Cache.memory()
        name = record["id"]
        with pytest.raises(APIError) as caught:
            ask(stream=record["stream"], cache=cache)

        assert cache.stats()["stored"] == 0, name
        assert caught.value.message, name
        assert caught.value.provider == DOORS[provider, api].partition("/")[0], name
        sent = record["response"]["headers"]
        ids = [sent[header] for header in ID_HEADERS if header in sent]
        assert not ids or caught.value.request_id in ids, name
        if record["response"]["status"] >= 400:
            assert caught.value.status_code == record["response"]["status"] or caught.value.status_code, name
        waits = record["response"]["headers"].get("retry-after")
        if waits and waits.isdecimal() and record["response"]["status"] >= 400:
            assert caught.value.retry_after is not None, name


def test_a_key_that_an_event_repeats_and_the_id_of_the_request_are_told_apart(player: str) -> None:
    event = 'data: {"error":{"message":"the key planted-key-1 is wrong"}}\n\n'
    headers = {"content-type": "text/event-stream", "x-request-id": "req_1"}
    Player.records["own"] = {"id": "own", "response": {"status": 200, "headers": headers, "sse_text": event}}
    call: dict[str, Any] = {"api_base": player, "api_key": "planted-key-1", "extra_headers": {"x-record": "own"}}

    with pytest.raises(APIError) as caught:
        list(ostinato.completion("openai/gpt-4o", HELLO, stream=True, num_retries=0, **call))

    assert "planted-key-1" not in f"{caught.value} {caught.value.message} {caught.value.body}"
    assert (caught.value.request_id, caught.value.provider) == ("req_1", "openai")
