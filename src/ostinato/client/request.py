"""One request, settled before anything is sent: what, where to, how long, how often. No I/O."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ostinato.caching.key import Parts, Scope, account_digest, custom_key, request_parts
from ostinato.client.route import is_ours
from ostinato.client.verbose import SECRET_HEADERS, show_answer, show_request, shows
from ostinato.errors import APIResponseError, BadRequestError, ConfigurationError, OstinatoError
from ostinato.prompt_cache.points import place_points
from ostinato.transport.exchange import Outgoing, Timeouts
from ostinato.transport.retry import RetryPolicy, retry_delay
from ostinato.wire.contract import Call
from ostinato.wire.mending import Mender
from ostinato.wire.openai_chat.failure import request_id
from ostinato.wire.sse import BOM

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.flight import Flight
    from ostinato.caching.policy import Policy
    from ostinato.client.address import Address
    from ostinato.client.route import Pricer, Route
    from ostinato.transport.exchange import Answered
    from ostinato.wire.contract import Built, Json

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_chance = random.SystemRandom().random  # a seed of the program makes no two processes alike, nor is it drawn from
_USUAL_RETRIES = {number: RetryPolicy(number) for number in (0, 2)}
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key"})
_ACCOUNTS = frozenset({"openai-organization", "openai-project"})
"""Headers of the caller's own that say who pays."""
_ACCEPTED = {"sse": "text/event-stream", "eventstream": "application/vnd.amazon.eventstream"}


class Request:
    """What one call settles before anything is sent. Its `outgoing` is made when it is."""

    __slots__ = (
        "address",
        "answer_id",
        "built",
        "extra_headers",
        "extra_query",
        "pricer",
        "retries",
        "route",
        "said",
        "sent_headers",
        "timeouts",
    )

    def __init__(
        self,
        route: Route,
        address: Address,
        built: Built,
        *,
        pricer: Pricer,
        timeout: float | None,
        num_retries: int,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, Any] | None = None,
    ) -> None:
        self.route = route
        self.address = address
        self.built = built
        self.pricer = pricer
        """What prices the answer."""
        self.timeouts = Timeouts.of(timeout)
        usual = _USUAL_RETRIES.get(num_retries) if type(num_retries) is int else None
        self.retries = usual or RetryPolicy(num_retries)
        self.extra_headers = _mapping("extra_headers", extra_headers)
        for name, value in self.extra_headers.items():
            if not isinstance(value, str):
                raise ConfigurationError(f"header {name!r} must be text, not {type(value).__name__}")
        self.extra_query = {**address.query, **_mapping("extra_query", extra_query)}
        self.answer_id: str | None = None
        """The vendor's id for the answer that it is giving."""
        self.said: Mapping[str, str] = {}
        """The headers of that answer, names in lower case."""
        self.sent_headers: Mapping[str, str] = {}
        """What was sent last: a vendor may repeat what is secret in it."""

    @property
    def url(self) -> str:
        """The full URL of the request, before `stream` is decided."""
        return self.address.base_url + self.built.path + self.query

    @property
    def query(self) -> str:
        """The query that the call itself asks for, with its question mark."""
        if not self.extra_query:
            return ""
        from urllib.parse import urlencode

        return f"{'&' if '?' in self.built.path else '?'}{urlencode(self.extra_query, doseq=True)}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the call itself asks for."""
        return {**self.built.headers, **self.extra_headers}

    def outgoing(self, *, stream: bool) -> Outgoing:
        """Return the request as it is sent.

        Raises: AuthenticationError: no key is known.
        """
        wire = self.route.wire
        self.answer_id, self.said = None, {}
        built = wire.streaming(self.built) if stream else self.built
        url = self.address.base_url + built.path + self.query
        body = _encode(built.body)
        accept = _ACCEPTED[wire.framing] if stream else "application/json"
        headers = {"content-type": "application/json", "accept": accept, **self.headers}
        headers = {**self.address.authorization(url, headers, body), **headers}
        self.sent_headers = headers
        out = Outgoing("POST", url, headers, body, self.timeouts, stream)
        if shows():
            show_request(out)
        return out

    def streams(self, status: int, headers: Mapping[str, str], first: bytes) -> bool:
        """Return whether an answer to a request for a stream is one: some servers send the whole body anyhow.

        `first` are its first bytes: some say it were JSON when it is none.
        """
        if not 200 <= status < 300:
            return False
        return "json" not in headers.get("content-type", "") or first.lstrip()[:1] not in {b"{", b"["}

    def retry_delay(self, error: OstinatoError, attempt: int) -> float | None:
        """Return the seconds to wait before trying again after the `attempt`-th try, or None to give up."""
        return retry_delay(error, attempt - 1, self.retries, _chance)

    def hear(self, headers: Mapping[str, str]) -> None:
        """Note what the vendor says beside its answer."""
        self.answer_id, self.said = request_id(headers), headers

    def land(self, flight: Flight, token: int, answered: Answered) -> None:
        """Land a flight with a whole answer.

        Raises: APIError: the answer is an error, or not of this wire.
        """
        self.hear(answered.headers)
        if shows():
            show_answer(answered.status, answered.headers, answered.body, self.hidden)
        raw, body = self._body(answered, answered.body.removeprefix(BOM))
        flight.landed(token, raw, body, headers=self._kept_headers(answered.headers))

    def _body(self, answered: Answered, raw: bytes) -> tuple[bytes, Json]:
        wire = self.route.wire
        if not 200 <= answered.status < 300:
            # Secrets go before a long text is shortened: half of one would not be known again.
            raise wire.error(answered.status, answered.headers, self.hidden(answered.body))
        try:
            try:
                body = _decode(raw)
            except msgspec.DecodeError:
                raw = Mender().mended(raw)
                body = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise self._unreadable(f"no JSON: {exc}", answered) from exc
        if type(body) is not dict:
            raise self._unreadable(f"no JSON object but a {type(body).__name__}", answered)
        error = wire.event_error(body)
        if error is not None:
            raise error
        return raw, body

    def _unreadable(self, what: str, answered: Answered) -> APIResponseError:
        message = f"{self.route.provider.name} answered {answered.status} with {what}"
        return APIResponseError(message, status_code=answered.status)

    def _kept_headers(self, headers: Mapping[str, str]) -> dict[str, str] | None:
        """Return the headers of an answer that belong to it: Bedrock counts tokens there."""
        if self.route.provider.auth != "aws":
            return None
        return {name: value for name, value in headers.items() if name.startswith("x-amzn-bedrock-")} or None

    def sign(self, error: OstinatoError) -> None:
        """Say in an error who made it and for which request, and take out of it what was secret in the request."""
        error.provider = error.provider or self.route.provider.name
        error.request_id = error.request_id or self.answer_id
        for name, value in list(vars(error).items()):
            setattr(error, name, self._hidden_in(value))
        error.args = tuple(self._hidden_in(arg) for arg in error.args)

    def _hidden_in(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.hidden(value.encode(errors="surrogatepass")).decode(errors="surrogatepass")
        if isinstance(value, dict):
            return {self._hidden_in(name): self._hidden_in(item) for name, item in value.items()}
        return [self._hidden_in(item) for item in value] if isinstance(value, list) else value

    def hidden(self, text: bytes) -> bytes:
        """Return what the vendor said without the secrets that were sent to it."""
        for name, value in self.sent_headers.items():
            for secret in _secrets(name, value):
                text = text.replace(secret, b"***")
        return text


def _mapping(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(f"{name} must be a mapping of names to texts, not {type(given).__name__}")
    return dict(given or {})


def _secrets(name: str, value: object) -> list[bytes]:
    """Return what a header says in secret. What is shorter than a key may stand in other words as well."""
    if not isinstance(value, str) or not SECRET_HEADERS.search(name):
        return []
    return [word.encode(errors="surrogatepass") for word in value.split() if len(word) >= 8]


def build_chat(
    route: Route, messages: Any, params: Json, address: Address, *, drop_params: bool, strict: bool | None = None
) -> Built:
    """Return the vendor's request for a chat call; `strict` None: as the vendor and its address say.

    Raises: BadRequestError, UnsupportedParamsError.
    """
    provider = route.provider
    # A server of one's own is taken at its word: what OpenAI does not know may be known there.
    if strict is None:
        strict = provider.auth in {"aws", "x-api-key"} or address.base_url == provider.base_url
    points = params.get("cache_control_injection_points")
    if points:
        messages, params = place_points(messages, params, points)
    if params.get("prompt_caching"):
        from ostinato.prompt_cache.auto import place_auto  # loaded for who asks for it

        messages, params = place_auto(messages, params, route.found, route.cached_from)
    sent = {name: value for name, value in params.items() if value is not None and not is_ours(name)}
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


def key_scope(cache: Cache, policy: Policy, request: Request) -> Scope:
    """Return whose entries a call means: by who pays as well, where the cache keeps accounts apart.

    Raises: AuthenticationError: nobody is known to pay.
    """
    if not cache.per_account:
        return policy.scope
    said = {name.lower(): value for name, value in request.headers.items() if name.lower() in _CREDENTIALS | _ACCOUNTS}
    if not said.keys() & _CREDENTIALS:
        said["credential"] = request.address.credential()
    return replace(policy.scope, account=account_digest(said.items()))


def chosen_key(cache: Cache, scope: Scope, kind: str, arguments: Json, *, sample_index: int) -> bytes:
    """Return the 32-byte key for what the user's own function returns.

    Raises: ConfigurationError: it returned no string.
    """
    assert cache.get_cache_key is not None  # noqa: S101  # asked only then
    chosen = cache.get_cache_key(**arguments)
    if not isinstance(chosen, str):
        raise ConfigurationError(f"get_cache_key must return a string, not {chosen!r}")
    return custom_key(scope, kind, chosen, sample_index)
