"""What a gateway is told: models, cache, keys, limits. Read from `config.yaml`, or found in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.gateway.models import Models

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache


class Limits(msgspec.Struct, frozen=True):
    """How much one client may take."""

    max_body_bytes: int = 64 << 20
    max_header_bytes: int = 64 << 10
    """The request line and all headers of one request."""
    read_timeout_s: float = 60.0
    """From a request's first byte to its last; also from connecting to a first byte."""
    write_timeout_s: float = 120.0
    """Without the client taking any of an answer that waits for it."""
    keep_alive_s: float = 75.0
    """A connection without a request is closed after so long."""
    max_connections: int = 10_000
    """Of one worker; more are answered 503."""
    shutdown_s: float = 60.0
    """What is still being answered so long after the signal to stop is cut."""


class Routing(msgspec.Struct, frozen=True):
    """How deployments and other aliases stand in for each other."""

    num_retries: int = 2
    """Tries beyond the first of each deployment."""
    timeout_s: float | None = None
    """Seconds without a byte after which a deployment has failed, where it says nothing itself; None: 600."""
    allowed_fails: int = 0
    """Failures within a minute that a deployment may have before it rests; 0: it rests after the first."""
    cooldown_s: float = 5.0
    """How long it rests; 0: never."""
    fallbacks: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """By alias, the aliases that are asked in order when all its deployments failed; `*`: of any alias."""
    context_window_fallbacks: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The same where the prompt does not fit."""
    content_policy_fallbacks: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The same where the vendor refused the prompt."""


class Config(msgspec.Struct, frozen=True):
    """Everything that a gateway is told. What it holds in secret does not show in its repr."""

    models: Models
    cache: Mapping[str, Any] | None = None
    """What `Cache` is made of; None: no response cache."""
    master_key: str | None = None
    """Who has it may do everything; None: any key will do, on loopback alone."""
    allow_client_credentials: bool = False
    """Whether a request may carry `api_key`, `api_base` and `extra_headers`."""
    drop_params: bool = False
    """Leave out what a vendor cannot take, unless the request or the deployment says otherwise."""
    limits: Limits = Limits()
    routing: Routing = Routing()
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Variables that the file sets (`environment_variables`)."""
    notes: tuple[str, ...] = ()
    """What there is to say about the file, once: settings of LiteLLM that are not carried out."""
    path: str | None = None

    def open_cache(self) -> Cache | None:
        """Return a new cache as it is configured, or None where there is to be none."""
        if self.cache is None:
            return None
        from ostinato.caching.cache import Cache

        return Cache(**self.cache)

    def __repr__(self) -> str:
        return f"Config(path={self.path!r}, models={len(self.models)}, cache={(self.cache or {}).get('type')!r})"
