"""Planted secrets, told from other words by no pattern, searched for in all that a user can lay hands on."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest

import ostinato
from ostinato import Cache, OstinatoError
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO

PREFIXED = "sk-planted-8f3a2b1c9d7e6f5a4b3c2d1e0f9a8b7c"
PLAIN = "Zq8vT3nLw5xYb2Rk9mJc7HdP4sGf6AeU"
"""As Azure, Mistral and many a server of one's own write keys."""
WITH_SIGNS = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY="
"""As AWS writes secrets and bearer tokens."""
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
MODELS = (
    "openai/gpt-4o",
    "openai/responses/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    f"bedrock/converse/{CLAUDE}",
    f"bedrock/invoke/{CLAUDE}",
    "groq/llama-3.3-70b-versatile",
)
OURS = ("ostinato", "httpx2", "httpcore2")


CALLS: dict[str, dict[str, Any]] = {
    "environment": {"model": "openai/gpt-4o"},
    "parameter": {"model": "openai/gpt-4o", "api_key": PREFIXED},
    "header": {"model": "openai/gpt-4o", "extra_headers": {"authorization": f"Bearer {PREFIXED}"}},
    "anthropic": {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 50},
    "bedrock bearer": {"model": "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0"},
    "bedrock signed": {
        "model": "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": PREFIXED,
        "aws_session_token": PREFIXED,
    },
}


@pytest.fixture(params=[PREFIXED, PLAIN, WITH_SIGNS], ids=["prefixed", "plain", "with signs"])
def secret(request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Plant a secret as the key of every vendor."""
    planted = str(request.param)
    for name in ("OPENAI", "ANTHROPIC", "GROQ"):
        monkeypatch.setenv(f"{name}_API_KEY", planted)
        monkeypatch.setenv(f"{name}_BASE_URL", emulator.base_url)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", planted)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)
    return planted


def everything(value: object, seen: dict[int, object] | None = None) -> str:
    """Return the text of a value and of all that can be reached from it: members, slots, causes."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return ""
    seen[id(value)] = value
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    said = [repr(value)]
    if isinstance(value, dict):
        said += [everything(item, seen) for pair in list(value.items()) for item in pair]
    elif isinstance(value, list | tuple | set | frozenset):
        said += [everything(item, seen) for item in value]
    if isinstance(value, BaseException) or type(value).__module__.startswith(OURS):
        slots = [name for cls in type(value).__mro__ for name in cls.__dict__.get("__slots__", ())]
        said += [everything(getattr(value, name, None), seen) for name in slots]
        said += [everything(dict(getattr(value, "__dict__", {})), seen)]
    if isinstance(value, BaseException):
        said += [everything(part, seen) for part in (value.args, value.__cause__, value.__context__)]
        said += traceback.format_exception(value)
    return "\n".join(said)


def ask(**call: Any) -> Any:
    answer: Any = ostinato.completion(**{"model": MODELS[0], "messages": HELLO, "num_retries": 0, **call})
    return list(answer) if call.get("stream") else answer


@pytest.mark.parametrize("secret", [PREFIXED], indirect=True)
@pytest.mark.parametrize("mode", ["default_on", "record"])
@pytest.mark.parametrize("name", CALLS)
def test_secret_is_in_no_file_no_key_no_log_and_no_answer(
    name: str, mode: Any, secret: str, tmp_path: Path, emulator: Emulator, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
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
    out, err = capsys.readouterr()

    sent = " ".join(emulator.calls[0].headers.values())
    assert secret in sent or name == "bedrock signed"
    assert len(files) > 1
    assert not any(secret.encode() in content for content in files)
    assert secret not in "\n".join([*shown, out, err, caplog.text])
    assert "***" in err


REPEATS: dict[str, Reply] = {
    "in its words": Reply(status=401, error="Incorrect API key provided: {}."),
    "in plain text": Reply(status=403, raw_body="bad key {}"),
    "deep inside": Reply(status=400, raw_body='{{"detail": {{"given": [{{"key": "{}"}}]}}}}'),
    "in a 200": Reply(raw_body='{{"error": {{"message": "key {} is blocked"}}}}'),
    "in a header": Reply(status=401, raw_body="", headers={"www-authenticate": "Bearer {}", "x-request-id": "{}"}),
    "in no JSON": Reply(raw_body="<p>{}</p>"),
}


def repeating(reply: Reply, secret: str) -> Reply:
    """Return `reply` with the secret in its places."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.format(secret)
        return {name: filled(item) for name, item in value.items()} if isinstance(value, dict) else value

    return Reply(
        status=reply.status,
        error=filled(reply.error),
        raw_body=filled(reply.raw_body),
        headers=filled(dict(reply.headers)),
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("repeats", REPEATS)
def test_vendor_that_repeats_the_key_is_not_repeated(
    repeats: str, model: str, stream: bool, secret: str, emulator: Emulator,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ostinato.set_verbose = True
    emulator.script(repeating(REPEATS[repeats], secret), times=None)
    error = None
    # The HTTP library logs what a vendor puts into its headers, at DEBUG: that is the vendor's and the library's.
    with (
        caplog.at_level(logging.DEBUG, "httpcore2" if repeats != "in a header" else "ostinato"),
        Cache.memory() as cache,
    ):
        try:
            ask(model=model, stream=stream)
        except OstinatoError as caught:
            error = caught
    shown = capsys.readouterr().err

    assert secret in " ".join(emulator.calls[0].headers.values())
    assert error is not None or (stream and repeats == "in a 200")
    assert "***" in shown
    for where in (everything(error), shown, caplog.text, everything(cache.stats())):
        assert secret not in where


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize("stream", [False, True])
def test_error_does_not_repeat_a_key_that_the_vendor_repeats(
    status: int, stream: bool, secret: str, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.script(Reply(status=status, error=f"Incorrect API key provided: {secret}."), times=None)
    with caplog.at_level(logging.DEBUG), pytest.raises(OstinatoError) as caught:
        ostinato.completion("openai/gpt-4o", HELLO, stream=stream, num_retries=0)

    assert secret not in everything(caught.value) + caplog.text


@pytest.mark.parametrize("model", MODELS)
def test_stream_that_ends_with_the_key_does_not_show_it(
    model: str, emulator: Emulator, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ostinato.set_verbose = True
    emulator.script(Reply(error_after_events=1, error=f"{secret} ran out"), times=None)
    with pytest.raises(OstinatoError) as caught:
        ask(model=model, stream=True)

    assert secret not in capsys.readouterr().err
    assert secret not in everything(caught.value)


WAYS: dict[str, dict[str, Any]] = {
    "password in the URL": {"api_base": "http://user:{}@127.0.0.1:9/v1"},
    "password in the URL of another kind": {"api_base": "ftp://user:{}@127.0.0.1:9/v1"},
    "password in no URL": {"api_base": "user:{}@127.0.0.1/v1"},
    "password before a wrong port": {"api_base": "http://user:{}@127.0.0.1:port/v1"},
    "password before a wrong host": {"api_base": "http://user:{}@[::1/v1"},
    "key in place of the URL": {"api_base": "{}"},
    "key in the query": {"api_base": "http://127.0.0.1:9/v1", "extra_query": {"api-key": "{}"}},
    "nobody listens": {"api_base": "http://127.0.0.1:9/v1"},
    "no such host": {"api_base": "http://nowhere.invalid/v1"},
    "line break in the key": {"api_key": "{}\nx-evil: 1"},
    "accent in the key": {"api_key": "{}é"},
    "key that is no text": {"api_key": ["{}"]},
    "line break in a header": {"extra_headers": {"ocp-apim-subscription-key": "{}\n"}},
    "header that is no text": {"extra_headers": {"x-auth": ["{}"]}},
    "headers that are none": {"extra_headers": "authorization: {}"},
    "query that is none": {"extra_query": "key={}"},
    "key in the query of no such host": {"api_base": "http://nowhere.invalid/v1", "extra_query": {"key": "{}"}},
    "line break in a token's header": {"extra_headers": {"x-token": "{}\n"}},
}


def filled(value: Any, secret: str) -> Any:
    """Return `value` with the secret in its places."""
    if isinstance(value, dict):
        return {name: filled(item, secret) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, secret) for item in value]
    return value.replace("{}", secret)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", WAYS)
def test_error_on_the_way_shows_no_secret_in_any_of_its_parts(
    way: str, stream: bool, secret: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    ostinato.set_verbose = True
    with caplog.at_level(logging.DEBUG), Cache.memory(), pytest.raises(OstinatoError) as caught:
        ask(**filled(WAYS[way], secret), stream=stream)

    assert "please report" not in str(caught.value)
    assert secret not in everything(caught.value)
    assert secret not in capsys.readouterr().err + caplog.text


def test_aws_repeats_what_was_signed_and_we_do_not(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """AWS quotes the canonical request, session token included, when a signature is wrong."""
    pytest.importorskip("botocore", reason="signing needs ostinato[bedrock]")
    ostinato.set_verbose = True
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)
    said = f"The Canonical String for this request should have been 'POST x-amz-security-token:{WITH_SIGNS} host'"
    emulator.script(Reply(status=403, error=said), times=None)
    with pytest.raises(OstinatoError) as caught:
        ask(
            model=MODELS[3],
            aws_region_name="us-east-1",
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key=PLAIN,
            aws_session_token=WITH_SIGNS,
        )
    shown = capsys.readouterr().err

    for secret in (PLAIN, WITH_SIGNS, "AKIAIOSFODNN7EXAMPLE"):
        assert secret not in everything(caught.value)
    for secret in (PLAIN, WITH_SIGNS):
        assert secret not in shown


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "ocp-apim-subscription-key", "cookie", "x-auth"])
def test_secret_of_a_header_of_ones_own_stays_on_the_wire(
    header: str, secret: str, tmp_path: Path, emulator: Emulator, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ostinato.set_verbose = True
    kept: list[object] = []
    other = {"api_key": "another", "extra_headers": {header: secret}}
    with caplog.at_level(logging.DEBUG), Cache.disk(cache_path_root=tmp_path, mode="record") as cache:
        kept += [ask(**other), ask(**other, stream=True), cache, cache.stats(), list(cache.store.scan())]
    with Cache.disk(cache_path_root=tmp_path, mode="replay"):
        kept += [ask(**other)]
        with pytest.raises(OstinatoError) as caught:
            ask(**other, temperature=0.5)
    shown = capsys.readouterr().err
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert emulator.calls[0].headers[header] == secret
    assert b"hello" in files
    assert secret.encode() not in files
    for where in (everything(kept), everything(caught.value), shown, caplog.text):
        assert secret not in where


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_answers_streams_and_embeddings_hold_no_secret(
    stream: bool, secret: str, tmp_path: Path, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    ostinato.set_verbose = True
    kept: list[object] = []
    with Cache.disk(cache_path_root=tmp_path) as cache:
        for _ in range(2):
            answer: Any = ostinato.completion(MODELS[0], HELLO, stream=stream)
            kept += [list(answer) if stream else answer, repr(answer), answer._hidden_params]
            vectors: Any = ostinato.embedding("openai/text-embedding-3-small", ["a"])
            kept += [vectors, vectors._hidden_params, cache.stats()]
        kept += list(cache.store.scan())
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert len(emulator.calls) == 2
    assert secret.encode() not in files
    assert secret not in everything(kept) + capsys.readouterr().err + msgspec.json.encode(kept[0]).decode()


def test_key_of_an_entry_is_the_same_whoever_pays(emulator: Emulator) -> None:
    with Cache.memory():
        first: Any = ostinato.completion("openai/gpt-4o", HELLO, api_key="one")
        second: Any = ostinato.completion("openai/gpt-4o", HELLO, api_key="two")

    assert second.cache_hit
    assert first._hidden_params["cache_key"] == second._hidden_params["cache_key"]
