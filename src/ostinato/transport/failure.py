"""What went wrong on the way, in our own words.

No message shows more of a request than its host: keys stand in headers, prompts in bodies, and some gateways
take secrets in the query. The library's own text is passed on only where it cannot quote either side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from ostinato.errors import APIConnectionError, APIError, APIResponseError, Timeout

if TYPE_CHECKING:
    from ostinato.transport.exchange import Timeouts


def expected() -> type[Exception]:
    """Return the root of what httpx2 raises when the network or the peer fails."""
    import httpx2

    return httpx2.HTTPError


Kind = Literal[
    "no connection", "none free", "not sent", "silent", "refused", "refused by the proxy", "broken", "cut", "no HTTP"
]


def failure(exc: Exception, host: str, timeouts: Timeouts) -> APIError:
    """Return the error that an exception of httpx2 means, with that exception as its cause.

    Raise it outside the `except` block: an exception that is hidden here would be its context otherwise.
    """
    kind = _kind(exc)
    # Protocol errors quote the bytes at fault, so such a one is kept out of the chain as well.
    return as_error(kind, _detail(exc), host, timeouts, None if kind == "no HTTP" else exc)


def as_error(kind: Kind, detail: str, host: str, timeouts: Timeouts, cause: BaseException | None) -> APIError:
    """Return the error of a failure, in our own words where nobody else's can be trusted."""
    error: APIError
    match kind:
        case "no connection":
            error = Timeout(f"no connection to {host} within {timeouts.connect_s:g} s")
        case "none free":
            error = Timeout(f"no free connection to {host} within {timeouts.read_s:g} s")
        case "not sent":
            error = Timeout(f"{host} took no byte of the request for {timeouts.read_s:g} s")
        case "silent":
            error = Timeout(f"{host} sent nothing for {timeouts.read_s:g} s")
        case "refused":
            error = APIConnectionError(f"cannot connect to {host}: {detail}")
        case "refused by the proxy":
            error = APIConnectionError(f"the proxy did not connect to {host}: {detail}")
        case "broken":
            error = APIConnectionError(f"the connection to {host} broke: {detail}")
        case "cut":
            error = APIConnectionError(f"{host} closed the connection before the answer was whole")
        case "no HTTP":
            error = APIConnectionError(f"{host} does not speak HTTP as ostinato understands it")
        case _:
            assert_never(kind)
    error.__cause__ = cause
    return error


_CUT = ("Server disconnected", "peer closed connection")


def _kind(exc: Exception) -> Kind:
    import httpx2

    kinds: dict[type[Exception], Kind] = {
        httpx2.ConnectTimeout: "no connection",
        httpx2.PoolTimeout: "none free",
        httpx2.WriteTimeout: "not sent",
        httpx2.TimeoutException: "silent",
        httpx2.ConnectError: "refused",
        httpx2.ProxyError: "refused by the proxy",
        httpx2.NetworkError: "broken",
    }
    if isinstance(exc, httpx2.RemoteProtocolError) and str(exc).startswith(_CUT):
        return "cut"
    return next((kind for known, kind in kinds.items() if isinstance(exc, known)), "no HTTP")


def _detail(exc: Exception) -> str:
    """Return the library's text, or the name of the innermost cause where there is none."""
    cause: BaseException = exc
    while not str(cause) and cause.__cause__ is not None:
        cause = cause.__cause__
    return str(cause) or type(cause).__name__


def closed(host: str) -> APIConnectionError:
    """Return the error of a reader whose answer was closed under it."""
    return APIConnectionError(f"the answer of {host} was closed while it was read", retryable=False)


def too_long(host: str, limit_bytes: int, status: int) -> APIResponseError:
    """Return the error of a body beyond the limit."""
    return APIResponseError(
        f"the answer of {host} is longer than {limit_bytes} bytes", status_code=status, retryable=False
    )
