"""What holds for every test: no network, a clean environment, nothing left behind."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from ostinato.testing.emulator import Emulator

hypothesis.settings.register_profile(
    "ostinato",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ostinato")

_PRIVATE = re.compile(
    r"[A-Z_]+_(API_KEY|API_BASE|BASE_URL|API_VERSION)$|(OPENAI|ANTHROPIC|AZURE|AWS|OSTINATO|REDIS)_|.*_proxy$",
    re.IGNORECASE,
)
_KEPT = {"OSTINATO_REDIS_BIN", "OSTINATO_TRAFFIC"}


class NetworkBlockedError(Exception):
    """A test reached for the network. No OSError, so that no code under test takes it for a failed connection."""


def private_names(names: Iterable[str]) -> list[str]:
    """Return the environment variables that hold keys, addresses and proxies of whoever runs the tests."""
    return [name for name in names if _PRIVATE.match(name) and name not in _KEPT]


def _require_loopback(host: object) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in {"", "localhost", "localhost."}:
        return
    if isinstance(name, str) and name.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    try:
        if ipaddress.ip_address(str(name).partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass
    raise NetworkBlockedError(
        f"a test may talk to this machine alone, not to {host!r}; start an Emulator and use its base_url"
    )


@pytest.fixture(autouse=True, scope="session")
def _block_network() -> Iterator[None]:
    """Let sockets reach loopback alone. A name under `.invalid` is not found, as everywhere."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            _require_loopback(address[0])
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            _require_loopback(address[0])
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        _require_loopback(host)
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in private_names(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


_BEHIND_AN_ANSWER = {"ostinato-refresh", "ostinato-finish"}
"""Threads that go on when the caller has its answer; one that lives on would ask, and print, in another test."""


@pytest.fixture(autouse=True)
def _no_state_left_behind() -> Iterator[None]:
    """Put the process-wide settings back, and close the connections and caches that the process holds."""
    yield
    for thread in threading.enumerate():
        if thread.name in _BEHIND_AN_ANSWER:
            thread.join(30)
            assert not thread.is_alive()
    seeds = sys.modules.get("ostinato.agents.seeds")
    if seeds is not None:
        seeds.close_seed_caches()
    ostinato = sys.modules.get("ostinato")
    if ostinato is not None:
        ostinato.cache = None  # type: ignore[attr-defined]
        ostinato.set_verbose = False  # type: ignore[attr-defined]
    api = sys.modules.get("ostinato.api")
    if api is not None:
        api._client.close()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start the shipped provider emulator; `.base_url` says where."""
    from ostinato.testing.emulator import Emulator

    with Emulator() as running:
        yield running
