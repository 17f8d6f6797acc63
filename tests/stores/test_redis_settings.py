"""What a cache in Redis is told, by keywords, by a URL and by the environment."""

from __future__ import annotations

from typing import Any

import pytest

from ostinato import Cache
from ostinato.caching.stores.redis_settings import ENVIRONMENT, read_settings
from ostinato.errors import ConfigurationError, MissingDependencyError

SECRET = "sesame-and-lily"


def test_a_redis_without_settings_is_the_one_of_this_machine() -> None:
    settings = read_settings({}, {})

    assert (settings.kind, settings.addresses, settings.tls) == ("single", (("localhost", 6379),), False)
    assert (settings.timeout_s, settings.prefix, settings.near_bytes) == (0.25, b"ostinato:", 0)


@pytest.mark.parametrize(
    ("given", "where", "options"),
    [
        ({"host": "h", "port": "7000", "password": "p"}, "h:7000", {"password": "p"}),
        ({"redis_host": "h", "redis_port": 7000, "redis_password": 5}, "h:7000", {"password": "5"}),
        ({"url": "redis://u:p%40ss@h:7000/3"}, "h:7000", {"username": "u", "password": "p@ss", "db": 3}),
        ({"redis_url": "redis://h"}, "h:6379", {}),
        ({"unix_socket_path": "/run/redis.sock", "db": "2"}, "/run/redis.sock", {"db": 2}),
        ({"redis_url": "unix://u:p@/run/redis.sock"}, "/run/redis.sock", {"username": "u", "password": "p"}),
        ({"startup_nodes": [{"host": "a", "port": 1}, {"host": "b", "port": "2"}]}, "a:1, b:2", {}),
        ({"redis_startup_nodes": "a:1, [::1]:2"}, "a:1, ::1:2", {}),
        (
            {"redis_url": "redis+cluster://u:p%40@a:1,b,[::1]:2/0"},
            "a:1, b:6379, ::1:2",
            {"username": "u", "password": "p@"},
        ),
        ({"redis_url": "rediss+cluster://a?ssl_ca_certs=/ca"}, "a:6379", {"ssl_ca_certs": "/ca"}),
        (
            {"sentinel_nodes": [["a", 1], ("b", 2)], "service_name": "main", "username": "u"},
            "main by a:1, b:2",
            {"username": "u"},
        ),
    ],
)
def test_places_are_read_in_all_their_spellings(given: dict[str, Any], where: str, options: dict[str, Any]) -> None:
    settings = read_settings(given, {})

    assert settings.where == where
    assert options.items() <= settings.options.items()


def test_tls_is_asked_for_by_a_switch_or_a_url() -> None:
    assert read_settings({"host": "h", "ssl": "true", "ssl_ca_certs": "/ca.pem"}, {}).tls
    assert read_settings({"redis_url": "rediss://h", "ssl_ca_certs": "/ca.pem"}, {}).tls
    assert not read_settings({"host": "h", "ssl": "False"}, {}).tls


def test_the_environment_says_what_the_keywords_leave_out() -> None:
    there = {"REDIS_HOST": "env", "REDIS_PORT": "7000", "REDIS_PASSWORD": SECRET, "REDIS_SSL": "True"}

    assert read_settings({}, there).where == "env:7000"
    assert read_settings({}, there).tls
    assert read_settings({"host": "mine"}, there).where == "mine:7000"
    assert read_settings({"host": "mine"}, there).options["password"] == SECRET
    assert read_settings({"host": "mine", "password": "other"}, there).options["password"] == "other"


def test_a_url_gets_nothing_from_the_environment() -> None:
    there = {"REDIS_HOST": "env", "REDIS_PASSWORD": SECRET, "REDIS_SSL": "True"}
    settings = read_settings({"redis_url": "redis://mine"}, there)

    assert (settings.where, settings.tls) == ("mine:6379", False)
    assert "password" not in settings.options


@pytest.mark.parametrize(
    ("there", "kind", "where"),
    [
        ({"REDIS_URL": "redis://a:1", "REDIS_HOST": "b", "REDIS_PASSWORD": "x"}, "single", "a:1"),
        ({"REDIS_CLUSTER_NODES": '[{"host": "a", "port": 1}]', "REDIS_URL": "redis://b"}, "cluster", "a:1"),
        ({"REDIS_SENTINEL_NODES": '[["a", 1]]', "REDIS_SERVICE_NAME": "main"}, "sentinel", "main by a:1"),
        ({"REDIS_HOST": "", "REDIS_PORT": ""}, "single", "localhost:6379"),
    ],
)
def test_the_environment_names_any_kind_of_place(there: dict[str, str], kind: str, where: str) -> None:
    settings = read_settings({}, there)

    assert (settings.kind, settings.where) == (kind, where)


def test_sentinels_have_credentials_of_their_own() -> None:
    given = {"sentinel_nodes": "a:1", "service_name": "main", "password": "p", "sentinel_password": "s"}
    settings = read_settings(given, {})

    assert settings.options["password"] == "p"
    assert settings.sentinel_options["password"] == "s"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"hots": "h"}, "no setting 'hots'; did you mean 'host'"),
        ({"xyzzy": 1}, "no setting 'xyzzy'$"),
        ({"host": "h", "redis_host": "h"}, "'host' is given twice"),
        ({"host": "h", "redis_url": "redis://h"}, "either redis_url or 'host'"),
        ({"host": "h", "unix_socket_path": "/s"}, "one place"),
        ({"port": "many"}, "'port' cannot be that, not 'many'"),
        ({"ssl": "perhaps"}, "'ssl' cannot be that"),
        ({"redis_url": "http://h"}, "no URL that redis-py reads"),
        ({"redis_url": f"redis://:{SECRET}@h:port"}, "no URL that redis-py reads"),
        ({"redis_url": f"redis+cluster://:{SECRET}@h:port"}, "no URL that redis-py reads"),
        ({"redis_url": f"redis+cluster://:{SECRET}@h:1,i:port"}, "'startup_nodes' cannot be that"),
        ({"redis_url": "redis+cluster://h/1"}, "one database"),
        ({"redis_url": "unix://"}, "no path"),
        ({"redis_url": "redis+sentinel://h"}, "sentinel_nodes="),
        ({"redis_url": "redis://h?decode_response=1"}, "did you mean 'decode_responses'"),
        ({"sentinel_nodes": "a:1"}, "needs service_name"),
        ({"service_name": "main"}, "needs sentinel_nodes"),
        ({"startup_nodes": []}, "'startup_nodes' cannot be that"),
        ({"startup_nodes": "a:1", "db": 1}, "one database"),
        ({"ssl_ca_certs": "/ca.pem"}, "needs ssl=True"),
        ({"unix_socket_path": "/s", "ssl": True}, "no TLS"),
        ({"timeout_ms": 0}, "timeout_ms must be"),
        ({"timeout_ms": float("nan")}, "timeout_ms must be"),
        ({"max_connections": 0}, "max_connections must be"),
    ],
)
def test_what_cannot_be_is_told_without_a_secret(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as raised:
        read_settings(given, {})

    assert SECRET not in "".join(map(str, (raised.value, raised.value.__cause__)))


def test_deadlines_come_from_redis_py_s_own_keyword_when_ours_is_not_given() -> None:
    assert read_settings({"socket_timeout": 5}, {}).timeout_s == 5
    assert read_settings({"socket_timeout": 5, "timeout_ms": "80"}, {}).timeout_s == 0.08


def test_a_password_is_in_no_description() -> None:
    settings = read_settings({"host": "h.invalid", "username": "u", "password": SECRET}, {})
    cache = Cache(type="redis", host="h.invalid", password=SECRET)

    assert SECRET not in f"{settings!r} {settings} {cache!r} {cache.store!r} {cache.stats()}"


def test_a_redis_that_others_use_is_not_bounded_from_here() -> None:
    with pytest.raises(ConfigurationError, match="maxmemory"):
        Cache(type="redis", max_bytes=1000)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'ostinato\[redis\]'"):
        Cache(type="redis")


def test_every_variable_means_a_setting() -> None:
    assert set(ENVIRONMENT.values()) <= {*read_settings.__globals__["KNOWN"]}
