"""How the tests ask, and what they look for in an error."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from ostinato.errors import OstinatoError
from ostinato.transport.exchange import Outgoing, Timeouts
from tests.transport.peer import PATIENCE_S, Connection

SECRET = "sk-planted-9f3a"


def ask(url: str, *, body: bytes = b"{}", stream: bool = False, read_s: float = PATIENCE_S, **headers: str) -> Outgoing:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Outgoing("POST", url, named, body, Timeouts(connect_s=PATIENCE_S, read_s=read_s), stream)


def once(*parts: bytes) -> Callable[[Connection], None]:
    """Answer the first request with `parts` and close."""

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(*parts)

    return script


def failure_of(act: Callable[[], object]) -> OstinatoError:
    with pytest.raises(OstinatoError) as caught:
        act()
    return caught.value


def told(error: BaseException) -> str:
    """Return everything that an error and its chain say."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return "\n".join([*(f"{link!r} {vars(link)!r}" for link in links), *traceback.format_exception(error)])
