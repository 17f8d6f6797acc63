"""Who is let in: keys, programs on this machine, no web pages; and what a request may not carry."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import KEY, Serving, config_for

ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}
MASTER = "sk-planted-master-key"
KEYED = f"general_settings: {{master_key: {MASTER}}}"
PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/models", "/cache/stats", "/health", "/metrics"]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {MASTER}"},
        {"authorization": f"bearer  {MASTER}"},
        {"x-api-key": MASTER},
        {"api-key": MASTER},
    ],
)
def test_the_master_key_opens_however_clients_send_it(headers: dict[str, str], emulator: Emulator) -> None:
    with Serving(config_for(emulator, KEYED)) as serving:
        assert httpx2.post(f"{serving.url}/v1/chat/completions", json=ASKED, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer sk-other"},
        {"authorization": f"Basic {MASTER}"},
        {"x-api-key": MASTER[:-1]},
        {"x-api-key": "\u00e9".encode()},
    ],
)
def test_a_wrong_key_opens_nothing(headers: dict[str, Any], emulator: Emulator) -> None:
    with Serving(config_for(emulator, KEYED)) as serving:
        answers = {path: httpx2.get(serving.url + path, headers=headers) for path in PATHS}

    for path, answer in answers.items():
        assert answer.status_code == 401, path
        assert MASTER not in answer.text
        assert "error" in answer.json()
    assert answers["/v1/messages"].json()["error"]["type"] == "authentication_error"


def test_what_asks_for_life_needs_no_key(emulator: Emulator) -> None:
    with Serving(config_for(emulator, KEYED)) as serving:
        paths = ["/health/readiness", "/health/liveness", "/openapi.json"]

        assert {httpx2.get(serving.url + path).status_code for path in paths} == {200}


def test_without_a_master_key_any_key_will_do(http: httpx2.Client) -> None:
    assert http.post("/v1/chat/completions", json=ASKED, headers={"x-api-key": "any"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:4000"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_web_page_cannot_ask_a_gateway_without_a_key(
    headers: dict[str, str], http: httpx2.Client, emulator: Emulator
) -> None:
    posted = http.post("/v1/chat/completions", json=ASKED, headers=headers)
    seen = http.get("/v1/models", headers=headers)

    assert (posted.status_code, seen.status_code) == (403, 403)
    assert posted.json()["error"]["message"].startswith("without a master key")
    assert not emulator.calls


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_what_a_page_may_send_unasked_is_no_request(kind: str, http: httpx2.Client, emulator: Emulator) -> None:
    """A browser sends these without asking first; for JSON it asks, and no answer here allows it."""
    answer = http.post("/v1/chat/completions", content=b'{"model": "gpt"}', headers={"content-type": kind})
    asked = http.options("/v1/chat/completions", headers={"access-control-request-method": "POST"})

    assert answer.status_code == 415
    assert asked.status_code == 405
    assert not [name for name in asked.headers if name.startswith("access-control-")]
    assert not emulator.calls


@pytest.mark.parametrize("headers", [{"host": "localhost:1"}, {"host": "[::1]:4000"}, {"sec-fetch-site": "none"}])
def test_a_program_on_this_machine_may_ask(headers: dict[str, str], http: httpx2.Client) -> None:
    assert http.get("/v1/models", headers=headers).status_code == 200


def test_a_page_of_the_gateway_s_own_may_ask(gateway: Serving, http: httpx2.Client) -> None:
    headers = {"origin": gateway.url, "sec-fetch-site": "same-origin"}

    assert http.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "carried",
    [
        {"api_base": "http://evil.example"},
        {"base_url": "http://evil.example"},
        {"api_key": "sk-mine"},
        {"extra_headers": {"x-a": "b"}},
        {"extra_query": {"a": "b"}},
        {"extra_body": {"model": "gpt-4o-mini"}},
        {"api_version": "2024-01-01"},
        {"aws_region_name": "eu-west-1"},
        {"aws_access_key_id": "AKIA"},
        {"input_cost_per_token": 0},
        {"api_key": None},
    ],
)
def test_a_request_may_not_say_where_it_goes_or_who_pays(
    carried: dict[str, Any], http: httpx2.Client, emulator: Emulator
) -> None:
    messages = {**ASKED, "model": "claude", "max_tokens": 9}
    answers = [
        http.post("/v1/chat/completions", json={**ASKED, **carried}),
        http.post("/v1/messages", json={**messages, **carried}),
        http.post("/v1/responses", json={"model": "responses", "input": "x", **carried}),
        http.post("/v1/embeddings", json={"model": "embed", "input": "x", **carried}),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert not emulator.calls


class TestAllowed:
    ALLOW = "general_settings: {allow_client_credentials: true}"

    def test_a_request_brings_its_own_key_and_headers(self, emulator: Emulator) -> None:
        carried = {"api_key": "sk-of-the-client", "extra_headers": {"x-mine": "yes"}}
        with Serving(config_for(emulator, self.ALLOW)) as serving:
            answer = httpx2.post(f"{serving.url}/v1/chat/completions", json={**ASKED, **carried})

        assert answer.status_code == 200
        (call,) = emulator.calls
        assert call.headers["authorization"] == "Bearer sk-of-the-client"
        assert call.headers["x-mine"] == "yes"
        assert not {"api_key", "extra_headers"} & call.body.keys()

    def test_an_address_without_a_key_gets_nobody_s(self, emulator: Emulator) -> None:
        with Serving(config_for(emulator, self.ALLOW)) as serving:
            answer = httpx2.post(
                f"{serving.url}/v1/chat/completions", json={**ASKED, "api_base": f"{emulator.base_url}/elsewhere"}
            )

        assert answer.status_code == 403
        assert not emulator.calls

    def test_an_address_with_a_key_is_asked_with_that(self, emulator: Emulator) -> None:
        carried = {"api_base": emulator.base_url, "api_key": "sk-of-the-client"}
        with Serving(config_for(emulator, self.ALLOW)) as serving:
            httpx2.post(f"{serving.url}/v1/chat/completions", json={**ASKED, **carried})

        assert KEY not in str(emulator.calls[0].headers)

    def test_prices_and_accounts_of_the_cloud_stay_refused(self, emulator: Emulator) -> None:
        with Serving(config_for(emulator, self.ALLOW)) as serving:
            url = f"{serving.url}/v1/chat/completions"
            answers = [
                httpx2.post(url, json={**ASKED, name: "x"}) for name in ("aws_role_name", "input_cost_per_token")
            ]

        assert [answer.status_code for answer in answers] == [403, 403]


def test_the_gateway_fetches_nothing_for_a_client(http: httpx2.Client, emulator: Emulator) -> None:
    """A URL goes to a vendor that takes one, or is refused; nobody here follows it."""
    image = {"type": "image_url", "image_url": {"url": f"{emulator.base_url}/secret.png"}}
    for model in ("gpt", "claude", "converse", "invoke"):
        asked = {"model": model, "messages": [{"role": "user", "content": [image]}]}
        http.post("/v1/chat/completions", json=asked)

    assert not [call for call in emulator.calls if "secret" in call.path]


def test_no_key_is_in_what_the_vendor_repeats(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=401, error=f"wrong key {KEY}"), times=None)
    answers = [
        http.post("/v1/chat/completions", json={**ASKED, "stream": stream, "model": model})
        for stream in (False, True)
        for model in ("gpt", "claude")
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert not [answer for answer in answers if KEY in answer.text or KEY in str(answer.headers)]
