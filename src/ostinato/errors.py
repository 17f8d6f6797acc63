"""What can go wrong, as one tree.

    OstinatoError
    ├── ConfigurationError              a setting of ours is wrong (also a ValueError)
    │   └── MissingDependencyError      an optional package is absent (also an ImportError)
    ├── StoreError                      a store could not do what it was asked; never leaves the cache
    ├── ReplayMissError                 replay mode has no record for this call
    ├── UnsupportedParamsError          the vendor cannot take a parameter
    └── APIError                        the vendor, or the way to it, failed
        ├── APIConnectionError          no answer arrived
        │   └── Timeout                 … in time
        ├── APIResponseError            an answer arrived that is not what the wire promises
        ├── BadRequestError             400, 422
        │   ├── ContextWindowExceededError
        │   └── ContentPolicyViolationError
        ├── AuthenticationError         401
        ├── BudgetExceededError         402, or a quota that waiting does not refill
        ├── PermissionDeniedError       403
        ├── NotFoundError               404
        ├── ConflictError               409
        ├── RequestTooLargeError        413, or a request no rate limit will ever admit
        ├── RateLimitError              429
        └── InternalServerError         500 and above
            └── ServiceUnavailableError 503, 529

The names are those of OpenAI's client where it has one, so `except` clauses carry over.
"""

from __future__ import annotations


class OstinatoError(Exception):
    """The root of every error that ostinato raises on purpose."""

    status_code: int | None = None
    """HTTP status, of the vendor's answer or the nearest fit; None where no request was made."""
    code: str | None = None
    """The vendor's own machine-readable code, untouched."""
    request_id: str | None = None
    """The vendor's id for the request, to quote in a support ticket."""
    retry_after: float | None = None
    """Seconds to wait before another try, where the vendor said so."""
    provider: str | None = None
    """The provider's name, as in `provider/model`."""
    retryable: bool = False
    """Whether the same request may succeed later."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        provider: str | None = None,
        retryable: bool | None = None,
        body: object = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.body = body
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.provider = provider
        if status_code is not None:
            self.status_code = status_code
        if retryable is not None:
            self.retryable = retryable

    def copy(self) -> OstinatoError:
        """Return an equal error with its own traceback, so that several callers can raise it."""
        twin = type(self).__new__(type(self))
        twin.args = self.args
        twin.__dict__.update(self.__dict__)
        twin.__cause__ = self.__cause__
        return twin


def as_ours(error: Exception) -> OstinatoError:
    """Return `error` itself when it is one of ours, else a final error that carries it."""
    if isinstance(error, OstinatoError):
        return error
    ours = OstinatoError(f"this should not happen, please report it: {type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours


class ConfigurationError(OstinatoError, ValueError):
    """A setting of ours is wrong; nothing was sent."""


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional package is absent; the message says what to install."""


class StoreError(OstinatoError):
    """A store is down, full, slow or broken. The cache counts it and goes on without."""

    logged: bool = False
    """Whether the store has logged it already."""


class ReplayMissError(OstinatoError):
    """Replay mode has no usable record for this call, and nothing was sent."""


class UnsupportedParamsError(OstinatoError, ValueError):
    """The vendor cannot take a parameter. `drop_params=True` leaves it out."""

    status_code = 400


class APIError(OstinatoError):
    """The vendor answered with an error, or no usable answer arrived."""


class APIConnectionError(APIError):
    """No answer arrived: the name, the connection or the socket failed."""

    retryable = True


class Timeout(APIConnectionError):
    """No answer arrived in time."""

    status_code = 408


class APIResponseError(APIError):
    """An answer arrived that is no JSON, no UTF-8, cut short, or not of this wire."""

    retryable = True


class BadRequestError(APIError):
    """The request is wrong (400, 422); sending it again cannot help."""

    status_code = 400


class ContextWindowExceededError(BadRequestError):
    """The prompt does not fit the model's context window."""


class ContentPolicyViolationError(BadRequestError):
    """The vendor's policy refused the prompt."""


class AuthenticationError(APIError):
    """No key, or one the vendor does not accept (401)."""

    status_code = 401


class BudgetExceededError(APIError):
    """Not affordable (402, `insufficient_quota`): waiting does not help, paying does."""

    status_code = 402


class PermissionDeniedError(APIError):
    """The key may not do this (403)."""

    status_code = 403


class NotFoundError(APIError):
    """No such model or route (404)."""

    status_code = 404


class ConflictError(APIError):
    """The resource changed under the request (409)."""

    status_code = 409
    retryable = True


class RequestTooLargeError(APIError):
    """The request is larger than the vendor will ever admit (413)."""

    status_code = 413


class RateLimitError(APIError):
    """Too much at once (429); `retry_after` says how long to wait where the vendor does."""

    status_code = 429
    retryable = True


class InternalServerError(APIError):
    """The vendor failed (500 and above)."""

    status_code = 500
    retryable = True


class ServiceUnavailableError(InternalServerError):
    """The vendor is overloaded or down (503, 529)."""

    status_code = 503


def warn(message: str, *details: object) -> None:
    """Log a warning under the name `ostinato`. What is worth one is rare: the log is loaded for it."""
    import logging

    logging.getLogger("ostinato").warning(message, *details)
