"""The paths of the gateway, and what answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.gateway import reporting
from ostinato.gateway.app import Gateway, Route
from ostinato.gateway.asking import answer_model
from ostinato.gateway.service import Service
from ostinato.gateway.watch import Watch

if TYPE_CHECKING:
    from ostinato.gateway.config import Config
    from ostinato.gateway.tally import Tally

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic", "openai_responses"


def routes() -> dict[str, Route]:
    """Return the paths, without the prefixes they also answer under."""
    return {
        "/chat/completions": Route(CHAT, {"POST": answer_model}),
        "/messages": Route(MESSAGES, {"POST": answer_model}),
        "/responses": Route(RESPONSES, {"POST": answer_model}),
        "/models": Route(CHAT, {"GET": reporting.models}, tail=True),
        "/model/info": Route(CHAT, {"GET": reporting.model_info}),
        "/health": Route(CHAT, {"GET": reporting.health}),
        "/health/readiness": Route(CHAT, {"GET": reporting.readiness}, open=True),
        "/health/liveness": Route(CHAT, {"GET": reporting.liveness}, open=True),
        "/health/liveliness": Route(CHAT, {"GET": reporting.liveness}, open=True),
        "/metrics": Route(CHAT, {"GET": reporting.metrics}),
    }


def build_app(config: Config, tally: Tally | None = None) -> Gateway:
    """Return the application for a configuration; `tally` is where this process counts."""
    return make_app(Service(config, watch=Watch(tally)))


def make_app(service: Service, rest: Any = None) -> Gateway:
    """Return the application for a service."""
    return Gateway(service, routes(), rest)
