"""What went wrong on the way, in our own words.

No message shows more of a request than its host: keys stand in headers, prompts in bodies, and some gateways
take secrets in the query. The library's own text is passed on only where it cannot quote either side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostinato.errors import APIConnectionError, APIError, APIResponseError, Timeout

if TYPE_CHECKING:
    from ostinato.transport.exchange import Timeouts


def expected() -> type[Exception]:
    """Return the root of what the HTTP library raises when the network or the peer fails."""
    import httpx2

    return httpx2.HTTPError


def failure(exc: Exception, host: str, timeouts: Timeouts) -> APIError:
    """Return the error that an exception of the HTTP library means, with that exception as its cause.

    Raise it outside the `except` block: an exception that is hidden here would be its context otherwise.
    """
    import httpx2

    error: APIError
    match exc:
        case httpx2.TimeoutException():
            error = Timeout(_timed_out(exc, host, timeouts))
        case httpx2.ConnectError():
            error = APIConnectionError(f"cannot connect to {host}: {_detail(exc)}")
        case httpx2.ProxyError():
            error = APIConnectionError(f"the proxy did not connect to {host}: {_detail(exc)}")
        case httpx2.NetworkError():
            error = APIConnectionError(f"the connection to {host} broke: {_detail(exc)}")
        case httpx2.RemoteProtocolError() if str(exc).startswith(_CUT):
            error = APIConnectionError(f"{host} closed the connection before the answer was whole")
        case _:
            # Protocol errors quote the bytes at fault, so this one is kept out of the chain as well.
            return APIConnectionError(f"{host} does not speak HTTP as ostinato understands it")
    error.__cause__ = exc
    return error


_CUT = ("Server disconnected", "peer closed connection")


def _timed_out(exc: Exception, host: str, timeouts: Timeouts) -> str:
    import httpx2

    match exc:
        case httpx2.ConnectTimeout():
            return f"no connection to {host} within {timeouts.connect_s:g} s"
        case httpx2.PoolTimeout():
            return f"no free connection to {host} within {timeouts.read_s:g} s"
        case httpx2.WriteTimeout():
            return f"{host} took no byte of the request for {timeouts.read_s:g} s"
        case _:
            return f"{host} sent nothing for {timeouts.read_s:g} s"


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
