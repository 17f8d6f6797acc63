"""A call, decided: which vendor, which request, which cache, which key. No I/O."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from ostinato.caching.key import Parts, custom_key, request_parts
from ostinato.client.verbose import show_request, shows
from ostinato.errors import APIResponseError, AuthenticationError, BadRequestError, ConfigurationError, OstinatoError
from ostinato.transport.exchange import Outgoing, Timeouts
from ostinato.transport.retry import RetryPolicy, retry_delay
from ostinato.wire.contract import Call

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.policy import Policy
    from ostinato.pricing import Cost, Prices
    from ostinato.providers import Provider
    from ostinato.records import Answer
    from ostinato.transport.exchange import Answered
    from ostinato.wire.contract import Built, Json, Wire

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_USUAL_RETRIES = RetryPolicy()

PRICE_NAMES = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
)
"""US dollars a token that a call may name for itself."""
NOT_SENT = ("prompt_caching", "cache_control_injection_points", "cache_seed", *PRICE_NAMES)
"""Parameters of ours that no vendor ever sees."""


class Route:
    """Where calls of one model name go."""

    __slots__ = ("base_env", "model", "name", "pricer", "provider", "wire")

    def __init__(self, model: str, provider: Provider, name: str, wire: Wire) -> None:
        self.model = model
        self.pricer = self.price
        self.provider = provider
        self.name = name
        self.wire = wire
        self.base_env = Environment(provider.base_env)

    def price(self, answer: Answer, custom: Prices | None = None) -> Cost | None:
        """Return what the vendor takes for `answer`, or None and one warning when that is not known."""
        from ostinato.pricing import price_answer  # the table is loaded for who asks

        usage = answer.get("usage")
        if usage is None:
            return None
        answer._provider = self.provider.name
        answer._runs = self.wire.tokens({"usage": usage.raw, "service_tier": answer.get("service_tier")})
        return price_answer(answer, model=self.model, custom=custom)

    def priced_by(self, params: Mapping[str, Any]) -> Callable[[Answer], Cost | None]:
        """Return what prices the answer to a call: by the call's own prices, where it names any."""
        custom = {name: params[name] for name in PRICE_NAMES if params.get(name) is not None}
        if not custom:
            return self.pricer
        from ostinato.pricing import Prices

        prices = Prices.of(custom)
        return lambda answer: self.price(answer, prices)


class Request:
    """What one call settles before anything is sent. Its `outgoing` is made when it is."""

    __slots__ = ("api_key", "base_url", "built", "extra_headers", "extra_query", "retries", "route", "timeouts")

    def __init__(
        self,
        route: Route,
        base_url: str,
        built: Built,
        *,
        api_key: str | None,
        timeout: float | None,
        num_retries: int,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
    ) -> None:
        self.route = route
        self.base_url = base_url
        self.built = built
        self.api_key = api_key
        self.timeouts = Timeouts.of(timeout)
        self.retries = _USUAL_RETRIES if num_retries == 2 and type(num_retries) is int else RetryPolicy(num_retries)
        self.extra_headers = dict(extra_headers or {})
        self.extra_query = extra_query

    @property
    def url(self) -> str:
        """The full URL of the request, before `stream` is decided."""
        return self.base_url + self.built.path + self.query

    @property
    def query(self) -> str:
        """The query that the call itself asks for, with its question mark."""
        if not self.extra_query:
            return ""
        return f"{'&' if '?' in self.built.path else '?'}{urlencode(self.extra_query, doseq=True)}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the call itself asks for."""
        return {**self.built.headers, **self.extra_headers}

    def outgoing(self, *, stream: bool) -> Outgoing:
        """Return the request as it is sent.

        Raises: AuthenticationError: no key is known.
        """
        built = self.route.wire.streaming(self.built) if stream else self.built
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            **_authorization(self.route.provider, self.api_key),
            **self.headers,
        }
        out = Outgoing(
            method="POST",
            url=self.base_url + built.path + self.query,
            headers=headers,
            body=_encode(built.body),
            timeouts=self.timeouts,
            stream=stream,
        )
        if shows():
            show_request(out)
        return out

    def streams(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether an answer to a request for a stream is one: some servers send the whole body anyhow."""
        return 200 <= status < 300 and "json" not in headers.get("content-type", "").replace("jsonl", "")

    def retry_delay(self, error: OstinatoError, attempt: int) -> float | None:
        """Return the seconds to wait before trying again after the `attempt`-th try, or None to give up."""
        return retry_delay(error, attempt - 1, self.retries, random.random)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> OstinatoError:
        """Return the error that an unsuccessful answer means."""
        error = self.route.wire.error(status, headers, body)
        error.provider = error.provider or self.route.provider.name
        return error

    def body(self, answered: Answered) -> Json:
        """Return the body of an answer as JSON.

        Raises: APIError: the answer is an error, or not of this wire.
        """
        if not 200 <= answered.status < 300:
            raise self.failure(answered.status, answered.headers, answered.body)
        try:
            body = _decode(answered.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise self._unreadable(f"no JSON: {exc}", answered) from exc
        if type(body) is not dict:
            raise self._unreadable(f"no JSON object but a {type(body).__name__}", answered)
        error = self.route.wire.event_error(body)
        if error is not None:
            error.provider = error.provider or self.route.provider.name
            raise error
        return body

    def _unreadable(self, what: str, answered: Answered) -> APIResponseError:
        return APIResponseError(
            f"{self.route.provider.name} answered {answered.status} with {what}",
            status_code=answered.status,
            request_id=answered.headers.get("x-request-id"),
            provider=self.route.provider.name,
        )


# A plain `os.environ.get` encodes the name and decodes the value each time: 0.7 µs, a tenth of a hit. On POSIX
# the mapping behind it is read directly, with names encoded once; elsewhere the public way is taken.
_environ: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
_encode_name: Callable[[str], Any] = getattr(os.environ, "encodekey", str)
_decode_value: Callable[[Any], str] = getattr(os.environ, "decodevalue", str)


class Environment:
    """The first of some environment variables that is set and not empty, read at every call."""

    __slots__ = ("_names",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = [_encode_name(name) for name in names]

    def read(self) -> str | None:
        """Return the value now, or None."""
        for name in self._names:
            value = _environ.get(name)
            if value:
                return _decode_value(value)
        return None


def checked_base_url(base_url: object, provider: Provider) -> str:
    """Return the base URL without a slash at its end.

    Raises: ConfigurationError: there is none, or it is no http(s) URL.
    """
    if not base_url:
        names = " or ".join(provider.base_env)
        raise ConfigurationError(f"provider {provider.name!r} needs a base URL; pass api_base= or set {names}")
    if isinstance(base_url, str):
        parts = urlsplit(base_url)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return base_url.rstrip("/")
    raise ConfigurationError(f"api_base must be an http:// or https:// URL, not {base_url!r}")


def _authorization(provider: Provider, api_key: str | None) -> dict[str, str]:
    key = api_key or Environment(provider.key_env).read()
    if not key:
        if provider.auth == "optional":
            return {}
        names = " or ".join(provider.key_env)
        raise AuthenticationError(
            f"no API key for provider {provider.name!r}; set {names} or pass api_key=", provider=provider.name
        )
    if not key.isascii() or not key.isprintable():
        raise AuthenticationError(
            f"the API key for provider {provider.name!r} has characters that no header can carry",
            provider=provider.name,
        )
    return {"x-api-key": key} if provider.auth == "x-api-key" else {"authorization": f"Bearer {key.strip()}"}


def build_chat(route: Route, messages: Any, params: Json, *, base_url: str, drop_params: bool) -> Built:
    """Return the vendor's request for a chat call.

    Raises: BadRequestError, UnsupportedParamsError.
    """
    provider = route.provider
    strict = provider.name == "openai" and base_url == provider.base_url
    sent = {name: value for name, value in params.items() if value is not None and name not in NOT_SENT}
    call = Call(route.name, messages, sent, drop_params=drop_params, strict=strict)
    try:
        return route.wire.build(call, provider)
    except RecursionError:
        raise BadRequestError("the messages or parameters refer to themselves", provider=provider.name) from None


def chat_parts(request: Request) -> Parts:
    """Return a built chat request in normal form."""
    return request_parts(endpoint(request), request.headers, request.route.wire.keyed_body(request.built.body))


def endpoint(request: Request) -> str:
    """Return what stands for the endpoint in a key: two providers may answer at one address."""
    return f"POST {request.route.provider.name} {request.url}"


def chosen_key(cache: Cache, policy: Policy, kind: str, arguments: Json, *, sample_index: int) -> bytes:
    """Return the 32-byte key for what the user's own function returns.

    Raises: ConfigurationError: it returned no string.
    """
    assert cache.get_cache_key is not None  # noqa: S101  # asked only then
    chosen = cache.get_cache_key(**arguments)
    if not isinstance(chosen, str):
        raise ConfigurationError(f"get_cache_key must return a string, not {chosen!r}")
    return custom_key(policy.scope, kind, chosen, sample_index)
