"""Virtual keys: who may call, which models, for how much. Only a key's SHA-256 is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from ostinato.caching.policy import CONTROLS
from ostinato.errors import ConfigurationError, NotFoundError, StoreError, warn

if TYPE_CHECKING:
    from ostinato.gateway.vault import Vault

PREFIX = "sk-ost-"
LOOK_S = 0.5
"""Seconds after which a process asks whether the keys have changed: a revoked one stops within a second everywhere."""
GRACE_S = 3600.0
"""How long the keys that are remembered go on while the vault cannot be asked: it may be that one was revoked."""

MOST_TEXT = 256
"""Characters of a name, a tenant or a group."""
MOST_USD = 9_000_000.0
"""The largest budget: in picodollars it has to fit into 64 bits."""
MOST_RATE = 10**12

Period = Literal["ever", "month", "day"]


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one virtual key may do. None means without a bound."""

    id: str
    name: str = ""
    tenant: str = ""
    """Whose entries, spend and limits these are; a key made without one is a tenant of its own."""
    group: str | None = None
    """Tenants of one group read each other's entries; None: this tenant's alone."""
    models: tuple[str, ...] | None = None
    """The public names it may call; `prefix/*` allows all of a prefix."""
    budget_usd: float | None = None
    budget_period: Period = "ever"
    """A budget of `day` or `month` begins anew with each, UTC."""
    rpm: int | None = None
    """Calls a minute, hits included."""
    tpm: int | None = None
    """Billed tokens a minute: what hits serve is not counted."""
    expires_at: float | None = None
    """UTC seconds."""
    allowed_cache_controls: tuple[str, ...] | None = None
    created_at: float = 0.0
    revoked: bool = False

    @property
    def scope(self) -> str:
        """The tenant part of the cache keys of its calls."""
        return f"group:{self.group}" if self.group is not None else f"tenant:{self.tenant}"

    def allows(self, model: str) -> bool:
        """Return whether it may call `model`."""
        if self.models is None:
            return True
        return any(model == name or (name.endswith("*") and model.startswith(name[:-1])) for name in self.models)


def checked(key: Key) -> Key:
    """Return `key`.

    Raises: ConfigurationError: an id that is none, a bound that is none, or a control that there is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", key.id):
        raise ConfigurationError(
            f"the id of a key has 1 to 64 letters, digits, dots, dashes and underscores: {key.id!r}"
        )
    for name, least, most in (("budget_usd", 0, MOST_USD), ("rpm", 1, MOST_RATE), ("tpm", 1, MOST_RATE)):
        value = getattr(key, name)
        if value is not None and not least <= value <= most:
            raise ConfigurationError(f"{name} must be a number from {least} to {most:.0f}, not {value!r}")
    for name in ("name", "tenant", "group"):
        if len(getattr(key, name) or "") > MOST_TEXT:
            raise ConfigurationError(f"the {name} of a key has {MOST_TEXT} characters at most")
    unknown = sorted(set(key.allowed_cache_controls or ()) - set(CONTROLS))
    if unknown:
        raise ConfigurationError(f"there is no cache control {unknown[0]!r}; there are: {', '.join(CONTROLS)}")
    return key


class KeyRing:
    """The keys of a gateway, shared by its processes through a vault and remembered in each.

    `find` reads memory, and asks the vault whether anything changed: twice a second, unless somebody else of this
    process did with `look`, and for a key that is new. While the vault cannot be asked, the keys that are remembered
    go on for `GRACE_S`.
    """

    def __init__(self, vault: Vault, *, clock: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._clock = clock
        self._known: dict[bytes, Key] = {}
        self._mark: bytes | None = None
        self._look_at = 0.0
        self._looked_at = float("-inf")
        """When the vault answered the last time."""
        self._looking = threading.Lock()
        self.error: StoreError | None = None
        """Why the vault could not be asked the last time."""

    def find(self, secret: str) -> Key | None:
        """Return the key of `secret`, or None when there is none, or it has expired or was revoked.

        Raises: StoreError: the vault cannot be asked, and the key is not remembered, or was for too long.
        """
        now = self._clock()
        if now >= self._look_at:
            self.look()
        digest = _digest(secret)
        if digest not in self._known and self.error is None:
            self.look()  # another process may have made it just now
        key = self._known.get(digest)
        if self.error is not None and (key is None or now - self._looked_at > GRACE_S):
            raise self.error
        if key is None or key.revoked or (key.expires_at is not None and now >= key.expires_at):
            return None
        return key

    def create(self, key: Key) -> str:
        """Keep `key` under a new secret, and return that secret: it is shown once and kept nowhere.

        Raises: ConfigurationError: a bound that is none, or an id that is taken.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        tenant, group = key.tenant or key.id, key.group or None  # an empty field is no group of all who left it empty
        key = msgspec.structs.replace(key, tenant=tenant, group=group, created_at=self._clock())
        if not self._vault.add_key(key.id, _digest(secret), msgspec.json.encode(checked(key))):
            raise ConfigurationError(f"there is a key {key.id!r} already")
        self.look()
        return secret

    def list(self) -> list[Key]:
        """Return all keys, the revoked ones included, in the order they were made."""
        kept = self._vault.keys()
        rows = [] if kept is None else kept.rows
        return sorted((_read(said) for _, said in rows), key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> Key:
        """Let a key open nothing any more: here at once, elsewhere within a second.

        Raises: NotFoundError: there is none of this id.
        """
        key = next((key for key in self.list() if key.id == key_id), None)
        if key is not None:
            key = msgspec.structs.replace(key, revoked=True)
        if key is None or not self._vault.change_key(key_id, msgspec.json.encode(key)):
            raise NotFoundError(f"there is no key {key_id!r}")
        self.look()
        return key

    def look(self) -> None:
        """Ask the vault whether anything changed. That it cannot be asked is told once, and kept in `error`."""
        with self._looking:
            now = self._clock()
            self._look_at = now + LOOK_S
            try:
                kept = self._vault.keys(self._mark)
                if kept is not None:
                    self._known = {digest: _read(said) for digest, said in kept.rows}
                    self._mark = kept.mark
            except StoreError as error:
                if self.error is None:
                    warn("the keys cannot be read, those that are remembered go on for an hour: %s", error)
                self.error = error
            else:
                self._looked_at = now
                self.error = None


def same_secret(given: str, wanted: str) -> bool:
    """Return whether two secrets are one, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(_digest(given), _digest(wanted))


def _digest(secret: str) -> bytes:
    # A secret of ours has 256 bits of chance: a salt or a slow hash would protect nothing more.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _read(said: bytes) -> Key:
    try:
        return msgspec.json.decode(said, type=Key)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise StoreError(f"a key in the ledger cannot be read: {exc}") from exc
