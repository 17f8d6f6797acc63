"""`ostinato.set_verbose = True`: every request and answer on stderr, secrets masked."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostinato.transport.exchange import Outgoing

_package = sys.modules["ostinato"]
SECRET_HEADERS = re.compile(r"auth|key$|api-?key|token$|cookie|secret|signature|credential|passw", re.IGNORECASE)
"""How the names of headers look whose values nobody may see."""
_SECRET_QUERY = re.compile(r"([?&][^=&]*(?:key|token|sig|secret|credential)[^=&]*=)[^&]+", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^?#]*@")
_LONGEST = 100_000


def shows() -> bool:
    """Return whether the user asked to see what goes over the wire."""
    return bool(_package.set_verbose)


def show_request(out: Outgoing) -> None:
    """Print a request as it is sent."""
    url = _SECRET_QUERY.sub(r"\1***", _USER.sub("***@", out.url))
    _print(f"→ {out.method} {url}", out.headers, out.body)


def show_answer(status: int, headers: Mapping[str, str], body: bytes | None, hidden: Callable[[bytes], bytes]) -> None:
    """Print an answer; `body` None: a stream, whose events follow. `hidden` takes out the secrets that were sent."""
    headers = {name: hidden(value.encode()).decode() for name, value in headers.items()}
    _print(f"← {status}", headers, hidden(body) if body is not None else b"(a stream)")


def show_hit(key: bytes) -> None:
    """Print that the response cache answered."""
    print(f"ostinato ← response cache, key {key.hex()}", file=sys.stderr)  # noqa: T201  # what verbose is


def show_events(events: list[bytes], hidden: Callable[[bytes], bytes]) -> None:
    """Print events of a stream. `hidden` takes out the secrets that were sent."""
    for data in events:
        print(f"ostinato ← {_text(hidden(data))}", file=sys.stderr)  # noqa: T201


def _print(first: str, headers: Mapping[str, str], body: bytes) -> None:
    lines = [f"ostinato {first}"]
    for name, value in headers.items():
        lines.append(f"  {name}: {'***' if SECRET_HEADERS.search(name) else value}")
    lines.append(f"  {_text(body)}")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201


def _text(body: bytes) -> str:
    shown = body[:_LONGEST].decode("utf-8", "replace")
    return shown if len(body) <= _LONGEST else f"{shown}… ({len(body)} bytes in all)"
