"""What every answer says beside itself: on every route, miss, hit, streamed, error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from ostinato import completion_cost
from ostinato.gateway.books import Books
from ostinato.gateway.endpoints import routes
from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import Serving, config_for

EVERYWHERE = {"x-ostinato-cache", "x-ostinato-cache-key", "x-ostinato-call-id", "x-litellm-call-id"}
HELLO = [{"role": "user", "content": "hello"}]
MODELS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "gpt", "messages": HELLO},
    "/v1/messages": {"model": "claude", "messages": HELLO, "max_tokens": 20},
    "/v1/responses": {"model": "responses", "input": "hello"},
    "/v1/completions": {"model": "gpt", "prompt": "hello"},
    "/v1/embeddings": {"model": "embed", "input": "hello"},
}
STREAMED = [path for path in MODELS if path != "/v1/embeddings"]


@pytest.mark.parametrize("path", MODELS)
def test_a_miss_and_its_hit_say_all_there_is(path: str, http: httpx2.Client) -> None:
    miss, hit = (http.post(path, json=MODELS[path]) for _ in range(2))

    assert set(miss.headers) & set(hit.headers) >= EVERYWHERE
    assert (miss.headers["x-ostinato-cache"], hit.headers["x-ostinato-cache"]) == ("miss", "hit")
    assert miss.headers["x-ostinato-cache-miss"] == "new"
    assert "x-ostinato-cache-miss" not in hit.headers
    assert "x-litellm-cache-key" not in miss.headers
    assert hit.headers["x-litellm-cache-key"] == hit.headers["x-ostinato-cache-key"]
    assert miss.headers["x-ostinato-cache-key"] == hit.headers["x-ostinato-cache-key"]
    assert len(hit.headers["x-ostinato-cache-key"]) == 64
    assert hit.headers["age"] == "0"
    assert miss.headers["x-ostinato-call-id"] != hit.headers["x-ostinato-call-id"]
    assert Decimal(miss.headers["x-litellm-response-cost"]) > 0
    assert hit.headers["x-litellm-response-cost"] == "0" == miss.headers["x-ostinato-saved-cost"]
    assert hit.headers["x-ostinato-saved-cost"] == miss.headers["x-litellm-response-cost"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", MODELS)
def test_a_miss_passes_on_what_the_vendor_said_of_its_limits_and_a_hit_does_not(
    path: str, stream: bool, http: httpx2.Client, emulator: Emulator
) -> None:
    said = {"set-cookie": "a=b", "x-ratelimit-odd": "\u00fc", "server": "theirs", "x-ratelimit-remaining-tokens": "7"}
    emulator.script(Reply(headers=said))
    asked = MODELS[path] | ({"stream": True} if stream and path in STREAMED else {})
    miss, hit = (http.post(path, json=asked) for _ in range(2))
    theirs = {name for name in miss.headers if "ratelimit" in name or name.startswith("llm_provider-")}

    assert (
        miss.headers["x-ratelimit-remaining-tokens"] == miss.headers["llm_provider-x-ratelimit-remaining-tokens"] == "7"
    )
    assert miss.headers["request-id"] == miss.headers["x-request-id"] == miss.headers["llm_provider-x-request-id"] != ""
    assert not theirs & {"x-ratelimit-odd", "llm_provider-set-cookie", "llm_provider-server"}
    assert "set-cookie" not in miss.headers
    assert miss.headers.get("server") != "theirs"
    assert not (theirs | {"request-id", "x-request-id"}) & hit.headers.keys()


def test_an_error_has_the_vendors_id_and_no_line_of_its_own(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=400, error="no", headers={"x-request-id": "req_1"}))
    named = http.post("/v1/chat/completions", json=MODELS["/v1/chat/completions"])
    forged = {"type": "error", "request_id": "a\r\nset-cookie: b=c", "error": {"type": "x", "message": "y"}}
    emulator.script(Reply(status=400, raw_body=json.dumps(forged)))
    split = http.post("/v1/messages", json=MODELS["/v1/messages"])

    assert named.headers["x-request-id"] == named.headers["request-id"] == "req_1"
    assert split.status_code == 400
    assert not {"set-cookie", "request-id"} & split.headers.keys()


@pytest.mark.parametrize("path", STREAMED)
def test_a_streamed_miss_has_no_cost_and_its_usage_does(path: str, http: httpx2.Client) -> None:
    asked = {**MODELS[path], "stream": True}
    if "chat" in path or path.endswith("/completions"):
        asked["stream_options"] = {"include_usage": True}
    miss, hit = (http.post(path, json=asked) for _ in range(2))
    whole = http.post(path, json=MODELS[path])

    assert miss.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert set(miss.headers) >= EVERYWHERE
    assert (miss.headers["x-ostinato-cache"], hit.headers["x-ostinato-cache"]) == ("miss", "hit")
    assert "x-litellm-response-cost" not in miss.headers
    assert hit.headers["x-litellm-response-cost"] == "0"
    assert str(cost_in(miss.text)) == whole.headers["x-ostinato-saved-cost"] == hit.headers["x-ostinato-saved-cost"]
    assert cost_in(hit.text) == 0


def cost_in(stream: str) -> Any:
    """Return the cost that the last usage of a stream carries."""
    events = [json.loads(line[6:], parse_float=Decimal) for line in stream.splitlines() if line.startswith("data: {")]
    usages = [event.get("usage") or (event.get("response") or {}).get("usage") for event in events]
    costs = [usage["cost"] for usage in usages if usage and "cost" in usage]

    assert len(costs) == 1
    return costs[0]


def test_costs_agree_with_completion_cost(vendor: str, http: httpx2.Client) -> None:
    answer = http.post("/v1/chat/completions", json={"model": vendor, "messages": HELLO})
    provider = {"gpt": "openai", "claude": "anthropic", "deepseek": "deepseek", "responses": "openai"}.get(vendor)
    model = {"converse": "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"}.get(
        vendor, "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0" if vendor == "invoke" else None
    )
    cost = completion_cost(answer.json(), model, custom_llm_provider=provider)

    assert cost == float(answer.headers["x-litellm-response-cost"])


NOTHING_PAID = EVERYWHERE | {"x-litellm-response-cost", "x-ostinato-saved-cost"}
ODD: dict[str, dict[str, Any]] = {
    "400": {"content": b"[1", "headers": {"content-type": "application/json"}},
    "403": {"json": {"model": "gpt", "api_base": "http://elsewhere.example"}},
    "404": {"json": {"model": "nobody", "messages": HELLO}},
    "405": {"method": "PATCH"},
    "413": {"content": b" " * 70_000, "headers": {"content-type": "application/json"}},
    "415": {"content": b"{}", "headers": {"content-type": "text/plain"}},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Ask a gateway with books and a small limit for bodies."""
    more = "litellm_settings: {cache: true, cache_params: {type: local}}\nlimits: {max_body_bytes: 65536}"
    books = Books(tmp_path_factory.mktemp("books") / "gateway.db")
    with (
        Emulator() as emulator,
        Serving(config_for(emulator, more), books=books) as serving,
        httpx2.Client(base_url=serving.url) as client,
    ):
        yield client


@pytest.mark.parametrize("path", [*routes(), "/", "/nowhere", "/models/gpt", "/models/nobody", "/ui/nothing"])
def test_every_route_says_the_same_in_every_case(path: str, small: httpx2.Client) -> None:
    answers = [
        *(small.request(method, path) for method in ("GET", "HEAD", "DELETE", "OPTIONS")),
        small.post(f"/v1{path}", json=MODELS.get(f"/v1{path}", {})),
        *(small.request(**{"method": "POST", "url": path, **how}) for how in ODD.values()),
    ]

    for answer in answers:
        missing = NOTHING_PAID - answer.headers.keys()
        assert not missing, (answer.request.method, answer.status_code, missing)
        if answer.status_code >= 400:
            assert answer.headers["x-ostinato-cache"] == "bypass"
            assert answer.headers["x-litellm-response-cost"] == "0"


@pytest.mark.parametrize(("status", "how"), ODD.items())
@pytest.mark.parametrize("path", [*MODELS, "/v1/messages/count_tokens"])
def test_what_is_refused_has_its_status(path: str, status: str, how: dict[str, Any], small: httpx2.Client) -> None:
    assert small.request(**{"method": "POST", "url": path, **how}).status_code == int(status)


@pytest.mark.parametrize("path", STREAMED)
def test_a_stream_that_breaks_has_them_too(path: str, http: httpx2.Client, emulator: Emulator) -> None:
    asked = MODELS[path] | {"stream": True}
    emulator.script(Reply(status=400, error="no"), Reply(error="no", error_after_events=2), times=1)
    refused, broken = (http.post(path, json=asked) for _ in range(2))

    assert (refused.status_code, broken.status_code) == (400, 200)
    assert refused.headers.keys() >= NOTHING_PAID
    assert broken.headers.keys() >= EVERYWHERE
    assert '"error"' in broken.text


@pytest.mark.parametrize("path", MODELS)
def test_an_error_of_the_vendor_says_the_same(path: str, http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=400, error="no"), times=None)
    answer = http.post(path, json=MODELS[path])

    assert answer.status_code == 400
    assert set(answer.headers) >= EVERYWHERE
    assert answer.headers["x-litellm-response-cost"] == "0"


@pytest.mark.parametrize("path", MODELS)
def test_a_hit_says_how_long_it_is_kept(path: str, emulator: Emulator) -> None:
    cache = "litellm_settings: {cache: true, cache_params: {type: local, ttl: 60}}"
    with Serving(config_for(emulator, cache)) as serving, httpx2.Client(base_url=serving.url) as http:
        asked = MODELS[path]
        miss, hit = (http.post(path, json=asked) for _ in range(2))
        longer = {**asked, "cache": {"ttl": 1000}, "dimensions" if "embed" in path else "temperature": 1}
        long = [http.post(path, json=longer) for _ in range(2)][1]

    assert "x-ostinato-cache-ttl" not in miss.headers
    assert 58 <= int(hit.headers["x-ostinato-cache-ttl"]) <= 60
    assert 998 <= int(long.headers["x-ostinato-cache-ttl"]) <= 1000


def test_without_a_cache_every_answer_goes_by_it(emulator: Emulator) -> None:
    with Serving(config_for(emulator, "")) as serving, httpx2.Client(base_url=serving.url) as http:
        answers = [http.post(path, json=asked) for path, asked in MODELS.items() for _ in range(2)]

    assert {answer.headers["x-ostinato-cache"] for answer in answers} == {"bypass"}
    assert all(Decimal(answer.headers["x-litellm-response-cost"]) > 0 for answer in answers)


def test_calls_that_join_one_share_it_and_pay_nothing(
    http: httpx2.Client, gateway: Serving, emulator: Emulator
) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    gate = threading.Event()
    emulator.script(Reply(gate=gate))
    asked = MODELS["/v1/chat/completions"]
    cache = gateway.service.cache
    assert cache is not None
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(httpx2.post, f"{gateway.url}/chat/completions", json=asked) for _ in range(3)]
        while cache.counters.joins < 2:
            gate.wait(0.001)
        gate.set()
        answers = [call.result() for call in calls]

    assert sorted(answer.headers["x-ostinato-cache"] for answer in answers) == ["miss", "shared", "shared"]
    for answer in answers:
        free = answer.headers["x-ostinato-cache"] == "shared"
        assert (answer.headers["x-litellm-response-cost"] == "0") is free
        assert (answer.headers["x-ostinato-saved-cost"] != "0") is free
