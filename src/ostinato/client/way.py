"""One deployment, and how a request of a dialect becomes a request to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ostinato.client.address import Address
from ostinato.client.request import Request, build_chat
from ostinato.client.route import is_ours

if TYPE_CHECKING:
    from ostinato.client.ask import Deployment
    from ostinato.client.core import Core
    from ostinato.client.route import Route
    from ostinato.wire.contract import Built, Json
    from ostinato.wire.dialects import Dialect

_OWN = frozenset(
    {"api_base", "api_key", "base_url", "drop_params", "extra_headers", "extra_query", "num_retries", "timeout"}
)
"""What a deployment says of the way to it, beside what its address takes."""
_POINTS = "cache_control_injection_points"
ASKED = frozenset({_POINTS, "prompt_caching", "cache_seed"})
"""Settings of ours that are a client's to choose."""
_TAKES_BETAS = frozenset({"anthropic", "bedrock"})
_BOTH_APIS = frozenset({"openai", "azure"})
"""Vendors that speak chat and the Responses API for the same models: who asks in one of them is answered in it."""


class Way:
    """One deployment, for requests of one dialect."""

    __slots__ = ("_call", "_dialect", "_own", "deployment", "native", "pricer", "route")

    def __init__(self, route: Route, dialect: Dialect, deployment: Deployment) -> None:
        """Take the deployment's settings apart.

        Raises: ConfigurationError: it names prices that are none.
        """
        self.route = route
        self.deployment = deployment
        self.native = route.wire.name == dialect.name
        """Whether the vendor speaks the dialect itself."""
        self.pricer = route.priced_by(deployment.params)
        self._dialect = dialect
        self._own = {name: value for name, value in deployment.params.items() if name in _OWN}
        self._call = {name: value for name, value in deployment.params.items() if name not in _OWN}

    def request(self, body: Json, headers: Mapping[str, str]) -> Request:
        """Return what is sent for a request of the dialect, with those of its headers that count.

        Raises: BadRequestError, UnsupportedParamsError: it asks for what cannot be.
        """
        params = dict(self._call)
        own = self._own
        address = Address(
            self.route.found, params, api_base=own.get("api_base") or own.get("base_url"), api_key=own.get("api_key")
        )
        params.pop("api_version", None)
        return Request(
            self.route,
            address,
            self._built(body, headers, params, address),
            pricer=self.pricer,
            timeout=own.get("timeout"),
            num_retries=0,  # who plans the call asks again, here or elsewhere
            extra_headers=own.get("extra_headers"),
            extra_query=own.get("extra_query"),
        )

    def _built(self, body: Json, headers: Mapping[str, str], params: Json, address: Address) -> Built:
        pass_on = self._dialect.pass_on
        if self.native and pass_on is not None and not (_shape(params) or any(map(_is_ours, body))):
            return pass_on(body, self.route.name, headers)
        call = self._dialect.read_request(body)
        given = {**params, **call.params}
        drop_params = given.pop("drop_params", self._own.get("drop_params"))
        if "anthropic-beta" in headers and self.route.provider.name in _TAKES_BETAS:
            given["betas"] = headers["anthropic-beta"]
        strict = False if self.native else None
        return build_chat(self.route, call.messages, given, address, drop_params=bool(drop_params), strict=strict)


def _shape(params: Mapping[str, Any]) -> bool:
    """Say whether a deployment changes what it is asked: by marks, or by defaults of its own."""
    return any(value is not None and (name == _POINTS or not is_ours(name)) for name, value in params.items())


def _is_ours(name: str) -> bool:
    return name == "drop_params" or is_ours(name)


def way_to(core: Core, dialect: Dialect, deployment: Deployment) -> Way:
    """Return the way to a deployment: by the vendor's own API in the dialect, where it has one."""
    route = core._route(deployment.model)
    provider = route.provider
    if dialect.name == "openai_responses" and provider.name in _BOTH_APIS and route.wire.name != dialect.name:
        route = core._route(f"{provider.name}/responses/{route.name}")
    return Way(route, dialect, deployment)
