"""Two tenants side by side on every endpoint, in every dialect: nothing of one reaches the other."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ostinato.gateway.books import Books
from ostinato.testing.emulator import Emulator
from tests.gateway.serving import Serving, config_for
from tests.gateway.test_team import MASTER, WITH_MASTER, bearer, key, spend

CONTROLS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"namespace": "n"},
    {"tags": ["t"]},
    {"ttl": 60},
    {"s-maxage": 600},
    {"namespace": "tenant:one"},
    {"namespace": "group:g", "tags": ["t", "u"]},
)
PATHS = {
    "/v1/chat/completions": ("gpt", "claude", "deepseek"),
    "/v1/messages": ("claude", "gpt"),
    "/v1/responses": ("responses", "gpt"),
    "/v1/completions": ("gpt",),
    "/v1/embeddings": ("embed",),
    "/v1/messages/count_tokens": ("claude", "gpt"),
}


@pytest.fixture
def http(emulator: Emulator, tmp_path: Path) -> Iterator[httpx2.Client]:
    with (
        Serving(config_for(emulator, WITH_MASTER), books=Books(tmp_path / "gateway.db")) as serving,
        httpx2.Client(base_url=serving.url, timeout=30) as client,
    ):
        yield client


def body_of(path: str, model: str, text: str, *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model}
    match path.rpartition("/")[2]:
        case "embeddings":
            return body | {"input": [text, f"{text}!"]}
        case "responses":
            body |= {"input": text}
        case "completions" if "chat" not in path:
            body |= {"prompt": text}
        case _:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 50}
    return body | ({"stream": True} if stream else {})


def ask_both(http: httpx2.Client, count: int) -> None:
    """Have two tenants ask the same in turn, by chance again and again; each is to hit its own alone."""
    dice = random.Random(11)
    who = {name: bearer(key(http, id=name, tenant=name)) for name in ("one", "two")}
    asked: dict[str, set[tuple[Any, ...]]] = {name: set() for name in who}
    keys: dict[str, set[str]] = {name: set() for name in who}
    answers: dict[tuple[Any, ...], dict[str, str]] = {}
    for number in range(count):
        name, path = dice.choice(list(who)), dice.choice(list(PATHS))
        call = path, dice.choice(PATHS[path]), f"question {dice.randrange(count // 60 + 2)}"
        stream = path not in {"/v1/embeddings", "/v1/messages/count_tokens"} and dice.random() < 0.4
        controls = dice.choice(CONTROLS)
        body = body_of(*call, stream=stream) | ({"cache": controls} if controls else {})
        answer = http.post(path, json=body, headers=who[name])
        assert answer.status_code == 200, (body, answer.text)
        if path.endswith("count_tokens"):
            continue
        said = answer.headers["x-ostinato-cache"]
        # What one tenant asked in one dialect may answer it in another, and two names may be one model.
        place = (call[1].replace("responses", "gpt"), call[2], controls.get("namespace"), "embeddings" in path)
        if said == "hit":
            assert place in asked[name], (number, name, place)
        else:
            assert said == "miss"
        asked[name].add(place)
        if answer.headers["x-ostinato-cache-key"]:
            keys[name].add(answer.headers["x-ostinato-cache-key"])
        if path == "/v1/chat/completions" and not stream:
            text = answer.json()["choices"][0]["message"]["content"]
            answers.setdefault((*place, path), {})[name] = text

    assert len(asked["one"]) > 5
    assert keys["one"].isdisjoint(keys["two"])
    shared = [told for told in answers.values() if len(told) == 2]
    assert shared
    assert all(told["one"] != told["two"] for told in shared)  # the emulator answers each payment differently
    assert {row["tenant"] for row in spend(http, "tenant")} == {"one", "two"}


def test_two_tenants_who_ask_the_same_never_read_each_other(http: httpx2.Client) -> None:
    ask_both(http, 600)


@pytest.mark.soak
def test_nor_do_they_in_ten_thousand_calls(http: httpx2.Client) -> None:
    ask_both(http, 10_000)


def test_no_key_of_a_tenant_removes_or_lists_what_another_has(http: httpx2.Client) -> None:
    one, two = bearer(key(http, id="one")), bearer(key(http, id="two"))
    body = body_of("/v1/chat/completions", "gpt", "hello", stream=False) | {"cache": {"tags": ["t"], "namespace": "n"}}
    first = http.post("/v1/chat/completions", json=body, headers=one)
    cache_key = first.headers["x-ostinato-cache-key"]
    tries: list[dict[str, Any]] = [
        {"keys": [cache_key]},
        {"keys": [cache_key], "namespace": "n"},
        {"tags": ["t"]},
        {"tags": ["t"], "namespace": "n"},
        {"all": True},
    ]
    for path in ("/cache/delete", "/cache/flush", "/cache/flushall"):
        for said in tries:
            assert http.post(path, json=said, headers=two).status_code == 403
            if said != {"all": True}:
                http.post(path, json=said, headers=bearer(MASTER))  # the master key's own entries, and no tenant's

    assert http.post("/v1/chat/completions", json=body, headers=one).headers["x-ostinato-cache"] == "hit"


@pytest.mark.parametrize(
    "forged",
    [
        {"x-forwarded-user": "one"},
        {"x-forwarded-for": "127.0.0.1"},
        {"x-tenant": "one", "x-ostinato-tenant": "one"},
        {"openai-organization": "one", "openai-project": "one"},
        {"cookie": "tenant=one"},
    ],
)
def test_no_header_makes_one_tenant_another(forged: dict[str, str], http: httpx2.Client) -> None:
    one, two = bearer(key(http, id="one")), bearer(key(http, id="two"))
    body = body_of("/v1/chat/completions", "gpt", "hello", stream=False)
    http.post("/v1/chat/completions", json=body, headers=one)

    assert http.post("/v1/chat/completions", json=body, headers={**two, **forged}).headers["x-ostinato-cache"] == "miss"
    assert http.post("/v1/chat/completions", json=body, headers=forged).status_code == 401
    assert http.get("/spend", headers={**two, **forged}).status_code == 403


def test_two_keys_at_once_are_one_of_them_in_everything(http: httpx2.Client) -> None:
    one, two = key(http, id="one"), key(http, id="two")
    body = body_of("/v1/chat/completions", "gpt", "hello", stream=False)
    http.post("/v1/chat/completions", json=body, headers=bearer(one))
    for headers in (
        [("authorization", f"Bearer {one}"), ("authorization", f"Bearer {two}")],
        [("authorization", f"Bearer {two}"), ("x-api-key", one)],
        [("authorization", f"Bearer {two}"), ("x-api-key", MASTER)],
    ):
        answer = http.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200
        assert http.get("/spend", headers=headers).status_code == 403
    rows = {row["key_id"]: (row["calls"], row["hits"]) for row in spend(http, "key_id")}

    assert rows == {"one": (1, 0), "two": (3, 2)}


@pytest.mark.parametrize("secret", ["\u00e9" * 40, "sk-ost-" + "x" * 60_000, "sk-ost-\x7f", "\U0001f600", "'; --"])
def test_keys_of_any_shape_are_no_keys(secret: str, http: httpx2.Client) -> None:
    for headers in ({"authorization": b"Bearer " + secret.encode()}, {"x-api-key": secret.encode()}):
        answer = http.post("/v1/chat/completions", content=b"{}", headers=headers)  # type: ignore[arg-type]  # as bytes
        assert answer.status_code in {400, 401, 431}
        assert secret not in answer.text


@pytest.mark.parametrize(
    "path", ["/ui/../../keys.py", "/ui/%2e%2e/admin.py", "/ui//etc/passwd", "/ui/vendor/../../x", "/ui/\\x"]
)
def test_nothing_beside_the_page_can_be_read_through_it(path: str, http: httpx2.Client) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", http.base_url.port or 0)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        told = b"".join(iter(lambda: raw.recv(65536), b""))

    assert told.split(b" ", 2)[1] in {b"401", b"404", b"400"}


def test_a_web_page_can_make_no_key(http: httpx2.Client) -> None:
    page = {"origin": "https://evil.example", "content-type": "text/plain"}
    told = http.post("/key/generate", content=b"{}", headers={**page, **bearer(MASTER)})
    asked = http.request("OPTIONS", "/key/generate", headers={"origin": "https://evil.example"})

    assert told.status_code == 415
    assert "access-control-allow-origin" not in {**told.headers, **asked.headers}
    assert http.get("/key/list", headers={"cookie": f"key={MASTER}"}).status_code == 401


def test_no_secret_and_no_word_of_a_prompt_is_in_metrics_spend_or_the_file(
    http: httpx2.Client, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = key(http, id="one")
    words = "planted-words-of-a-prompt"
    for stream in (False, True):
        for path, (model, *_) in PATHS.items():
            http.post(path, json=body_of(path, model, words, stream=stream), headers=bearer(secret))
    http.post("/v1/chat/completions", json={"model": words, "messages": 1}, headers=bearer(secret))
    http.post("/v1/chat/completions", json={"model": "gpt", "messages": words}, headers=bearer(secret))
    told = [http.get(path, headers=bearer(MASTER)).text for path in ("/metrics", "/spend", "/key/list", "/health")]
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    logged = "".join(capfd.readouterr())

    for planted in (secret, MASTER, words):
        assert not any(planted in text for text in told)
        assert planted.encode() not in files
        assert planted not in logged
    assert json.loads(told[1])["data"]
