"""What a request says of the cache, in its body and in its header, and that none of it travels upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from ostinato.caching.cache import Cache
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import Serving, config_for

HELLO = [{"role": "user", "content": "hello"}]

SEARCHED = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "found"}}],
}


class Asking:
    """A gateway whose cache has a clock to set."""

    def __init__(self, serving: Serving, http: httpx2.Client, clock: ManualClock) -> None:
        self.serving = serving
        self.http = http
        self.clock = clock

    def __call__(self, *, header: str | None = None, **members: Any) -> httpx2.Response:
        headers = {} if header is None else {"cache-control": header}
        asked = {"model": "gpt", "messages": HELLO, **members}
        return self.http.post("/v1/chat/completions", json=asked, headers=headers)

    def status(self, **how: Any) -> tuple[str, str | None]:
        headers = self(**how).headers
        return headers["x-ostinato-cache"], headers.get("x-ostinato-cache-miss")


@pytest.fixture
def ask(emulator: Emulator) -> Iterator[Asking]:
    clock = ManualClock()
    cache = Cache(clock=clock, max_bytes=4096)
    with Serving(config_for(emulator), cache=cache) as serving, httpx2.Client(base_url=serving.url) as http:
        yield Asking(serving, http, clock)


@pytest.mark.parametrize("how", [{"cache": {"no-cache": True}}, {"header": "no-cache"}, {"header": "max-age=0, x"}])
def test_no_cache_asks_anew_and_stores(how: dict[str, Any], ask: Asking) -> None:
    ask()
    ask.clock.advance(1)
    status, miss = ask.status(**how)

    assert (status, miss) == ("miss", "expired" if "max-age" in str(how) else "no-cache")
    assert ask.status() == ("hit", None)


@pytest.mark.parametrize("how", [{"cache": {"no-store": True}}, {"header": "No-Store"}])
def test_no_store_reads_and_stores_nothing(how: dict[str, Any], ask: Asking) -> None:
    assert ask.status(**how) == ("miss", "new")
    assert ask.status() == ("miss", "new")
    assert ask.status(**how) == ("hit", None)


def test_both_together_pass_the_cache_by(ask: Asking) -> None:
    ask()

    assert ask.status(header="no-cache, no-store") == ("bypass", "no-cache")


@pytest.mark.parametrize("how", [{"header": "max-age=30"}, {"cache": {"s-maxage": 30}}])
def test_an_entry_older_than_asked_for_is_asked_anew(how: dict[str, Any], ask: Asking) -> None:
    ask()
    ask.clock.advance(20)
    young = ask(**how)
    ask.clock.advance(20)

    assert young.headers["age"] == "20"
    assert ask.status(**how) == ("miss", "expired")
    assert ask.status(**how) == ("hit", None)


def test_an_entry_lives_as_long_as_its_ttl(ask: Asking) -> None:
    ask(cache={"ttl": 10})
    ask.clock.advance(9)
    hit = ask()
    ask.clock.advance(2)

    assert hit.headers["x-ostinato-cache-ttl"] == "1"
    assert ask.status() == ("miss", "expired")


def test_what_others_pushed_out_was_evicted(ask: Asking) -> None:
    ask()
    for number in range(9):
        ask(seed=number)

    assert ask.status() == ("miss", "evicted")


def test_namespaces_are_apart(ask: Asking) -> None:
    ask()

    assert ask.status(cache={"namespace": "other"}) == ("miss", "new")
    assert ask.status(cache={"namespace": "other"}) == ("hit", None)


def test_server_side_tools_pass_the_cache_by_unless_asked(ask: Asking, emulator: Emulator) -> None:
    emulator.script(Reply(raw_body=json.dumps(SEARCHED), headers={"content-type": "application/json"}), times=None)
    searching: dict[str, Any] = {"web_search_options": {}}

    assert ask.status(**searching) == ("bypass", "bypass")
    assert ask.status(**searching, cache={"use-cache": True}) == ("miss", "new")
    assert ask.status(**searching, cache={"use-cache": True}) == ("hit", None)


def test_the_body_goes_before_the_header(ask: Asking) -> None:
    ask()

    assert ask.status(header="no-cache", cache={"no-cache": False}) == ("hit", None)


def test_no_control_travels_upstream(ask: Asking, emulator: Emulator) -> None:
    for model in ("gpt", "claude", "converse"):
        ask(model=model, cache={"ttl": 5, "namespace": "n", "tags": ["t"]}, header="no-cache")

    assert len(emulator.calls) == 3
    for call in emulator.calls:
        assert "cache" not in call.body
        assert "cache-control" not in call.headers


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"cache": "no"}, "cache must be an object"),
        ({"cache": {"tll": 1}}, "did you mean 'ttl'"),
        ({"cache": {"ttl": -1}}, "'ttl' must be a number of seconds above 0"),
        ({"cache": {"no-cache": 1}}, "must be True or False"),
        ({"header": "max-age=soon"}, "max-age must be a number of seconds"),
        ({"sample_index": -1}, "sample_index must be a whole number"),
        ({"sample_index": "2"}, "sample_index must be a whole number"),
    ],
)
def test_a_control_that_cannot_be_is_told(how: dict[str, Any], words: str, ask: Asking, emulator: Emulator) -> None:
    answer = ask(**how)

    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert not emulator.calls


def test_a_null_is_no_control(ask: Asking) -> None:
    assert ask.status(cache=None, sample_index=None) == ("miss", "new")
    assert ask.status() == ("hit", None)


# The cache's own paths.


def test_ping_keeps_something_and_reads_it(ask: Asking) -> None:
    answer = ask.http.get("/cache/ping").json()

    assert answer == {
        "status": "healthy",
        "cache_type": "memory",
        "ping_response": True,
        "set_cache_response": "success",
    }


def test_stats_tell_what_was_counted(ask: Asking) -> None:
    ask()
    ask()

    assert ask.http.get("/cache/stats").json()["hits"] == 1


def test_an_entry_is_deleted_by_its_key_and_is_new_then(ask: Asking) -> None:
    key = ask().headers["x-ostinato-cache-key"]
    answer = ask.http.post("/cache/delete", json={"keys": [key, "f" * 64]}).json()

    assert answer == {"status": "success", "deleted": 1}
    assert ask.status() == ("miss", "new")


def test_entries_are_invalidated_by_their_tag(ask: Asking) -> None:
    ask(cache={"tags": ["draft"]})
    before = ask.status()
    answer = ask.http.post("/cache/delete", json={"tags": ["draft"]})

    assert answer.status_code == 200
    assert (before[0], ask.status()[0]) == ("hit", "miss")


@pytest.mark.parametrize("body", [{}, {"all": True}])
def test_flush_forgets_all(body: dict[str, Any], ask: Asking) -> None:
    ask()

    assert ask.http.post("/cache/flush", json=body).json() == {"status": "success", "forgotten": 1}
    assert ask.status() == ("miss", "new")


def test_flush_without_a_body_is_one(ask: Asking) -> None:
    ask()
    answer = ask.http.post("/cache/flushall", headers={"content-type": "application/json"})

    assert answer.json()["forgotten"] == 1


@pytest.mark.parametrize("body", [{}, {"keys": []}, {"keys": "abc"}, {"keys": [1]}, {"keys": ["a"], "namespace": 1}])
def test_a_delete_that_says_nothing_is_refused(body: dict[str, Any], ask: Asking) -> None:
    assert ask.http.post("/cache/delete", json=body).status_code == 400


def test_without_a_cache_there_is_none_to_look_after(emulator: Emulator) -> None:
    with Serving(config_for(emulator, "")) as serving:
        answer = httpx2.get(f"{serving.url}/cache/ping")

    assert answer.status_code == 503
    assert "litellm_settings.cache" in answer.json()["error"]["message"]
