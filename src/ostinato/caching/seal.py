"""Entries that only who has the key can read, or write: AES-256-GCM, and a data key for each namespace.

    sealed entry    "S" │ 8 bytes id of the data key │ 12 bytes nonce │ ciphertext, 16 bytes tag
    data key        8 bytes id of the master key │ 12 bytes nonce │ 32 bytes encrypted, 16 bytes tag

The user's key (the master key) encrypts data keys, which stand in the store's `Register`; a data key
encrypts the entries of one namespace and seed. Without its data key nobody reads an entry again, the
owner of the master key included: deleting it shreds the namespace with one write.

Nonces are 96 bits of chance. That is safe for 2^32 encryptions under one key (NIST SP 800-38D, 8.3, read
2026-11-22), so no data key encrypts twice over: each entry has a key of its own, HMAC-SHA256 of its store
key under the data key, and only its own rewritings share it. Authenticated beside the ciphertext are the
header and the store key, which is made of namespace, seed and request: an entry that was moved or changed
does not open. An older entry that was put back under its own key does.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from ostinato.caching.register import Clear, Flush
from ostinato.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from ostinato.caching.register import Register, Steps

SEALED = b"S"
"""What a sealed entry starts with."""
SHREDDINGS = sha256(b"ostinato shreddings").digest()[:8]
"""The scope of the words of when others were shredded. They outlive a clearing of everything."""
LEAST_KEY_BYTES = 16
_ID, _NONCE, _TAG, _SALT = 8, 12, 16, 16
_BODY = len(SEALED) + _ID + _NONCE
_when = struct.Struct(">d")

Keys = str | bytes | Sequence[str | bytes]
DataKey = tuple[bytes, bytes]
"""The id of a data key, and the key."""


class Master(msgspec.Struct, frozen=True):
    """What is made of one key that the user gave."""

    id: bytes
    wrap: bytes
    """Encrypts data keys."""
    export: bytes
    """Encrypts the lines of an export, each under a key of its own."""


def masters(given: Keys) -> list[Master]:
    """Return what the user's keys are used as, in their order.

    Raises: ConfigurationError: there is none, or one is too short to be a key.
    """
    keys = list(given) if isinstance(given, (list, tuple)) else [given]
    if not keys:
        raise ConfigurationError("encryption_key is an empty list; give a key, or None to encrypt nothing")
    return [_master(key) for key in keys]


def _master(key: object) -> Master:
    secret = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    if not isinstance(secret, bytes) or len(secret) < LEAST_KEY_BYTES:
        raise ConfigurationError(
            f"encryption_key must be {LEAST_KEY_BYTES} bytes of chance or more, as text or bytes, or a list of such"
            " keys; `openssl rand -base64 32` makes one"
        )
    # HKDF (RFC 5869) with one block a purpose. It makes keys of keys, not of passwords.
    root = hmac.digest(b"ostinato master key 1", secret, "sha256")
    made = [hmac.digest(root, purpose + b"\x01", "sha256") for purpose in (b"id", b"wrap", b"export")]
    return Master(made[0][:_ID], made[1], made[2])


class Seal:
    """Seals and opens what one cache keeps. Nothing here reads or writes: its verbs are steps.

    Raises: MissingDependencyError: `cryptography` is absent.
    """

    def __init__(self, keys: Keys, register: Register) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as exc:
            raise MissingDependencyError("encryption needs cryptography: pip install 'ostinato[crypto]'") from exc
        self._cipher = AESGCM
        self._invalid = InvalidTag
        self.masters = masters(keys)
        self._register = register
        self._making: dict[bytes, DataKey] = {}
        """Data keys by their scope that are not in the store yet."""
        self._unwrapped: dict[bytes, bytes] = {}
        """Data keys by how they stand in the register, so that one that is gone there opens nothing here."""

    def seal(self, store_key: bytes, packed: bytes, data_key: DataKey | None = None) -> Steps[bytes]:
        """Return `packed` sealed for `store_key`, with the data key that `ready` gave before or gives now."""
        key_id, key = data_key or (yield from self.ready(store_key[:8]))
        header, nonce = SEALED + key_id, os.urandom(_NONCE)
        return header + nonce + self._of(key, store_key).encrypt(nonce, packed, header + store_key)

    def open(self, store_key: bytes, blob: bytes) -> Steps[bytes | None]:
        """Return what was sealed for `store_key`, or None: no key opens it, or it is not what was sealed."""
        if not blob.startswith(SEALED) or len(blob) < _BODY + _TAG:
            return None
        header = blob[: len(SEALED) + _ID]
        data_key = yield from self._data_key(store_key[:8], header[len(SEALED) :])
        if data_key is None:
            return None
        try:
            return self._of(data_key, store_key).decrypt(blob[len(header) : _BODY], blob[_BODY:], header + store_key)
        except self._invalid:
            return None

    def ready(self, scope: bytes) -> Steps[DataKey]:
        """Return the data key that new entries of `scope` are sealed with, made where there is none.

        Each master key has one of its own: with another first key, new entries are sealed with another data key.
        """
        current = _fact(scope, b"current " + self.masters[0].id)
        key_id = yield from self._register.look(current)
        if key_id is not None:
            data_key = yield from self._data_key(scope, key_id)
            if data_key is not None:
                return key_id, data_key
        # While the store fails, each call tries the same one again.
        key_id, data_key = self._making.setdefault(scope, (os.urandom(_ID), os.urandom(32)))
        yield from self._register.begin(_fact(scope, b"key " + key_id), self._wrap(scope, key_id, data_key))
        # It stands in the store before anything is sealed with it: who shreds finds it there.
        yield Flush()
        yield from self._register.begin(current, key_id)
        self._making.pop(scope, None)
        return key_id, data_key

    def shred(self, scope: bytes) -> Steps[None]:
        """Forget the data keys of `scope`: what was sealed with them is unreadable for ever."""
        self._making.pop(scope, None)
        self._unwrapped.clear()
        yield from shred(scope, self._register)

    def lock(self, payload: bytes) -> bytes:
        """Return `payload` encrypted with the first master key, to stand outside the store."""
        master, salt, nonce = self.masters[0], os.urandom(_SALT), os.urandom(_NONCE)
        header = master.id + salt
        return header + nonce + self._of(master.export, salt).encrypt(nonce, payload, header)

    def unlock(self, locked: bytes) -> bytes | None:
        """Return what `lock` was given, or None: no key opens it, or it was changed."""
        header, nonce = locked[: _ID + _SALT], locked[_ID + _SALT : _ID + _SALT + _NONCE]
        for master in self.masters:
            if header.startswith(master.id) and len(locked) >= len(header) + _NONCE + _TAG:
                try:
                    return self._of(master.export, header[_ID:]).decrypt(nonce, locked[len(header) + _NONCE :], header)
                except self._invalid:
                    return None
        return None

    def _data_key(self, scope: bytes, key_id: bytes) -> Steps[bytes | None]:
        wrapped = yield from self._register.look(_fact(scope, b"key " + key_id))
        if wrapped is None:
            self._unwrapped.clear()
            return None
        data_key = self._unwrapped.get(wrapped)
        if data_key is None:
            data_key = self._unwrap(scope, key_id, wrapped)
            if data_key is not None:
                self._unwrapped[wrapped] = data_key
        return data_key

    def _wrap(self, scope: bytes, key_id: bytes, data_key: bytes) -> bytes:
        master, nonce = self.masters[0], os.urandom(_NONCE)
        return master.id + nonce + self._cipher(master.wrap).encrypt(nonce, data_key, scope + key_id)

    def _unwrap(self, scope: bytes, key_id: bytes, wrapped: bytes) -> bytes | None:
        for master in self.masters:
            if wrapped.startswith(master.id) and len(wrapped) == _ID + _NONCE + 32 + _TAG:
                nonce, ciphertext = wrapped[_ID : _ID + _NONCE], wrapped[_ID + _NONCE :]
                try:
                    return self._cipher(master.wrap).decrypt(nonce, ciphertext, scope + key_id)
                except self._invalid:
                    return None
        return None

    def _of(self, key: bytes, name: bytes) -> AESGCM:
        """Return the cipher of one entry or line: no two share a key."""
        return self._cipher(hmac.digest(key, name, "sha256"))


def shred(scope: bytes, register: Register) -> Steps[None]:
    """Forget the data keys of `scope` in the store, leave word of when, and have every process hear of it."""
    yield Clear(_room(scope))
    yield from register.begin(_shredding(scope), _when.pack(register.clock()))
    yield from register.announce()


def outlives_shredding(scope: bytes, stored_at: float, register: Register) -> Steps[bool]:
    """Return whether `scope` was not shredded since `stored_at`: what was exported before must not come back."""
    shredded = yield from register.look(_shredding(scope))
    return shredded is None or len(shredded) != _when.size or stored_at > _when.unpack(shredded)[0]


def _shredding(scope: bytes) -> bytes:
    """Return the key under which stands when `scope` was shredded: in a scope of its own, to be found by itself."""
    return SHREDDINGS + sha256(scope).digest()


def _room(scope: bytes) -> bytes:
    """Return the scope that the data keys of `scope` have in the store: one to clear by itself."""
    return sha256(b"ostinato data keys" + scope).digest()[:8]


@lru_cache(10_000)
def _fact(scope: bytes, name: bytes) -> bytes:
    return _room(scope) + sha256(name).digest()
