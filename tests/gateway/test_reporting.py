from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx2
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ostinato.errors import ConfigurationError
from ostinato.gateway.books import Books
from ostinato.gateway.config import read
from ostinato.gateway.endpoints import make_app
from ostinato.gateway.service import Service
from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import CACHE, KEY, Serving, config_for

HELLO = [{"role": "user", "content": "hello"}]


def ask(
    http: httpx2.Client, model: str = "gpt", text: str = "hello", path: str = "/v1/chat/completions"
) -> httpx2.Response:
    body = {"model": model, "max_tokens": 30, "messages": [{"role": "user", "content": text}]}
    return http.post(path, json=body)


def counted(http: httpx2.Client, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by their labels' values, in the order of the labels' names."""
    families = text_string_to_metric_families(http.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples if sample.name == name)
    return {tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value for sample in samples}


def test_openai_s_client_lists_the_models_and_finds_one(oai: openai.OpenAI) -> None:
    assert {"gpt", "claude", "converse"} <= {model.id for model in oai.models.list()}
    assert oai.models.retrieve("gpt").owned_by == "openai"
    with pytest.raises(openai.NotFoundError, match="did you mean 'gpt'"):
        oai.models.retrieve("gpr")


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_model_info_and_health_answer_with_and_without_v1(http: httpx2.Client, prefix: str) -> None:
    info = http.get(f"{prefix}/model/info").json()["data"]
    one = http.get(f"{prefix}/model/info", params={"litellm_model_id": info[0]["model_info"]["id"]}).json()["data"]

    assert info[0]["model_info"]["supports_prompt_caching"] is True
    assert one == info[:1]
    assert http.get(f"{prefix}/health").json()["unhealthy_count"] == 0
    assert http.get(f"{prefix}/health/readiness").json() == {"status": "healthy", "cache": {"store_errors": 0}}
    assert http.get(f"{prefix}/health/liveliness").json() == "I'm alive!"
    assert KEY not in http.get(f"{prefix}/model/info").text


def test_who_has_no_key_may_see_that_it_is_ready_and_nothing_else(emulator: Emulator) -> None:
    more = CACHE + "general_settings: {master_key: sk-of-the-master}\n"
    with Serving(config_for(emulator, more)) as serving, httpx2.Client(base_url=serving.url) as http:
        paths = ("/health/readiness", "/health/liveness", "/health", "/metrics", "/v1/models", "/model/info")
        statuses = {path: http.get(path).status_code for path in paths}
        with_key = {path: http.get(path, headers={"x-api-key": "sk-of-the-master"}).status_code for path in paths}

    assert list(statuses.values()) == [200, 200, 401, 401, 401, 401]
    assert set(with_key.values()) == {200}


def test_requests_are_counted_by_route_model_status_and_cache(http: httpx2.Client) -> None:
    for path in ("/v1/chat/completions", "/chat/completions", "/v1/chat/completions"):
        ask(http, path=path)
    ask(http, "nobody")
    http.get("/made/up/by/a/client")
    requests = counted(http, "ostinato_requests_total")

    assert requests["miss", "gpt", "/chat/completions", "200"] == 1
    assert requests["hit", "gpt", "/chat/completions", "200"] == 2
    assert requests["", "", "/chat/completions", "404"] == 1
    assert requests["", "", "other", "404"] == 1
    assert counted(http, "ostinato_request_seconds_count")["hit", "/chat/completions"] == 2
    assert counted(http, "ostinato_cache_events_total")["hits",] == 2
    assert counted(http, "ostinato_in_flight") == {(): 1}


def test_what_a_stream_took_to_begin_is_noted(http: httpx2.Client) -> None:
    body = {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    for _ in range(2):
        http.post("/v1/chat/completions", json=body)

    assert counted(http, "ostinato_first_byte_seconds_count") == {("miss", "/chat/completions"): 1}


def test_what_was_spent_and_saved_is_counted(emulator: Emulator, tmp_path: Path) -> None:
    with Serving(config_for(emulator), books=Books(tmp_path / "gateway.db")) as serving:
        http = httpx2.Client(base_url=serving.url)
        for _ in range(2):
            ask(http)
        spent = counted(http, "ostinato_cost_dollars_total")["gpt",]

        assert spent > 0
        assert counted(http, "ostinato_tokens_total")["output", "gpt"] > 0
        assert counted(http, "ostinato_saved_dollars_total")["response_cache", "gpt"] == pytest.approx(spent)
        http.close()


def test_a_deployment_that_fails_is_told_of_until_it_answers(emulator: Emulator, http: httpx2.Client) -> None:
    emulator.script(Reply(status=500), times=3)
    failed = ask(http, "gpt", "of no use")
    ill = http.get("/health").json()["unhealthy_endpoints"]
    rests = counted(http, "ostinato_deployment_rests")
    ask(http, "gpt", "of use")
    calls = counted(http, "ostinato_upstream_calls_total")

    assert failed.status_code == 500
    assert [(row["model_name"], row["error"]) for row in ill] == [("gpt", "InternalServerError")]
    assert rests[ill[0]["id"],] == 1
    assert http.get("/health").json()["unhealthy_count"] == 0
    assert (calls[ill[0]["id"], "failed"], calls[ill[0]["id"], "answered"]) == (3, 1)


def reloaded(emulator: Emulator, *texts: Callable[[str], str]) -> list[Service]:
    """Return the services of an application that takes these configurations one after the other."""

    async def run() -> list[Service]:
        app = make_app(Service(read(config_for(emulator))))
        services = [app.service]
        for text in texts:
            await app.reload(read(text(config_for(emulator))))
            services.append(app.service)
        await app.service.aclose()
        return services

    return asyncio.run(run())


def test_a_reload_keeps_what_has_not_changed(emulator: Emulator) -> None:
    before, renamed, recached = reloaded(
        emulator,
        lambda text: text.replace("model_name: gpt", "model_name: renamed"),
        lambda text: text.replace("type: local", "type: local, ttl: 9"),
    )

    assert "renamed" in renamed.config.models.names()
    assert renamed.cache is before.cache
    assert renamed.router.health is before.router.health
    assert recached.watch is before.watch
    assert recached.client is before.client
    assert recached.cache is not before.cache
    assert recached.cache is not None
    assert recached.cache.ttl == 9


def test_a_reload_that_cannot_be_changes_nothing(emulator: Emulator) -> None:
    async def run() -> tuple[Service, Service]:
        app = make_app(Service(read(config_for(emulator))))
        before = app.service
        with pytest.raises(ConfigurationError):
            await app.reload(read(config_for(emulator).replace("type: local", "type: local, mode: sometimes")))
        await before.aclose()
        return before, app.service

    before, after = asyncio.run(run())

    assert after is before
