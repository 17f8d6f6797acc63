"""Requests to models as OpenTelemetry spans, where somebody set a tracer up. Never a prompt or an answer.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (read 2026-11-24).
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from ostinato.gateway.exchange import Exchange

OPERATIONS = {
    "/chat/completions": "chat",
    "/messages": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}
"""What the conventions call what our paths do; others ask no model."""
_CARRIED = ("traceparent", "tracestate", "baggage")
PROVIDERS = {
    "azure": "azure.ai.openai", "bedrock": "aws.bedrock", "mistral": "mistral_ai", "xai": "x_ai",
}  # fmt: skip
"""What the conventions call providers that are called otherwise here."""


def find_tracer() -> Tracer | None:
    """Return the tracer of this process, or None where nobody set one up."""
    if "opentelemetry.trace" not in sys.modules:
        return None  # whoever sets a tracer up has loaded it
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return provider.get_tracer("ostinato")


def record(tracer: Tracer, exchange: Exchange, operation: str, seconds: float) -> None:
    """Record a request to a model that took so long and has ended now, as a part of the caller's trace.

    Of an error its class is told and not its words, which may repeat the prompt.
    """
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind, Status, StatusCode

    headers = exchange.headers
    carried = {name: headers[name.encode()].decode("latin-1") for name in _CARRIED if name.encode() in headers}
    model = exchange.told.model if exchange.told is not None else exchange.ticket.model if exchange.ticket else ""
    ended_ns = time.time_ns()
    span = tracer.start_span(
        f"{operation} {model}".rstrip(),
        context=propagate.extract(carried),
        kind=SpanKind.SERVER,
        attributes=_said(exchange, operation, model),
        start_time=ended_ns - int(seconds * 1e9),
    )
    if exchange.error:
        span.set_attribute("error.type", exchange.error)
        span.set_status(Status(StatusCode.ERROR))
    span.end(ended_ns)


def _said(exchange: Exchange, operation: str, model: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": model,
        "http.response.status_code": exchange.status,
    }
    told = exchange.told
    if told is not None:
        said |= {
            "gen_ai.provider.name": PROVIDERS.get(told.provider, told.provider),
            "ostinato.cache": told.cache,
            "ostinato.deployment": told.deployment,
        }
        if told.runs:
            said |= {
                "gen_ai.usage.input_tokens": sum(run.prompt for run in told.runs),
                "gen_ai.usage.output_tokens": sum(run.output for run in told.runs),
                "gen_ai.usage.cache_read.input_tokens": sum(run.read for run in told.runs),
                "gen_ai.usage.cache_creation.input_tokens": sum(sum(run.written.values()) for run in told.runs),
            }
    return said
