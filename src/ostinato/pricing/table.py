"""The table of prices and model facts: read when first asked, matched once a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec

from ostinato.pricing.rates import Prices, prices_of

TABLE = Path(__file__).with_name("prices.json")
MAX_FOUND = 1024
"""Names whose model is remembered. A server that echoes any name cannot make this grow."""

_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Model(msgspec.Struct, frozen=True):
    """What is known of one model of one provider."""

    provider: str
    id: str
    prices: Prices | None = None
    """None where tokens have no known price."""
    facts: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """`context` and `max_output` in tokens, `minimum` cacheable prefix, `mode`, `caching` auto | explicit | none."""

    @property
    def caches_prompts(self) -> bool:
        """Whether its provider keeps prefixes of prompts, asked or unasked."""
        return bool(self.facts.get("caching", "none") != "none")


class Group(msgspec.Struct, frozen=True):
    """The models of one provider, as they are looked up."""

    name: str
    lookup: Mapping[str, Any]
    rows: list[dict[str, Any]]
    tests: list[Callable[[str], bool]]

    def find(self, name: str) -> Model | None:
        """Return the first model that a name in lower case means."""
        for test, row in zip(self.tests, self.rows, strict=True):
            if test(name):
                return self._model(row)
        return None

    def _model(self, row: Mapping[str, Any]) -> Model:
        facts = {key: row[key] for key in ("context", "max_output", "minimum") if key in row}
        reads = any("read" in period for period in row["prices"])
        facts["mode"] = row.get("mode", "chat")
        facts["caching"] = row.get("caching", self.lookup.get("caching", "none") if reads else "none")
        return Model(self.name, row["id"], prices_of(row) if row["prices"] else None, facts)


_registered: dict[tuple[str, str], Model] = {}
_found: dict[tuple[str, str], Model | None] = {}


def find(provider: str, name: str) -> Model | None:
    """Return the model that a provider's name means, or None. `name` comes without the provider."""
    key = (provider, name)
    try:
        return _found[key]
    except KeyError:
        if len(_found) >= MAX_FOUND:
            _found.clear()
        model = _found[key] = _find_registered(provider, name) or _find_listed(provider, name.lower())
        return model


def register(provider: str, name: str, model: Model) -> None:
    """Put `model` before whatever the table says of this name. Without a provider, any may sell it."""
    _registered[provider, name] = model
    _found.clear()


def _find_registered(provider: str, name: str) -> Model | None:
    for key in ((provider, name), ("", name), ("", f"{provider}/{name}")):
        if key in _registered:
            return _registered[key]
    return None


def _find_listed(provider: str, name: str) -> Model | None:
    own = provider_named(provider)
    if own is None:
        return None
    if own == "bedrock":
        from urllib.parse import unquote

        name = unquote(name).rpartition("/")[2]
    dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
    for spelling in (name,) if dashed == name else (name, dashed):
        for seller in (own, *group(own).lookup.get("fallback", ())):
            model = group(seller).find(spelling)
            if model is not None:
                return model
    return None


@lru_cache(MAX_FOUND)
def resolve(model: str, provider: str | None = None) -> tuple[str, str]:
    """Return the provider and the bare name that a model string means.

    `openai/gpt-4o`, `bedrock/converse/us.anthropic.claude-…` and `gpt-4o` are understood. Where no provider is
    known, it is `""`.
    """
    prefix, slash, rest = model.partition("/")
    if provider:
        owner = provider_named(provider) or provider
        return owner, rest if slash and (provider_named(prefix) or prefix) == owner else model
    named = provider_named(prefix) if slash and rest else None
    if named is not None:
        return named, rest
    lowered = model.lower()
    for owner, pattern in _bare_names():
        if pattern.search(lowered):
            return owner, model
    return "", model


def provider_named(name: str) -> str | None:
    """Return the table's name of a provider, or None when it has none of its models."""
    return _aliases().get(name.lower())


def near(provider: str, name: str) -> list[str]:
    """Return up to three model names that look like this one, its own provider's first."""
    seller = provider_named(provider)
    own = [row["id"] for row in group(seller).rows] if seller else []
    every = [f"{other}/{row['id']}" for other in _blocks() for row in group(other).rows]
    from difflib import get_close_matches

    found = get_close_matches(name.lower(), own, n=3, cutoff=0.6)
    return found or get_close_matches(f"{provider}/{name}".strip("/").lower(), every, n=3, cutoff=0.6)


def about() -> dict[str, str]:
    """Return where the table comes from: source and version, licence, date of the last check."""
    return dict(_table().about)


def models() -> Iterator[Model]:
    """Yield every model of the table."""
    for name in _blocks():
        for row in group(name).rows:
            yield group(name)._model(row)


@cache
def group(provider: str) -> Group:
    """Return the models of one provider, by the table's name of it."""
    block = msgspec.json.decode(_blocks()[provider])
    rows = block["models"]
    return Group(provider, block["lookup"], rows, [_test(row.get("match", [f"={row['id']}"])) for row in rows])


class _Table(msgspec.Struct):
    about: dict[str, str]
    providers: dict[str, msgspec.Raw]
    """A provider's models are decoded when one of them is asked for."""


class _Block(msgspec.Struct):
    lookup: dict[str, Any]


@cache
def _table() -> _Table:
    return msgspec.json.decode(TABLE.read_bytes(), type=_Table)


def _blocks() -> Mapping[str, msgspec.Raw]:
    return _table().providers


@cache
def _lookups() -> dict[str, dict[str, Any]]:
    return {name: msgspec.json.decode(block, type=_Block).lookup for name, block in _blocks().items()}


@cache
def _aliases() -> dict[str, str]:
    names = {name: name for name in _lookups()}
    return names | {alias: name for name, lookup in _lookups().items() for alias in lookup.get("aliases", ())}


@cache
def _bare_names() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(lookup["bare"])) for name, lookup in _lookups().items() if "bare" in lookup)


def _test(clauses: list[Any]) -> Callable[[str], bool]:
    """Return a test of a name in lower case against alternatives; a list among them must hold as a whole."""
    tests = [
        _all_of([_test([part]) for part in clause]) if isinstance(clause, list) else _clause(clause)
        for clause in clauses
    ]
    return tests[0] if len(tests) == 1 else lambda name: any(test(name) for test in tests)


def _all_of(tests: list[Callable[[str], bool]]) -> Callable[[str], bool]:
    return lambda name: all(test(name) for test in tests)


def _clause(clause: str) -> Callable[[str], bool]:
    text = clause[1:]
    match clause[0]:
        case "=":
            return text.__eq__
        case "^":
            return lambda name: name.startswith(text)
        case "$":
            return lambda name: name.endswith(text)
        case "*":
            return lambda name: text in name
    pattern: re.Pattern[str] | None = None

    def matches(name: str) -> bool:
        nonlocal pattern
        pattern = pattern or re.compile(text)
        return pattern.search(name) is not None

    return matches
