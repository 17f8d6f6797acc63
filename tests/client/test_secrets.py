"""A planted secret, searched for everywhere: files, keys, logs, errors, what a user prints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import ostinato
from ostinato import Cache, OstinatoError
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO

SECRET = "sk-planted-8f3a2b1c9d7e6f5a4b3c2d1e0f9a8b7c"
CALLS: dict[str, dict[str, Any]] = {
    "environment": {"model": "openai/gpt-4o"},
    "parameter": {"model": "openai/gpt-4o", "api_key": SECRET},
    "header": {"model": "openai/gpt-4o", "extra_headers": {"authorization": f"Bearer {SECRET}"}},
    "anthropic": {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 50},
    "bedrock bearer": {"model": "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0"},
    "bedrock signed": {
        "model": "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": SECRET,
        "aws_session_token": SECRET,
    },
}


@pytest.fixture(autouse=True)
def planted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", emulator.anthropic_url)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)


def everything_said(error: BaseException | None) -> str:
    """Return what an error, its causes and all they carry say."""
    said = []
    while error is not None:
        said += [repr(error), str(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(said)


@pytest.mark.parametrize("mode", ["default_on", "record"])
@pytest.mark.parametrize("name", CALLS)
def test_secret_is_in_no_file_no_key_no_log_and_no_answer(
    name: str, mode: Any, tmp_path: Path, emulator: Emulator, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ostinato.set_verbose = True
    shown = []
    with caplog.at_level(logging.DEBUG), Cache.disk(cache_path_root=tmp_path, mode=mode) as cache:
        call = {**CALLS[name], "messages": HELLO}
        answer: Any = ostinato.completion(**call)
        shown += [repr(answer), repr(answer._hidden_params), answer.model_dump_json()]
        stream: Any = ostinato.completion(**call, stream=True)
        shown += [repr(list(stream)), repr(stream), repr(stream._hidden_params), repr(cache), repr(cache.stats())]
        shown += [repr(key) + repr(value) for key, value in cache.store.scan()]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    out, err = capfd.readouterr()

    sent = " ".join(emulator.calls[0].headers.values())
    assert SECRET in sent or name == "bedrock signed"
    assert len(files) > 1
    assert not any(SECRET.encode() in content for content in files)
    assert SECRET not in "\n".join([*shown, out, err, caplog.text])
    assert "***" in err


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize("stream", [False, True])
def test_error_does_not_repeat_a_key_that_the_vendor_repeats(
    status: int, stream: bool, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.script(Reply(status=status, error=f"Incorrect API key provided: {SECRET}."), times=None)
    with caplog.at_level(logging.DEBUG), pytest.raises(OstinatoError) as caught:
        ostinato.completion("openai/gpt-4o", HELLO, stream=stream, num_retries=0)

    assert SECRET not in everything_said(caught.value) + caplog.text


@pytest.mark.parametrize(
    "call",
    [
        {"api_base": f"http://user:{SECRET}@127.0.0.1:9/v1"},
        {"api_base": "http://127.0.0.1:9/v1"},
        {"api_base": "http://nowhere.invalid/v1", "extra_query": {"key": SECRET}},
        {"api_key": f"{SECRET}\nx-evil: 1"},
        {"extra_headers": {"x-token": f"{SECRET}\n"}},
        {"api_key": f"{SECRET}é"},
    ],
    ids=["password in the URL", "refused", "key in the query", "newline in the key", "newline in a header", "accent"],
)
def test_error_on_the_way_does_not_tell_the_key(call: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Cache.memory(), pytest.raises(OstinatoError) as caught:
        ostinato.completion("openai/gpt-4o", HELLO, num_retries=0, **call)

    assert SECRET not in everything_said(caught.value) + caplog.text


def test_key_of_an_entry_is_the_same_whoever_pays(emulator: Emulator) -> None:
    with Cache.memory():
        first: Any = ostinato.completion("openai/gpt-4o", HELLO, api_key="one")
        second: Any = ostinato.completion("openai/gpt-4o", HELLO, api_key="two")

    assert second.cache_hit
    assert first._hidden_params["cache_key"] == second._hidden_params["cache_key"]
