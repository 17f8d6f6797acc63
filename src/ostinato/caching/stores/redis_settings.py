"""Where a Redis is and how it is spoken to: keywords, URLs and the environment, read into one value."""

from __future__ import annotations

import difflib
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from ostinato.errors import ConfigurationError, MissingDependencyError

Address = tuple[str, int]

TIMEOUT_MS = 250.0
PREFIX = "ostinato:"
MAX_VALUE_BYTES = 16 * 2**20
MAX_CONNECTIONS = 100
OPEN_S = 2.0
"""How long each step of opening a connection may take behind the caller, who waits for its own deadline at most."""

OURS = ("timeout_ms", "prefix", "max_value_bytes", "near_bytes", "max_connections")
PLACES = ("redis_url", "host", "unix_socket_path", "startup_nodes", "sentinel_nodes")
SAME = {
    "url": "redis_url",
    "path": "unix_socket_path",
    "redis_startup_nodes": "startup_nodes",
    "cluster_nodes": "startup_nodes",
    "redis_host": "host",
    "redis_port": "port",
    "redis_password": "password",
}
"""Other spellings of LiteLLM and redis-py, and ours."""

TLS = (
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_cert_reqs",
    "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_ca_path",
    "ssl_check_hostname",
    "ssl_password",
    "ssl_min_version",
    "ssl_ciphers",
    "ssl_validate_ocsp",
    "ssl_validate_ocsp_stapled",
    "ssl_ocsp_context",
    "ssl_ocsp_expected_cert",
)
PASSED_ON = (
    "db",
    "username",
    "password",
    "client_name",
    "credential_provider",
    "redis_connect_func",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "socket_type",
    "socket_read_size",
    *TLS,
)
"""Keywords of redis-py's connections that go to them as they are."""
WITHOUT_EFFECT = (
    "auto_close_connection_pool",
    "decode_responses",
    "driver_info",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "legacy_responses",
    "lib_name",
    "lib_version",
    "protocol",
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "single_connection_client",
)
"""Keywords of redis-py that are taken and change nothing: values are bytes, retries and health are the store's."""
SENTINEL = ("service_name", "sentinel_password", "sentinel_username", "sentinel_kwargs", "force_master_ip")
KNOWN = (*OURS, *PLACES, *SAME, "port", "ssl", "socket_timeout", *SENTINEL, *PASSED_ON, *WITHOUT_EFFECT)

ENVIRONMENT = {
    "REDIS_URL": "redis_url",
    "REDIS_HOST": "host",
    "REDIS_PORT": "port",
    "REDIS_CLUSTER_NODES": "startup_nodes",
    "REDIS_SENTINEL_NODES": "sentinel_nodes",
    "REDIS_SERVICE_NAME": "service_name",
    "REDIS_SENTINEL_PASSWORD": "sentinel_password",
    "REDIS_USERNAME": "username",
    "REDIS_PASSWORD": "password",
    "REDIS_DB": "db",
    "REDIS_SSL": "ssl",
    "REDIS_SSL_CA_CERTS": "ssl_ca_certs",
    "REDIS_SSL_CERTFILE": "ssl_certfile",
    "REDIS_SSL_KEYFILE": "ssl_keyfile",
    "REDIS_SSL_CERT_REQS": "ssl_cert_reqs",
    "REDIS_SSL_CHECK_HOSTNAME": "ssl_check_hostname",
    "REDIS_SOCKET_TIMEOUT": "socket_timeout",
    "REDIS_MAX_CONNECTIONS": "max_connections",
}
NUMBERS: dict[str, type[int | float]] = {
    "port": int,
    "db": int,
    "max_connections": int,
    "max_value_bytes": int,
    "near_bytes": int,
    "socket_read_size": int,
    "timeout_ms": float,
    "socket_timeout": float,
    "socket_connect_timeout": float,
}
SWITCHES = ("ssl", "ssl_check_hostname", "socket_keepalive")


class Settings(msgspec.Struct, frozen=True):
    """Where the server is, how to open a connection to it, and what the store may do there."""

    kind: Literal["single", "unix", "cluster", "sentinel"]
    addresses: tuple[Address, ...] = ()
    """The server; or where a cluster or the sentinels can be asked for it."""
    path: str = ""
    """Of a Unix socket."""
    options: dict[str, Any] = {}
    """Keywords of redis-py's connections. They hold the password: nothing of them is shown."""
    tls: bool = False
    service_name: str = ""
    sentinel_options: dict[str, Any] = {}
    force_master_ip: str | None = None
    max_connections: int = MAX_CONNECTIONS
    timeout_s: float = TIMEOUT_MS / 1000
    prefix: bytes = PREFIX.encode()
    max_value_bytes: int = MAX_VALUE_BYTES
    near_bytes: int = 0

    def __repr__(self) -> str:
        return f"Settings({self.where})"

    @property
    def where(self) -> str:
        """The server's place, as errors name it."""
        if self.kind == "unix":
            return self.path
        places = ", ".join(f"{host}:{port}" for host, port in self.addresses)
        return f"{self.service_name} by {places}" if self.kind == "sentinel" else places

    def pool_key(self) -> tuple[object, ...]:
        """Return what two stores have in common that may share connections."""
        named = [*sorted(self.options.items()), *sorted(self.sentinel_options.items())]
        options = tuple((name, value if isinstance(value, str | int | float) else id(value)) for name, value in named)
        place = (self.kind, self.addresses, self.path, self.tls, self.service_name, self.force_master_ip)
        return (*place, options, self.max_connections, self.timeout_s, self.max_value_bytes)


def read_settings(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that these keywords mean, the rest of them from the environment.

    A URL says all about its connection. Where no place is given, the environment's is taken.

    Raises:
        ConfigurationError: an unknown keyword, or a value that cannot be.
        MissingDependencyError: the package `redis` is not installed.
    """
    _require_package()
    named = _by_name(given)
    there = _by_name(_environment(os.environ if environment is None else environment))
    if not any(name in named for name in PLACES):
        named = {**there, **named}
    elif "redis_url" not in named:
        named = {**{name: value for name, value in there.items() if name not in PLACES}, **named}
    if "redis_url" in named:
        named = {**{name: value for name, value in named.items() if name != "redis_url"}, **_from_url(named)}
    return _settled(named)


def _require_package() -> None:
    try:
        import hiredis  # noqa: F401
        import redis  # noqa: F401
    except ImportError as exc:
        raise MissingDependencyError("a cache in Redis needs one more package: pip install 'ostinato[redis]'") from exc


def _by_name(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by their one name, without those that are None."""
    named: dict[str, Any] = {}
    for name, value in given.items():
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(f"a cache of type 'redis' has no setting {name!r}{hint}")
        if value is None:
            continue
        own = SAME.get(name, name)
        if own in named:
            raise ConfigurationError(f"{own!r} is given twice, the other time as {name!r}")
        named[own] = _typed(own, value)
    return named


def _typed(name: str, value: Any) -> Any:
    """Return `value` as what its setting takes: texts of the environment and of YAML become numbers and switches."""
    try:
        if name in NUMBERS:
            return NUMBERS[name](value)
        if name in SWITCHES and isinstance(value, str):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
        if name in {"username", "password", "sentinel_password", "prefix"}:
            return value.decode() if isinstance(value, bytes) else str(value)
        if name == "startup_nodes":
            return _addresses(value, 6379)
        if name == "sentinel_nodes":
            return _addresses(value, 26379)
    except (KeyError, TypeError, ValueError):
        # Without the cause, and without the value of what may be a secret.
        shown = "" if "password" in name else f", not {value!r}"
        raise ConfigurationError(f"{name!r} cannot be that{shown}") from None
    return value


def _addresses(nodes: Any, default_port: int) -> tuple[Address, ...]:
    """Return the addresses in a list of `{"host", "port"}`, pairs or `host:port`; also as JSON, or with commas."""
    if isinstance(nodes, str):
        text = nodes.strip()
        nodes = msgspec.json.decode(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
    found = [_address(node, default_port) for node in nodes]
    if not found:
        raise ValueError("no node")
    return tuple(found)


def _address(node: Any, default_port: int) -> Address:
    if isinstance(node, Mapping):
        return str(node["host"]), int(node.get("port", default_port))
    if isinstance(node, str):
        host, colon, port = node.rpartition(":")
        return (host.strip("[]"), int(port)) if colon else (node, default_port)
    if isinstance(node, Sequence):
        host, port = node
        return str(host), int(port)
    # redis-py's ClusterNode
    return str(node.host), int(node.port)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    found = {name: variables[variable] for variable, name in ENVIRONMENT.items() if variables.get(variable)}
    # One place: what knows about several servers before what names one.
    for place in ("startup_nodes", "sentinel_nodes", "redis_url"):
        if place in found:
            others = {*PLACES, "port"} - {place}
            if place == "redis_url":
                return {"redis_url": found[place], **_only(found, ("max_connections", "socket_timeout"))}
            return {name: value for name, value in found.items() if name not in others}
    return found


def _only(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}


def _from_url(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the URL among `named` says, as settings by name."""
    from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

    extra = [name for name in (*PLACES, "port", "ssl") if name in named and name != "redis_url"]
    if extra:
        raise ConfigurationError(f"give either redis_url or {' and '.join(map(repr, extra))}, not both")
    url, nodes = _of_cluster(str(named["redis_url"]))
    if url.startswith("redis+sentinel:"):
        raise ConfigurationError("a URL cannot name sentinels; give sentinel_nodes= and service_name=")
    try:
        found = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # The URL may hold a password: neither it nor the cause is shown.
        raise ConfigurationError(
            "redis_url is no URL that redis-py reads: redis://[user:password@]host[:port][/db], rediss:// or unix://;"
            " nor redis+cluster:// or rediss+cluster://"
        ) from None
    kind = found.pop("connection_class", None)
    if kind is SSLConnection:
        found["ssl"] = True
    if kind is UnixDomainSocketConnection and "path" not in found:
        raise ConfigurationError("redis_url names no path of a Unix socket")
    if nodes:
        found["startup_nodes"] = nodes
        found.pop("host", None), found.pop("port", None)
    return _by_name(found)


def _of_cluster(url: str) -> tuple[str, str]:
    """Return a cluster's URL as that of its first server, and its servers with commas; none of any other URL."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"redis+cluster", "rediss+cluster"}:
        return url, ""
    end = re.search(r"[/?]|$", rest).start()  # type: ignore[union-attr]  # it matches everywhere
    who, at, nodes = rest[:end].rpartition("@")
    return f"{scheme.removesuffix('+cluster')}://{who}{at}{nodes.partition(',')[0]}{rest[end:]}", nodes or "localhost"


def _settled(named: dict[str, Any]) -> Settings:
    tls = bool(named.get("ssl", False))
    for name in TLS:
        if name in named and not tls:
            raise ConfigurationError(f"{name!r} needs ssl=True, or a URL that begins with rediss://")
    timeout_ms = named.get("timeout_ms", named.get("socket_timeout", TIMEOUT_MS / 1000) * 1000)
    for name, value, least in (
        ("timeout_ms", timeout_ms, 1),
        ("max_connections", named.get("max_connections", 1), 1),
        ("max_value_bytes", named.get("max_value_bytes", 1), 1),
        ("near_bytes", named.get("near_bytes", 0), 0),
    ):
        if not least <= value < float("inf"):
            raise ConfigurationError(f"{name} must be a number from {least} up, not {value!r}")
    options = {name: value for name, value in named.items() if name in PASSED_ON}
    options["socket_timeout"] = max(OPEN_S, timeout_ms / 1000)
    options.setdefault("socket_connect_timeout", options["socket_timeout"])
    if options.get("ssl_cert_reqs") in {"none", ssl.CERT_NONE}:
        # Else older versions of redis-py refuse the contradiction.
        options.setdefault("ssl_check_hostname", False)
    shared = {
        "options": options,
        "tls": tls,
        "timeout_s": timeout_ms / 1000,
        "prefix": named.get("prefix", PREFIX).encode(),
        **_only(named, ("max_connections", "max_value_bytes", "near_bytes")),
    }
    return _placed(named, shared)


def _placed(named: dict[str, Any], shared: dict[str, Any]) -> Settings:
    given = [name for name in PLACES if name in named]
    if len(given) > 1:
        raise ConfigurationError(f"give one place of the server, not {' and '.join(map(repr, given))}")
    if "unix_socket_path" in named:
        if shared["tls"]:
            raise ConfigurationError("a Unix socket speaks no TLS: leave out ssl")
        return Settings("unix", path=str(named["unix_socket_path"]), **shared)
    if "startup_nodes" in named:
        if shared.get("near_bytes"):
            raise ConfigurationError("a near cache follows one server: leave out near_bytes, or tier memory over it")
        if named.get("db"):
            raise ConfigurationError("a cluster has one database, 0: leave out db")
        return Settings("cluster", named["startup_nodes"], **shared)
    if "sentinel_nodes" in named:
        if not named.get("service_name"):
            raise ConfigurationError("sentinel_nodes needs service_name, the name of the master")
        own = {**named.get("sentinel_kwargs", {}), **_sentinel_credentials(named)}
        timeouts = _only(shared["options"], ("socket_timeout", "socket_connect_timeout"))
        return Settings(
            "sentinel",
            named["sentinel_nodes"],
            service_name=str(named["service_name"]),
            sentinel_options={**timeouts, **own},
            force_master_ip=named.get("force_master_ip"),
            **shared,
        )
    if "service_name" in named:
        raise ConfigurationError("service_name needs sentinel_nodes, the addresses of the sentinels")
    return Settings("single", ((str(named.get("host", "localhost")), named.get("port", 6379)),), **shared)


def _sentinel_credentials(named: Mapping[str, Any]) -> dict[str, Any]:
    pairs = (("sentinel_password", "password"), ("sentinel_username", "username"))
    return {own: named[name] for name, own in pairs if name in named}
