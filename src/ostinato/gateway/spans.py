"""Requests to models as OpenTelemetry spans, where somebody set a tracer up. Never a prompt or an answer.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ostinato.errors import OstinatoError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from ostinato.wire.tokens import Tokens

PROVIDERS = {
    "azure": "azure.ai.openai", "bedrock": "aws.bedrock", "mistral": "mistral_ai", "xai": "x_ai",
}  # fmt: skip
"""What the conventions call providers that are called otherwise here."""


def find_tracer() -> Tracer | None:
    """Return the tracer of this process, or None where OpenTelemetry is not installed or nobody set it up."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return provider.get_tracer("ostinato")


class ModelSpan:
    """The span of one request to a model."""

    __slots__ = ("_span",)

    def __init__(self, tracer: Tracer, operation: str, model: str, headers: Mapping[str, str]) -> None:
        """Begin it, as a part of what the caller's `traceparent` names.

        Args:
            tracer: of `find_tracer`.
            operation: `chat`, `embeddings` or `text_completion`.
            model: as the client writes it.
            headers: the request's, names in lower case; only those of tracing are read.
        """
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind

        said = {name: headers[name] for name in ("traceparent", "tracestate", "baggage") if name in headers}
        self._span: Span = tracer.start_span(
            f"{operation} {model}",
            context=propagate.extract(said),
            kind=SpanKind.SERVER,
            attributes={"gen_ai.operation.name": operation, "gen_ai.request.model": model},
        )

    def answered(self, *, provider: str, cache: str, deployment: str, tokens: Tokens | None = None) -> None:
        """Say who answered, whether the response cache did (`hit`, `miss` …), and what was counted."""
        said: dict[str, Any] = {
            "gen_ai.provider.name": PROVIDERS.get(provider, provider),
            "ostinato.cache": cache,
            "ostinato.deployment": deployment,
        }
        if tokens is not None:
            said |= {
                "gen_ai.usage.input_tokens": tokens.prompt,
                "gen_ai.usage.output_tokens": tokens.output,
                "gen_ai.usage.cache_read.input_tokens": tokens.read,
                "gen_ai.usage.cache_creation.input_tokens": sum(tokens.written.values()),
            }
        self._span.set_attributes(said)

    def failed(self, error: BaseException) -> None:
        """Say that it failed: the class of the error, and not its words, which may repeat the prompt."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", type(error).__name__)
        if isinstance(error, OstinatoError) and error.status_code is not None:
            self._span.set_attribute("http.response.status_code", error.status_code)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it."""
        self._span.end()
