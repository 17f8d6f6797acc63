"""The paths of the gateway, and what answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.gateway.app import Gateway, Route
from ostinato.gateway.asking import answer_model

if TYPE_CHECKING:
    from ostinato.gateway.service import Service

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic", "openai_responses"


def routes() -> dict[str, Route]:
    """Return the paths, without the prefixes they also answer under."""
    return {
        "/chat/completions": Route(CHAT, {"POST": answer_model}),
        "/messages": Route(MESSAGES, {"POST": answer_model}),
        "/responses": Route(RESPONSES, {"POST": answer_model}),
    }


def make_app(service: Service, rest: Any = None) -> Gateway:
    """Return the application for a service."""
    return Gateway(service, routes(), rest)
