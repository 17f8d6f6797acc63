"""What a gateway is told: models, cache, keys, limits. Read from `config.yaml`, or found in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import ConfigurationError
from ostinato.gateway.cache_settings import CacheSettings, disk_cache, read_cache
from ostinato.gateway.deployments import read_models
from ostinato.gateway.models import Deployment, Models
from ostinato.gateway.routing import Routing, read_renamed, read_routing, with_fallbacks
from ostinato.gateway.section import File, Node, Section, read_yaml
from ostinato.providers import PROVIDERS, Provider

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache

MASTER_KEY_ENV = ("OSTINATO_MASTER_KEY", "LITELLM_MASTER_KEY")
"""Variables that may hold the master key, where the file names none."""
MAX_FILE_BYTES = 4 << 20


class Limits(msgspec.Struct, frozen=True):
    """How much one client may take."""

    max_body_bytes: int = 64 << 20
    max_header_bytes: int = 64 << 10
    """The request line and all headers of one request."""
    read_timeout_s: float = 60.0
    """From a request's first byte to its last; also from connecting to a first byte."""
    write_timeout_s: float = 120.0
    """Without the client taking any of an answer that waits for it."""
    keep_alive_s: float = 75.0
    """A connection without a request is closed after so long."""
    max_connections: int = 10_000
    """Of one worker; more are answered 503."""
    shutdown_s: float = 60.0
    """What is still being answered so long after the signal to stop is cut."""


class Config(msgspec.Struct, frozen=True):
    """Everything that a gateway is told. What it holds in secret does not show in its repr."""

    models: Models
    cache: CacheSettings | None = None
    """None: no response cache."""
    master_key: str | None = None
    """Who has it may do everything; None: any key will do, on loopback alone."""
    ledger: str | None = None
    """The file of keys, limits and spend; None: the one in the user's folder for state."""
    allow_client_credentials: bool = False
    """Whether a request may carry `api_key`, `api_base` and `extra_headers`."""
    limits: Limits = Limits()
    routing: Routing = Routing()
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Variables that the file sets (`environment_variables`)."""
    notes: tuple[str, ...] = ()
    """What there is to say about the file, once: settings of LiteLLM's that are not carried out, with their places."""
    path: str | None = None
    """The file; None where there is none."""
    text: str | None = None
    """What stands in it; None where there is none."""

    def open_cache(self) -> Cache | None:
        """Return a new cache as it is configured, or None where there is to be none."""
        return None if self.cache is None else self.cache.open()

    def __repr__(self) -> str:
        return f"Config(path={self.path!r}, models={len(self.models)}, cache={self.cache!r})"


def load(path: str | os.PathLike[str] | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Return what the file at `path` says; without one, what is found in the environment.

    Raises: ConfigurationError: the file cannot be read or is wrong, or there is no provider to be found.
    """
    if path is None:
        return found_in(environ)
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as exc:
        raise ConfigurationError(f"cannot read {str(path)!r}: {exc.strerror}; give another with --config") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{str(path)!r} is no UTF-8") from exc
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{str(path)!r} is larger than {MAX_FILE_BYTES} bytes")
    return read(text, str(path), environ)


def read(text: str, name: str = "config.yaml", environ: Mapping[str, str] = os.environ) -> Config:
    """Return what the text of a configuration file says. `name` is the file's, for errors.

    Raises: ConfigurationError: it is wrong; the message names file, line and the nearest known name.
    """
    root, environment = _opened(text, name, environ)
    notes: list[str] = []
    general, litellm, router = (
        root.section(each) for each in ("general_settings", "litellm_settings", "router_settings")
    )
    routing, drop_params = read_routing(router, litellm, notes), litellm.flag("drop_params")
    usual = {"timeout": routing.timeout_s, "num_retries": routing.num_retries, "drop_params": drop_params}
    groups = read_models(root, notes, {name: value for name, value in usual.items() if value is not None})
    if not groups:
        raise root.wrong("model_list names no model")
    try:
        models = Models(groups, renamed=read_renamed(router, groups))
    except ConfigurationError as error:
        raise root.wrong(error.message) from error
    config = Config(
        models=models,
        cache=read_cache(root, litellm, notes),
        master_key=_master_key(root.file.environ, general),
        ledger=general.text("ledger"),
        allow_client_credentials=bool(general.flag("allow_client_credentials", "allow_client_side_credentials")),
        limits=_limits(root.section("limits"), general),
        routing=with_fallbacks(routing, router, litellm, models),
        environment=environment,
        path=name,
        text=text,
    )
    _end([root, general, litellm, router], notes)
    return msgspec.structs.replace(config, notes=tuple(dict.fromkeys(notes)))


def _opened(text: str, name: str, environ: Mapping[str, str]) -> tuple[Section, dict[str, str]]:
    """Return the whole file as a section, and the variables that it sets: they count as set in it."""
    file = File(name, environ)
    node = read_yaml(text, file)
    root = Section(file, "the file", node)
    variables = root.section("environment_variables").rest()
    environment = {each: str(value) for each, value in variables.items() if value is not None}
    if environment:
        rest = {each: node.value[each] for each in root.left}
        root = Section(File(name, {**environ, **environment}), root.name, Node(rest, node.line))
    return root, environment


def _end(sections: list[Section], notes: list[str]) -> None:
    """Note what is known of LiteLLM and not carried out, and refuse what nobody knows."""
    if any(section.left for section in sections):
        table = msgspec.json.decode(Path(__file__).with_name("litellm.json").read_bytes())
        for section in sections:
            known = table.get(section.name, {"unheeded": [], "held": []})
            notes += section.unheeded(*known["unheeded"])
            section.unheeded(*known["held"])
            section.end()


def _master_key(environ: Mapping[str, str], general: Section | None = None) -> str | None:
    if general is not None:
        line = general.lines.get("master_key")
        key = general.text("master_key")
        if key is not None:
            if not key or key.isspace():
                raise general.wrong("master_key is empty; give a long one, or leave it out", line)
            return key
    return next((environ[name] for name in MASTER_KEY_ENV if environ.get(name)), None)


def _limits(section: Section, general: Section) -> Limits:
    given: dict[str, Any] = {}
    for name in Limits.__struct_fields__:
        value = section.number(name, least=0.001) if name.endswith("_s") else section.whole(name, least=1)
        if value is not None:
            given[name] = value
    section.end()
    megabytes = general.number("max_request_size_mb", least=0.001)
    if megabytes is not None:
        given.setdefault("max_body_bytes", int(megabytes * 2**20))
    return Limits(**given)


def found_in(environ: Mapping[str, str]) -> Config:
    """Return a configuration for the providers whose keys or addresses are in the environment, with a disk cache.

    Raises: ConfigurationError: there are none.
    """
    rows = [row for row in PROVIDERS.values() if _is_set_up(row, environ)]
    if not rows:
        names = ", ".join(row.key_env[0] for row in PROVIDERS.values() if row.auth in {"bearer", "x-api-key"})
        raise ConfigurationError(f"no provider's key is in the environment; set one ({names}), or give --config")
    groups = {f"{row.name}/*": [_any_of(row, environ)] for row in rows}
    return Config(Models(groups), CacheSettings(disk_cache(environ)), _master_key(environ))


def _any_of(row: Provider, environ: Mapping[str, str]) -> Deployment:
    base = next((environ[name] for name in row.base_env if environ.get(name)), None)
    return Deployment(row.name, f"{row.name}/*", {"api_base": base} if base and row.auth != "aws" else {})


def _is_set_up(row: Provider, environ: Mapping[str, str]) -> bool:
    """Return whether the environment has what a provider needs: a key; or an address, where none is needed."""
    keys = {"aws": (*row.key_env, "AWS_ACCESS_KEY_ID", "AWS_PROFILE"), "optional": row.base_env}
    return any(environ.get(name) for name in keys.get(row.auth, row.key_env))
