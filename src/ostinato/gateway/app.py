"""The gateway as an ASGI application: which function answers a request, and what is refused before it.

The paths of models are found in one table and answered without a framework between; whatever is in no table goes
to `rest`, an ASGI application beside this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ostinato.errors import APIError, BadRequestError, InternalServerError, NotFoundError, OstinatoError
from ostinato.gateway.admit import admit
from ostinato.gateway.cache_paths import run_errand
from ostinato.gateway.exchange import ClientGoneError, Exchange, Receive, Scope, Send
from ostinato.gateway.headers import plain_headers
from ostinato.gateway.service import Service
from ostinato.gateway.tally import SHARE_S
from ostinato.wire.dialects import find_dialect

if TYPE_CHECKING:
    from ostinato.gateway.config import Config

Handler = Callable[["Service", Exchange], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class MethodNotAllowedError(APIError):
    """The path is there, the method is not (405)."""

    status_code = 405

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not answered here, only {' and '.join(allowed)}")
        self.allowed = allowed


class UnsupportedMediaTypeError(APIError):
    """The body is not said to be JSON (415)."""

    status_code = 415


class Route(msgspec.Struct, frozen=True):
    """What answers at a path."""

    dialect: str
    """In which errors are told."""
    methods: Mapping[str, Handler]
    tail: bool = False
    """Whether paths below it are its own as well."""
    open: bool = False
    """Whether anybody may ask, without a key."""
    path: str = ""
    """Where it is, without a prefix: the application knows."""


PREFIXES = ("", "/v1", "/v1/v1")
"""Before every path: clients are given base URLs with and without it, and some add their own."""


class Gateway:
    """The application. Replace `service` to have another configuration."""

    def __init__(self, service: Service, routes: Mapping[str, Route], rest: App | None = None) -> None:
        self.service = service
        placed = {path: replace(route, path=path) for path, route in routes.items()}
        self._routes = {prefix + path: route for path, route in placed.items() for prefix in PREFIXES}
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        route, parameter = self._routes.get(path), ""
        if route is None:
            route, parameter = self._find(path)
        service = self.service
        dialect = find_dialect(route.dialect if route is not None else _dialect_of(scope))
        exchange = Exchange(scope, receive, send, dialect, service.config.limits)
        exchange.parameter = parameter
        began_s = service.watch.begin()
        try:
            if route is None:
                await self._answer_rest(exchange)
                return
            handler = self._let_in(service, exchange, route)
            await handler(service, exchange)
        except ClientGoneError:
            pass
        except OstinatoError as error:
            await exchange.refuse(error)
        except RecursionError:
            await exchange.refuse(BadRequestError("the request is nested too deeply"))
        except Exception as error:  # the edge: whatever it is, the client hears that it is ours
            getLogger("ostinato.gateway").exception("call %s failed", exchange.call_id)
            begun = exchange.begun
            await exchange.refuse(InternalServerError(f"the gateway failed ({type(error).__name__}); its log says why"))
            if begun:
                raise
        finally:
            service.settle(exchange)
            service.watch.end(exchange, "other" if route is None else route.path, began_s)

    def _find(self, path: str) -> tuple[Route | None, str]:
        """Return the route of a path with a slash or a name at its end."""
        route = self._routes.get(path.rstrip("/")) if path != "/" else None
        if route is not None:
            return route, ""
        at = path.find("/", 1)
        while at > 0:
            route = self._routes.get(path[:at])
            if route is not None and route.tail:
                return route, path[at + 1 :]
            at = path.find("/", at + 1)
        return None, ""

    @staticmethod
    def _let_in(service: Service, exchange: Exchange, route: Route) -> Handler:
        """Return who answers.

        Raises: OstinatoError: the request is not let in.
        """
        scope, headers = exchange.scope, exchange.headers
        method = scope["method"]
        if not route.open:
            exchange.caller = admit(service.config, service.ring, scope, headers)
        handler = route.methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            raise MethodNotAllowedError(method, tuple(route.methods))
        if method == "POST" and not _is_json(headers.get(b"content-type", b"")):
            # Besides being plain, this keeps web pages out: a browser asks before it sends JSON elsewhere.
            raise UnsupportedMediaTypeError("the content-type of a request must be application/json")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMediaTypeError("a request must not be compressed: what it unpacks to nobody knows before")
        return handler

    async def _answer_rest(self, exchange: Exchange) -> None:
        scope = exchange.scope
        if self._rest is None:
            raise NotFoundError(f"nothing is at {scope['path']!r}")
        told = plain_headers(exchange.call_id)

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 404:
                    raise NotFoundError(f"nothing is at {scope['path']!r}")
                exchange.begun = True
                exchange.status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await exchange._send(message)

        await self._rest(scope, exchange._receive, send)

    async def reload(self, config: Config) -> None:
        """Answer by another configuration from here on; what is being answered goes on as it began.

        Raises: ConfigurationError: it cannot be; then nothing has changed.
        """
        before = self.service
        self.service = Service(config, before=before)
        if before.cache is not None and before.cache is not self.service.cache:
            await before.cache.aclose()  # who still uses it opens it again

    async def _live(self, receive: Receive, send: Send) -> None:
        sharing = asyncio.create_task(self._share())
        loading = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
                loading = asyncio.get_running_loop().run_in_executor(None, self.service.load)
            else:
                sharing.cancel()
                if loading is not None:
                    await loading
                await self.service.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _share(self) -> None:
        """Leave what is counted for the other workers, as long as this one lives."""
        while self.service.watch.tally.shared:
            self.service.look()
            self.service.watch.tally.share()
            await self.service.errands.heed(partial(run_errand, self.service))
            await asyncio.sleep(SHARE_S)


def _dialect_of(scope: Scope) -> str:
    """Return the dialect of a client at a path that is not there."""
    headers = dict(scope["headers"])
    return "anthropic" if b"anthropic-version" in headers or "/messages" in scope["path"] else "openai_chat"


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))
