"""The models that a gateway offers: names that clients write, and the deployments that answer for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ostinato.caching.key import _counted
from ostinato.errors import ConfigurationError, NotFoundError

MAX_FOUND = 256
"""Names behind wildcards that are remembered. Clients choose them, so that they cannot fill the memory."""
MAX_NAME = 256
"""Characters of a model's name above which it is not even looked for."""

_SECRET = re.compile(r"(key|key_id|token|secret|password|headers)$|^aws_(profile|role|session)_name$")
_NO_ANSWER = frozenset(
    {"aws_region_name", "cache_control_injection_points", "drop_params", "num_retries", "prompt_caching", "timeout"}
)
"""Settings that change no answer, beside credentials and prices: how long it may take, where marks go."""
_WHERE = ("api_base", "api_version")


class Deployment(msgspec.Struct, frozen=True):
    """One place that a model can be asked at."""

    id: str
    """Stable over restarts and workers, and says nothing secret."""
    model: str
    """`provider/name`, as `completion()` takes it."""
    params: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """What `completion()` is called with, unless the client says otherwise: `api_key`, `api_base`, `timeout`, prices,
    injection points, and parameters of the model."""
    weight: float = 1.0
    """Its share of the calls, relative to its neighbours; 0: none."""
    order: int = 0
    """Those of the lowest order are asked first; the others when these fail."""
    info: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """What the configuration says of the model: `base_model`, `mode`, `max_tokens`, `supports_…`."""

    @property
    def shown_params(self) -> dict[str, Any]:
        """The parameters that anybody may see."""
        return {name: value for name, value in self.params.items() if "_cost" in name or not _SECRET.search(name)}

    def identity(self) -> list[Any]:
        """Return what makes its answers those of this model and no other.

        Where the configuration names the model behind it (`base_model`), the address does not count: then
        deployments may come and go without a cold cache.
        """
        base_model = self.info.get("base_model")
        where = [base_model] if base_model else [self.model, *(self.params.get(name) for name in _WHERE)]
        headers = sorted(_counted(self.params.get("extra_headers") or {}))
        return [*where, headers, {name: value for name, value in self.params.items() if _changes_answers(name)}]

    def __repr__(self) -> str:
        return f"Deployment(id={self.id!r}, model={self.model!r}, params={self.shown_params!r}, weight={self.weight!r})"


def _changes_answers(name: str) -> bool:
    return not (name in _NO_ANSWER or name in _WHERE or "_cost" in name or _SECRET.search(name))


class Alias(msgspec.Struct, frozen=True):
    """A name that clients may write, and who answers for it."""

    name: str
    deployments: tuple[Deployment, ...]
    digest: str
    """Stands for the models behind the name, in keys: another model, address or default is another digest, while
    deployments that are alike, credentials, weights and prices are not."""

    @classmethod
    def of(cls, name: str, deployments: Sequence[Deployment]) -> Alias:
        """Return the alias with its digest.

        Raises: ConfigurationError: nobody would ever be asked.
        """
        if not any(deployment.weight > 0 for deployment in deployments):
            raise ConfigurationError(f"model {name!r} has no deployment with a weight above 0")
        packed = {_encode(deployment.identity()) for deployment in deployments}
        digest = hashlib.sha256(b"".join(len(item).to_bytes(8, "big") + item for item in sorted(packed))).hexdigest()
        return cls(name, tuple(deployments), digest)


_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Models:
    """Every name that a gateway knows. `*` in a name stands for any text."""

    def __init__(self, groups: Mapping[str, Sequence[Deployment]], *, renamed: Mapping[str, str] | None = None) -> None:
        """Take the deployments by the name they answer to, and other names for those (`model_group_alias`)."""
        self._exact = {name: Alias.of(name, group) for name, group in groups.items() if "*" not in name}
        self._patterns = sorted(
            (Pattern(name, group) for name, group in groups.items() if "*" in name), key=lambda pattern: pattern.rank
        )
        self._renamed = dict(renamed or {})
        self._found: dict[str, Alias] = {}

    def find(self, name: str) -> Alias:
        """Return the alias that a client means: the exact name, else the closest wildcard.

        A bare `gpt-…` or `claude-…` is also looked for behind its provider: `anthropic/*` answers for it.

        Raises: NotFoundError: there is none; the message names the nearest.
        """
        name = self._renamed.get(name, name)
        alias = self._exact.get(name) or self._found.get(name)
        if alias is None:
            alias = self._behind_pattern(name)
            if len(self._found) >= MAX_FOUND:
                self._found.clear()
            self._found[name] = alias
        return alias

    def _behind_pattern(self, name: str) -> Alias:
        if len(name) <= MAX_NAME:
            for spelling in _spellings(name):
                if spelling in self._exact:
                    return self._exact[spelling]
                for pattern in self._patterns:
                    deployments = pattern.deployments(spelling)
                    if deployments:
                        return Alias.of(name, deployments)
        raise NotFoundError(self._unknown(name[:MAX_NAME]), code="model_not_found")

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches

        known = [*self._exact, *self._renamed, *(pattern.name for pattern in self._patterns)]
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(map(repr, sorted(known)[:20]))}"
        return f"there is no model {name!r} here{hint if known else ''}"

    def names(self) -> list[str]:
        """Return every name that can be listed: the exact ones, and behind wildcards the models of the price table."""
        names = dict.fromkeys([*self._exact, *self._renamed])
        for pattern in self._patterns:
            names |= dict.fromkeys(pattern.known())
        return list(names)

    def groups(self) -> Iterator[tuple[str, Sequence[Deployment]]]:
        """Yield every name as it is configured, wildcards too, with its deployments."""
        yield from ((alias.name, alias.deployments) for alias in self._exact.values())
        yield from ((pattern.name, pattern.group) for pattern in self._patterns)

    def __len__(self) -> int:
        return len(self._exact) + len(self._patterns)


class Pattern:
    """A name with one `*` in it."""

    __slots__ = ("_end", "_start", "group", "name")

    def __init__(self, name: str, group: Sequence[Deployment]) -> None:
        """Raises ConfigurationError: more than one star."""
        if name.count("*") != 1:
            raise ConfigurationError(f"a model's name may hold one '*', not {name.count('*')}: {name!r}")
        self.name = name
        self.group = group
        self._start, _, self._end = name.partition("*")

    @property
    def rank(self) -> int:
        """Sorts the most specific pattern to the front."""
        return -len(self.name)

    def deployments(self, name: str) -> list[Deployment]:
        """Return the deployments for a name that the pattern matches, else none."""
        if len(name) <= len(self._start) + len(self._end):
            return []
        if not (name.startswith(self._start) and name.endswith(self._end)):
            return []
        star = name[len(self._start) : len(name) - len(self._end)]
        return [
            msgspec.structs.replace(deployment, model=deployment.model.replace("*", star)) for deployment in self.group
        ]

    def known(self) -> Iterator[str]:
        """Yield the names under which the pattern offers the models of the price table."""
        from ostinato.pricing.table import models
        from ostinato.providers import PROVIDERS

        listed = [f"{model.provider}/{model.id}" for model in models() if model.provider in PROVIDERS]
        for deployment in self.group:
            start, _, end = deployment.model.partition("*")
            for name in listed:
                if name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end):
                    yield f"{self._start}{name[len(start) : len(name) - len(end)]}{self._end}"


def _spellings(name: str) -> Iterator[str]:
    """Yield a name, and behind its provider where it is a bare one."""
    yield name
    if "/" not in name:
        from ostinato.providers import find_model

        try:
            yield f"{find_model(name).provider.name}/{name}"
        except ConfigurationError:
            pass
