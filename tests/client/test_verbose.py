"""`ostinato.set_verbose`: what goes over the wire, on stderr, without the secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import ostinato
from ostinato import APIError, Cache, embedding
from ostinato.testing.emulator import Emulator, Reply
from tests.client import test_vendors
from tests.client.calls import HELLO, MODEL
from tests.client.test_vendors import MODELS

vendors = test_vendors.vendors
"""Every vendor at the emulator, for every test here."""


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Turn it on; return what has been shown on stderr since the last time. Nothing is ever shown on stdout."""
    ostinato.set_verbose = True

    def read() -> str:
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return read


def test_nothing_is_shown_unless_it_is_on(ask: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    with Cache.memory():
        ask(MODEL, HELLO)
        ask(MODEL, HELLO, stream=True)

    assert capsys.readouterr() == ("", "")


def test_it_can_be_turned_on_and_off_between_calls(ask: Callable[..., Any], shown: Callable[[], str]) -> None:
    ask(MODEL, HELLO)
    on = shown()
    ostinato.set_verbose = False
    ask(MODEL, HELLO)

    assert on
    assert not shown()


@pytest.mark.parametrize("name", MODELS)
def test_request_and_answer_are_shown_as_they_are(
    name: str, ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    answer = ask(MODELS[name], HELLO, max_tokens=50)
    lines = shown().splitlines()
    call = emulator.calls[0]
    asked = next(index for index, line in enumerate(lines) if line.startswith("ostinato ← 200"))

    assert lines[0] == f"ostinato → POST {emulator.url}{call.path}"
    assert f"  {call.raw.decode()}" in lines[:asked]
    assert "  content-type: application/json" in lines[:asked]
    assert any(answer.choices[0].message.content in line for line in lines[asked:])


@pytest.mark.parametrize("name", MODELS)
def test_no_vendor_s_key_is_shown(
    name: str, ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    ask(MODELS[name], HELLO, max_tokens=50)
    ask(MODELS[name], HELLO, max_tokens=50, stream=True)
    said = shown()
    keys = [value.removeprefix("Bearer ") for key, value in emulator.calls[0].headers.items() if key in SECRET]

    assert keys
    assert all(key not in said for key in keys)
    assert said.count(": ***") >= 2


SECRET = {"authorization", "x-api-key", "api-key"}


@pytest.mark.parametrize("name", MODELS)
def test_events_of_a_stream_are_shown_as_they_come(
    name: str, ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    emulator.script(Reply(pieces=("one", "two", "three")))
    ask(MODELS[name], HELLO, max_tokens=50, stream=True)
    lines = shown().splitlines()
    opened = next(index for index, line in enumerate(lines) if line.startswith("ostinato ← 200"))
    events = [line for line in lines[opened:] if line.startswith("ostinato ← {")]

    assert any("(a stream)" in line for line in lines[opened:])
    assert [word for line in events for word in ("one", "two", "three") if f'"{word}"' in line][:3] == [
        "one",
        "two",
        "three",
    ]


def test_event_is_shown_before_the_next_one_is_there(emulator: Emulator, shown: Callable[[], str]) -> None:
    import threading

    gate = threading.Event()
    emulator.script(Reply(pieces=("one", "two"), gates={2: gate}))
    stream: Any = ostinato.completion(MODEL, HELLO, stream=True)
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content == "one":
            break
    before = shown()
    gate.set()
    list(stream)

    assert '"one"' in before
    assert '"two"' not in before
    assert '"two"' in shown()


@pytest.mark.parametrize("stream", [False, True])
def test_hit_is_shown_as_one_with_its_key_and_nothing_is_sent(
    stream: bool, ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    with Cache.memory():
        key = ask(MODEL, HELLO)._hidden_params["cache_key"]
        shown()
        ask(MODEL, HELLO, stream=stream)

    assert shown() == f"ostinato ← response cache, key {key}\n"
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_error_and_every_try_are_shown(
    stream: bool, ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    emulator.script(Reply(status=503, error="too much at once", headers={"retry-after": "0.001"}), times=None)
    with pytest.raises(APIError):
        ask(MODEL, HELLO, stream=stream, num_retries=2)
    said = shown()

    assert said.count("ostinato → POST") == said.count("ostinato ← 503") == len(emulator.calls) == 3


def test_reason_that_a_stream_was_refused_is_shown(
    ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    emulator.script(Reply(status=400, error="no such thing"))
    with pytest.raises(APIError):
        ask(MODEL, HELLO, stream=True)

    assert "no such thing" in shown()


def test_url_is_shown_without_what_is_secret_in_it(ask: Callable[..., Any], shown: Callable[[], str]) -> None:
    ask(MODEL, HELLO, extra_query={"version": "7", "api_key": "hidden-1", "sig": "hidden-2"})
    first = shown().splitlines()[0]

    assert first.endswith("?version=7&api_key=***&sig=***")


def test_header_of_ones_own_is_shown_unless_its_name_is_a_secret_s(
    ask: Callable[..., Any], shown: Callable[[], str]
) -> None:
    ask(MODEL, HELLO, extra_headers={"x-feature": "plain", "x-session-token": "hidden-3", "X-Auth": "hidden-4"})
    said = shown()

    assert "  x-feature: plain\n" in said
    assert "hidden" not in said


def test_counts_of_tokens_in_headers_are_no_secrets(
    ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    count = "x-amzn-bedrock-input-token-count"
    emulator.script(Reply(headers={count: "17", "set-cookie": "hidden-5"}))
    ask(MODELS["bedrock invoke"], HELLO)
    said = shown()

    assert f"  {count}: 17\n" in said
    assert "hidden" not in said


def test_very_long_body_is_cut_and_says_how_long_it_is(ask: Callable[..., Any], shown: Callable[[], str]) -> None:
    ask(MODEL, [{"role": "user", "content": "x" * 300_000}])
    said = shown()

    assert 100_000 < len(said) < 110_000
    assert "bytes in all)" in said


def test_bytes_that_are_no_text_are_shown_all_the_same(
    ask: Callable[..., Any], shown: Callable[[], str], emulator: Emulator
) -> None:
    emulator.script(Reply(raw_body=b"\xff\xfe{}"))
    with pytest.raises(APIError):
        ask(MODEL, HELLO, num_retries=0)

    assert "{}" in shown()


def test_embeddings_and_what_was_hit_of_them_are_shown_too(shown: Callable[[], str]) -> None:
    with Cache.memory():
        embedding("openai/text-embedding-3-small", ["a", "b"])
        paid = shown()
        asyncio.run(ostinato.aembedding("openai/text-embedding-3-small", ["b", "a", "c"]))
        partly = shown()

    assert "/embeddings" in paid
    assert '"input":["a","b"]' in paid
    assert '"input":["c"]' in partly
    assert partly.count("ostinato ← response cache, key ") == 2
