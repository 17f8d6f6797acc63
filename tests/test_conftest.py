from __future__ import annotations

import os
import socket

import pytest

from tests.conftest import private_names


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.com", 80)])
def test_a_socket_does_not_get_off_this_machine(address: tuple[str, int]) -> None:
    with socket.socket() as plain, pytest.raises(Exception, match="this machine alone"):
        plain.connect(address)
    with socket.socket() as plain, pytest.raises(Exception, match="this machine alone"):
        plain.connect_ex(address)


def test_a_name_of_the_internet_is_not_looked_up() -> None:
    with pytest.raises(Exception, match="this machine alone"):
        socket.getaddrinfo("example.com", 80)


def test_a_name_that_nobody_has_is_not_found() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("vendor.invalid", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost"])
def test_loopback_can_be_reached(host: str) -> None:
    with socket.create_server(("127.0.0.1" if host == "localhost" else host, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((host, port), timeout=5) as client:
            assert client.getpeername()[1] == port


def test_keys_and_proxies_of_the_machine_are_hidden() -> None:
    names = ["HOME", "OPENAI_API_KEY", "AWS_PROFILE", "https_proxy", "NO_PROXY", "OSTINATO_TRAFFIC", "PATH"]

    assert private_names(names) == ["OPENAI_API_KEY", "AWS_PROFILE", "https_proxy", "NO_PROXY"]
    assert private_names(os.environ) == ["AWS_EC2_METADATA_DISABLED"]
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"
