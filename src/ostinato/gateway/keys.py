"""Virtual keys: who may call, which models, for how much. Only a key's SHA-256 is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from ostinato.caching.policy import CONTROLS
from ostinato.errors import ConfigurationError, NotFoundError, StoreError, warn
from ostinato.ledger.file import LedgerFile

PREFIX = "sk-ost-"
LOOK_S = 0.5
"""Seconds after which a process asks whether the keys have changed: a revoked one stops within a second everywhere."""

MOST_TEXT = 256
"""Characters of a name, a tenant or a group."""
MOST_USD = 9_000_000.0
"""The largest budget: in picodollars it has to fit into 64 bits."""
MOST_RATE = 10**12

Period = Literal["ever", "month", "day"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, said BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL);
INSERT OR IGNORE INTO changes VALUES (1, 0);
"""


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
    """The keys of a gateway, shared by its processes through one file and remembered in each.

    `find` reads memory, and asks the file whether anything changed: twice a second, and for a key that is new.
    While the file cannot be read, the keys that are remembered go on.
    """

    def __init__(
        self, file: LedgerFile, *, clock: Callable[[], float] = time.time, quick: LedgerFile | None = None
    ) -> None:
        """`quick` is the same file over a connection of its own, for `find`: it waits for nobody who changes keys."""
        self._file = file
        self._quick = quick or file
        self._clock = clock
        self._known: dict[bytes, Key] = {}
        self._number = -1
        self._look_at = 0.0
        self._error: StoreError | None = None
        """Why the file could not be read the last time."""

    def find(self, secret: str) -> Key | None:
        """Return the key of `secret`, or None when there is none, or it has expired or was revoked.

        Raises: StoreError: it is not remembered, and the file cannot be read.
        """
        now = self._clock()
        if now >= self._look_at:
            self._look_again(now)
        digest = _digest(secret)
        if digest not in self._known and self._error is None:
            self._look_again(now)  # another process may have made it just now
        key = self._known.get(digest)
        if key is None and self._error is not None:
            raise self._error
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
        row = (key.id, _digest(secret), msgspec.json.encode(checked(key)))
        with self._file.transaction() as connection:
            if connection.execute("SELECT 1 FROM keys WHERE id = ?", (key.id,)).fetchone():
                raise ConfigurationError(f"there is a key {key.id!r} already")
            connection.execute("INSERT INTO keys VALUES (?, ?, ?)", row)
            _changed(connection)
        self._look(self._clock())
        return secret

    def list(self) -> list[Key]:
        """Return all keys, the revoked ones included, in the order they were made."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT said FROM keys").fetchall()
        return sorted((msgspec.json.decode(said, type=Key) for (said,) in rows), key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> Key:
        """Let a key open nothing any more: here at once, elsewhere within a second.

        Raises: NotFoundError: there is none of this id.
        """
        with self._file.transaction() as connection:
            row = connection.execute("SELECT said FROM keys WHERE id = ?", (key_id,)).fetchone()
            if row is None:
                raise NotFoundError(f"there is no key {key_id!r}")
            key = msgspec.structs.replace(msgspec.json.decode(row[0], type=Key), revoked=True)
            connection.execute("UPDATE keys SET said = ? WHERE id = ?", (msgspec.json.encode(key), key_id))
            _changed(connection)
        self._look(self._clock())
        return key

    def _look_again(self, now: float) -> None:
        try:
            self._look(now)
        except StoreError as error:
            if self._error is None:
                warn("the keys cannot be read, those that are remembered go on: %s", error)
            self._error = error
        else:
            self._error = None

    def _look(self, now: float) -> None:
        self._look_at = now + LOOK_S
        with self._quick.reading() as connection:
            number = connection.execute("SELECT MAX(number) FROM changes").fetchone()[0]
            if number == self._number:
                return
            rows: Iterable[tuple[bytes, bytes]] = connection.execute("SELECT digest, said FROM keys").fetchall()
        try:
            self._known = {digest: msgspec.json.decode(said, type=Key) for digest, said in rows}
        except msgspec.DecodeError as exc:
            raise StoreError(f"a key in the ledger cannot be read: {exc}") from exc
        self._number = number


def same_secret(given: str, wanted: str) -> bool:
    """Return whether two secrets are one, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(_digest(given), _digest(wanted))


def _digest(secret: str) -> bytes:
    # A secret of ours has 256 bits of chance: a salt or a slow hash would protect nothing more.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _changed(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE changes SET number = number + 1")
