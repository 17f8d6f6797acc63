from __future__ import annotations

from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, Tracer, TracerProvider

from ostinato.gateway.spans import find_tracer
from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import Serving, config_for

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Kept(NonRecordingSpan):
    """A span that remembers what it is told."""

    def __init__(self, name: str, parent: Any, kind: SpanKind, said: dict[str, Any]) -> None:
        super().__init__(SpanContext(1, 1, is_remote=False))
        self.name = name
        self.parent = parent
        self.kind = kind
        self.said = dict(said)
        self.status: Any = None
        self.ended = False

    def set_attributes(self, attributes: Any) -> None:
        self.said |= attributes

    def set_attribute(self, key: str, value: Any) -> None:
        self.said[key] = value

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.status = status

    def end(self, end_time: int | None = None) -> None:
        self.ended = True


class Provider(TracerProvider, Tracer):
    """A tracer, and whoever hands it out."""

    def __init__(self) -> None:
        self.spans: list[Kept] = []

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return self

    def start_span(
        self,
        name: str,
        context: Any = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        *rest: Any,
        **others: Any,
    ) -> Kept:
        kept = Kept(name, trace.get_current_span(context).get_span_context(), kind, attributes)
        self.spans.append(kept)
        return kept

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    made = Provider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made)
    return made


def test_where_nobody_set_a_tracer_up_there_is_none() -> None:
    assert find_tracer() is None


def ask(emulator: Emulator, model: str = "claude", **headers: str) -> int:
    body = {"model": model, "max_tokens": 30, "messages": [{"role": "user", "content": "a planted prompt"}]}
    with Serving(config_for(emulator)) as serving, httpx2.Client(base_url=serving.url) as http:
        return http.post("/v1/chat/completions", json=body, headers=headers).status_code


def test_a_request_is_a_span_of_the_caller_s_trace_with_what_the_conventions_name(
    provider: Provider, emulator: Emulator
) -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 3, "output_tokens": 11}
    emulator.script(Reply(usage=usage))
    ask(emulator, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    (kept,) = provider.spans
    deployment = kept.said.pop("ostinato.deployment")

    assert (kept.name, kept.kind, kept.ended) == ("chat claude", SpanKind.SERVER, True)
    assert f"{kept.parent.trace_id:032x}" == TRACE
    assert deployment
    assert kept.said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude",
        "gen_ai.usage.input_tokens": 15,
        "gen_ai.usage.output_tokens": 11,
        "gen_ai.usage.cache_read.input_tokens": 7,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "http.response.status_code": 200,
        "ostinato.cache": "miss",
    }


def test_a_failure_is_told_by_its_class_and_not_by_its_words(provider: Provider, emulator: Emulator) -> None:
    emulator.script(Reply(status=400, error="your 'planted prompt' is too much"))
    ask(emulator)
    (kept,) = provider.spans

    assert kept.said["error.type"] == "BadRequestError"
    assert kept.said["http.response.status_code"] == 400
    assert kept.status.status_code is StatusCode.ERROR
    assert "planted" not in str(kept.said) + str(kept.status.description)


def test_what_asks_no_model_is_no_span(provider: Provider, emulator: Emulator) -> None:
    with Serving(config_for(emulator)) as serving:
        httpx2.get(f"{serving.url}/v1/models")

    assert provider.spans == []
