"""What the master key may ask and change: keys, and what was spent."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ostinato.errors import BadRequestError, ConfigurationError
from ostinato.gateway.keys import Key, KeyRing, Period
from ostinato.gateway.vault import Vault
from ostinato.ledger.book import PARTS, Part

Json = dict[str, Any]

_MONEY = {"cost_pico": "cost_usd", "saved_pico": "saved_usd", "prompt_saved_pico": "prompt_saved_usd"}


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request for a new key, with LiteLLM's names beside ours."""

    id: str | None = None
    name: str | None = None
    key_alias: str | None = None
    tenant: str | None = None
    team_id: str | None = None
    group: str | None = None
    models: list[str] | None = None
    budget_usd: float | None = None
    max_budget: float | None = None
    budget_period: Period = "ever"
    rpm: int | None = None
    rpm_limit: int | None = None
    tpm: int | None = None
    tpm_limit: int | None = None
    expires_at: float | None = None
    allowed_cache_controls: list[str] | None = None

    def key(self) -> Key:
        """Return the key that is wished for, with an id of chance where none is given."""
        return Key(
            id=self.id or f"key-{secrets.token_hex(6)}",
            name=_either(self.name, self.key_alias) or "",
            tenant=_either(self.tenant, self.team_id) or "",
            group=self.group,
            models=None if self.models is None else tuple(self.models),
            budget_usd=_either(self.budget_usd, self.max_budget),
            budget_period=self.budget_period,
            rpm=_either(self.rpm, self.rpm_limit),
            tpm=_either(self.tpm, self.tpm_limit),
            expires_at=self.expires_at,
            allowed_cache_controls=None if self.allowed_cache_controls is None else tuple(self.allowed_cache_controls),
        )


class Named(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request about one key."""

    id: str


def generate_key(ring: KeyRing, body: bytes) -> Json:
    """Make the key that `body` asks for. Return it with its secret, which is told this once.

    Raises: BadRequestError: the body is no wish for a key.
    """
    key = read(body or b"{}", Wish).key()
    try:
        secret = ring.create(key)
    except ConfigurationError as error:
        raise BadRequestError(error.message) from error
    return {"key": secret, **shown(next(kept for kept in ring.list() if kept.id == key.id))}


def list_keys(ring: KeyRing) -> Json:
    """Return every key, revoked ones too. No secret is among it: none is kept."""
    return {"keys": [shown(key) for key in ring.list()]}


def revoke_key(ring: KeyRing, body: bytes) -> Json:
    """Revoke the key that `body` names, and return it.

    Raises: BadRequestError, NotFoundError.
    """
    return shown(ring.revoke(read(body, Named).id))


def read_spend(vault: Vault, query: Mapping[str, str]) -> Json:
    """Return the sums that a query asks for: `by`, `since`, `until` (days, UTC), `tenant`, `key_id`.

    Money is a decimal text, exact.

    Raises: BadRequestError: an unknown name or part.
    """
    unknown = sorted(query.keys() - {"by", "since", "until", "tenant", "key_id"})
    if unknown:
        raise BadRequestError(f"spend has no parameter {unknown[0]!r}; it has by, since, until, tenant, key_id")
    by = [part for part in query.get("by", ",".join(PARTS)).split(",") if part]
    within = {name: query[name] for name in ("since", "until", "tenant", "key_id") if query.get(name)}
    try:
        rows = vault.spend(cast("list[Part]", by), **within)  # checked there
    except ConfigurationError as error:
        raise BadRequestError(error.message) from error
    return {"data": [{_MONEY.get(name, name): _told(name, value) for name, value in row.items()} for row in rows]}


def shown(key: Key) -> Json:
    """Return a key as JSON."""
    return cast("Json", msgspec.to_builtins(key))


def read(body: bytes, type: type[Any]) -> Any:  # as msgspec names it
    """Return a JSON body as a value of `type`.

    Raises: BadRequestError: it is none; the message names the place.
    """
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadRequestError(f"the body is not as it should be: {exc}") from exc


def _told(name: str, value: Any) -> Any:
    return decimal(value) if name in _MONEY else value


def decimal(pico: int) -> str:
    """Return picodollars as dollars, exactly and without zeros behind."""
    whole, part = divmod(abs(pico), 10**12)
    digits = f"{part:012d}".rstrip("0")
    return f"{'-' if pico < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def _either(one: Any, other: Any) -> Any:
    return other if one is None else one
