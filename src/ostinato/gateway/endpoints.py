"""The paths of the gateway, and what answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.gateway import cache_paths, reporting, team_paths
from ostinato.gateway.app import Gateway, Route
from ostinato.gateway.asking import answer_embeddings, answer_model
from ostinato.gateway.books import open_books
from ostinato.gateway.counting import count_tokens
from ostinato.gateway.document import show_document
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
        "/messages/count_tokens": Route(MESSAGES, {"POST": count_tokens}),
        "/responses": Route(RESPONSES, {"POST": answer_model}),
        "/completions": Route("completions", {"POST": answer_model}),
        "/embeddings": Route(CHAT, {"POST": answer_embeddings}),
        "/cache/ping": Route(CHAT, {"GET": cache_paths.ping}),
        "/cache/stats": Route(CHAT, {"GET": cache_paths.stats}),
        "/cache/delete": Route(CHAT, {"POST": cache_paths.delete}),
        "/cache/flush": Route(CHAT, {"POST": cache_paths.flush}),
        "/cache/flushall": Route(CHAT, {"POST": cache_paths.flush}),
        "/openapi.json": Route(CHAT, {"GET": show_document}, open=True),
        "/models": Route(CHAT, {"GET": reporting.models}, tail=True),
        "/model/info": Route(CHAT, {"GET": reporting.model_info}),
        "/health": Route(CHAT, {"GET": reporting.health}),
        "/health/readiness": Route(CHAT, {"GET": reporting.readiness}, open=True),
        "/health/liveness": Route(CHAT, {"GET": reporting.liveness}, open=True),
        "/health/liveliness": Route(CHAT, {"GET": reporting.liveness}, open=True),
        "/metrics": Route(CHAT, {"GET": reporting.metrics}),
        "/key/generate": Route(CHAT, {"POST": team_paths.generate}),
        "/key/list": Route(CHAT, {"GET": team_paths.listed}),
        "/key/revoke": Route(CHAT, {"POST": team_paths.revoke}),
        "/spend": Route(CHAT, {"GET": team_paths.spend}),
        "/ui": Route(CHAT, {"GET": team_paths.page}, tail=True, open=True),
    }


def build_app(config: Config, tally: Tally | None = None) -> Gateway:
    """Return the application for a configuration; `tally` is where this process counts."""
    cache = config.open_cache()
    return make_app(Service(config, cache=cache, watch=Watch(tally), books=open_books(config.ledger, cache)))


def make_app(service: Service, rest: Any = None) -> Gateway:
    """Return the application for a service."""
    return Gateway(service, routes(), rest)
