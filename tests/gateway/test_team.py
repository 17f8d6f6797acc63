"""Keys, tenants, limits and the ledger, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from ostinato.gateway.books import Books
from ostinato.testing.emulator import Emulator
from tests.gateway.serving import CACHE, Serving, config_for

MASTER = "sk-master-0123456789abcdef"
WITH_MASTER = f"{CACHE}\ngeneral_settings: {{master_key: {MASTER}}}\n"


@pytest.fixture
def team(emulator: Emulator, tmp_path: Path) -> Iterator[Serving]:
    with Serving(config_for(emulator, WITH_MASTER), books=Books(tmp_path / "gateway.db")) as serving:
        yield serving


@pytest.fixture
def http(team: Serving) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=team.url, timeout=30) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def key(http: httpx2.Client, **wish: Any) -> str:
    answer = http.post("/key/generate", json=wish, headers=bearer(MASTER))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["key"])


def ask(http: httpx2.Client, secret: str, text: str = "hello", **more: Any) -> httpx2.Response:
    body = {"model": "gpt", "messages": [{"role": "user", "content": text}], **more}
    return http.post("/v1/chat/completions", json=body, headers=bearer(secret))


def spend(http: httpx2.Client, by: str, **query: str) -> list[dict[str, Any]]:
    answer = http.get("/spend", params={"by": by, **query}, headers=bearer(MASTER))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def test_a_key_works_in_the_official_client(team: Serving, http: httpx2.Client) -> None:
    with openai.OpenAI(base_url=f"{team.url}/v1", api_key=key(http), max_retries=0) as client:
        first = client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hi"}])
        again = client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hi"}])

    assert first.choices == again.choices


def test_no_tenant_reads_what_another_asked_and_a_group_shares(http: httpx2.Client) -> None:
    one, other, same = key(http, id="one"), key(http, id="other"), key(http, id="third", tenant="one")
    left, right = key(http, group="g"), key(http, group="g")
    seen = [ask(http, secret).headers["x-ostinato-cache"] for secret in (one, other, same, left, right, MASTER)]

    assert seen == ["miss", "miss", "hit", "miss", "hit", "miss"]
    assert ask(http, one, cache={"namespace": "other"}).headers["x-ostinato-cache"] == "miss"


def test_a_key_that_is_unknown_revoked_or_expired_opens_nothing(http: httpx2.Client) -> None:
    secret, expired = key(http, id="a"), key(http, id="b", expires_at=1.0)
    assert ask(http, secret).status_code == 200
    http.post("/key/revoke", json={"id": "a"}, headers=bearer(MASTER))

    for wrong in (secret, expired, secret + "x", "sk-ost-"):
        answer = ask(http, wrong)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert http.post("/v1/messages", json={}, headers={"x-api-key": secret}).status_code == 401


def test_a_key_sees_and_calls_its_own_models_alone(http: httpx2.Client) -> None:
    secret = key(http, models=["claude", "dee*"])

    assert ask(http, secret).status_code == 403
    assert ask(http, secret, model="claude").status_code == 200
    assert ask(http, secret, model="deepseek").status_code == 200
    listed = http.get("/v1/models", headers=bearer(secret)).json()["data"]
    assert {row["id"] for row in listed} == {"claude", "deepseek"}


def test_a_key_that_may_not_use_a_control_is_told_so_also_for_what_is_cached(http: httpx2.Client) -> None:
    free, bound = key(http, tenant="t"), key(http, tenant="t", allowed_cache_controls=["ttl"])
    assert ask(http, free, cache={"s-maxage": 60}).status_code == 200
    assert ask(http, free, cache={"s-maxage": 60}).headers["x-ostinato-cache"] == "hit"

    refused = ask(http, bound, cache={"s-maxage": 60})
    assert refused.status_code == 403
    assert "'s-maxage'" in refused.json()["error"]["message"]
    assert ask(http, bound, cache={"ttl": 60}).status_code == 200
    body = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}
    told = http.post("/v1/chat/completions", json=body, headers={**bearer(bound), "cache-control": "no-cache"})
    assert told.status_code == 403


def test_calls_a_minute_are_bounded_hits_included(http: httpx2.Client) -> None:
    secret = key(http, rpm=3)
    answers = [ask(http, secret) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    told = http.post("/v1/messages", json={"model": "claude"}, headers={"x-api-key": secret})
    assert told.json()["type"] == "error"


def test_a_budget_ends_and_hits_do_not_touch_it(http: httpx2.Client) -> None:
    price = Decimal(ask(http, key(http), "x" * 4000).headers["x-litellm-response-cost"])
    secret = key(http, budget_usd=float(price) * 3.5)
    misses = [ask(http, secret, f"{number}" + "x" * 3999) for number in range(2)]
    hits = [ask(http, secret, "0" + "x" * 3999) for _ in range(20)]
    more = [ask(http, secret, f"{number}" + "x" * 3999).status_code for number in range(2, 5)]

    assert {answer.status_code for answer in misses + hits} == {200}
    assert {answer.headers["x-ostinato-cache"] for answer in hits} == {"hit"}
    assert more == [200, 402, 402]
    assert ask(http, secret, "0" + "x" * 3999).headers["x-ostinato-cache"] == "hit"


@pytest.mark.parametrize("path", ["/key/list", "/spend", "/metrics", "/health", "/cache/stats"])
def test_what_concerns_all_is_the_master_keys_alone(http: httpx2.Client, path: str) -> None:
    assert http.get(path, headers=bearer(key(http))).status_code == 403
    assert http.get(path).status_code == 401
    assert http.get(path, headers=bearer(MASTER)).status_code == 200


def test_a_key_makes_and_revokes_no_keys(http: httpx2.Client) -> None:
    secret = key(http, id="a")

    assert http.post("/key/generate", json={}, headers=bearer(secret)).status_code == 403
    assert http.post("/key/revoke", json={"id": "a"}, headers=bearer(secret)).status_code == 403
    assert http.post("/cache/flush", json={}, headers=bearer(secret)).status_code == 403


def test_the_ledger_agrees_with_the_headers_to_the_last_digit(http: httpx2.Client) -> None:
    secrets = {name: key(http, id=name) for name in ("a", "b")}
    paid = dict.fromkeys(secrets, Decimal(0))
    saved = dict.fromkeys(secrets, Decimal(0))
    for name, secret in secrets.items():
        for number in range(6):
            answer = ask(http, secret, f"question {number % 3}", model=("gpt", "claude")[number % 2])
            paid[name] += Decimal(answer.headers["x-litellm-response-cost"])
            saved[name] += Decimal(answer.headers["x-ostinato-saved-cost"])
        ask(http, secret, f"question {0}", model="gpt")
    sums = {row["key_id"]: row for row in spend(http, "key_id")}

    for name in secrets:
        assert Decimal(sums[name]["cost_usd"]) == paid[name]
        assert Decimal(sums[name]["saved_usd"]) >= saved[name]
        assert (sums[name]["calls"], sums[name]["hits"]) == (7, 1)
    assert sum(row["calls"] for row in spend(http, "model")) == 14
    assert [row["tenant"] for row in spend(http, "tenant", key_id="a")] == ["a"]


def test_a_stream_is_in_the_ledger_once_its_usage_has_come(http: httpx2.Client) -> None:
    secret = key(http, id="a")
    text = ask(http, secret, stream=True, stream_options={"include_usage": True}).text
    ask(http, secret, stream=True)
    (row,) = spend(http, "key_id")

    assert (row["calls"], row["hits"], row["errors"], row["unpriced"]) == (2, 1, 0, 0)
    assert f'"cost":{float(row["cost_usd"])}' in text
    assert row["saved_usd"] == row["cost_usd"]
    assert row["output"] > 0


def test_an_error_of_the_vendor_is_a_line_and_costs_nothing(http: httpx2.Client, emulator: Emulator) -> None:
    from ostinato.testing.emulator import Reply

    emulator.script(Reply(status=400), Reply(status=400))
    secret = key(http, id="a", budget_usd=1)
    ask(http, secret)
    (row,) = spend(http, "key_id")

    assert (row["calls"], row["errors"], row["cost_usd"]) == (1, 1, "0")


def test_bad_admin_requests_are_told_what_is_wrong(http: httpx2.Client) -> None:
    for path, body in (("/key/generate", {"budget": 1}), ("/key/revoke", {}), ("/key/generate", {"id": "a/b"})):
        answer = http.post(path, json=body, headers=bearer(MASTER))
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
    assert http.post("/key/revoke", json={"id": "none"}, headers=bearer(MASTER)).status_code == 404
    assert http.get("/spend", params={"by": "cost"}, headers=bearer(MASTER)).status_code == 400


def test_the_page_is_open_and_nothing_beside_it(http: httpx2.Client) -> None:
    page = http.get("/ui")

    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert http.get("/ui/vendor/htm-preact.js").headers["content-type"] == "text/javascript"
    for path in ("/ui/../admin.py", "/ui/nothing.js", "/ui/%2e%2e/admin.py", "/ui/vendor"):
        assert http.get(path).status_code in {401, 404}
