from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from ostinato.errors import ConfigurationError, NotFoundError, StoreError
from ostinato.gateway.keys import GRACE_S, PREFIX, Key, KeyRing, same_secret
from ostinato.testing.clock import ManualClock
from tests.gateway.places import Place


def ring(place: Place, clock: ManualClock | None = None) -> KeyRing:
    return KeyRing(place.vault(), clock=clock or ManualClock())


def test_a_key_opens_with_its_secret_and_with_nothing_else(place: Place) -> None:
    keys = ring(place)
    secret = keys.create(Key(id="a", name="laptop", models=("gpt-4o",)))
    found = keys.find(secret)

    assert secret.startswith(PREFIX)
    assert found is not None
    assert (found.id, found.name, found.models) == ("a", "laptop", ("gpt-4o",))
    assert keys.find(secret + "x") is None
    assert keys.find(secret[:-1]) is None
    assert keys.find("") is None
    assert keys.find("\ud800") is None


def test_only_the_digest_of_a_secret_is_in_the_file_and_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    secret = ring(Place(tmp_path)).create(Key(id="a"))
    files = [path for path in tmp_path.iterdir() if path.is_file()]

    assert all(secret.encode() not in path.read_bytes() for path in files)
    assert all(secret.removeprefix(PREFIX).encode() not in path.read_bytes() for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_revoked_key_stops_here_at_once_and_elsewhere_within_a_second(place: Place) -> None:
    clock = ManualClock()
    here, there = ring(place, clock), ring(place, clock)
    secret = here.create(Key(id="a"))

    assert there.find(secret) is not None
    assert here.revoke("a").revoked
    assert here.find(secret) is None

    clock.advance(1)

    assert there.find(secret) is None
    assert [key.revoked for key in there.list()] == [True]


def test_a_new_key_opens_everywhere_at_once(place: Place) -> None:
    clock = ManualClock()
    here, there = ring(place, clock), ring(place, clock)
    there.find("sk-ost-other")

    assert there.find(here.create(Key(id="a"))) is not None


def test_a_key_ends_when_it_expires(place: Place) -> None:
    clock = ManualClock()
    keys = ring(place, clock)
    secret = keys.create(Key(id="a", expires_at=clock() + 10))

    clock.advance(9.5)
    assert keys.find(secret) is not None

    clock.advance(0.5)
    assert keys.find(secret) is None


def test_a_key_without_a_tenant_is_a_tenant_of_its_own_and_a_group_is_shared(place: Place) -> None:
    keys = ring(place)
    for key in (Key(id="a"), Key(id="b"), Key(id="c", group="g"), Key(id="d", group="g"), Key(id="e", tenant="a")):
        keys.create(key)
    scopes = {key.id: key.scope for key in keys.list()}

    assert len({scopes[name] for name in "abc"}) == 3
    assert scopes["c"] == scopes["d"]
    assert scopes["a"] == scopes["e"]


@pytest.mark.parametrize(
    ("models", "allowed", "refused"),
    [
        (None, ["gpt-4o", "x/y"], []),
        (("gpt-4o", "claude/*"), ["gpt-4o", "claude/3", "claude/"], ["gpt-4o-mini", "claude"]),
        ((), [], ["gpt-4o"]),
    ],
)
def test_a_key_names_the_models_it_may_call(
    models: tuple[str, ...] | None, allowed: list[str], refused: list[str]
) -> None:
    key = Key(id="a", models=models)

    assert [model for model in allowed + refused if key.allows(model)] == allowed


def test_an_id_is_taken_once(place: Place) -> None:
    keys = ring(place)
    keys.create(Key(id="a"))

    with pytest.raises(ConfigurationError, match="'a' already"):
        keys.create(Key(id="a"))
    with pytest.raises(NotFoundError, match="no key 'b'"):
        keys.revoke("b")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (Key(id=""), "the id of a key"),
        (Key(id="a/b"), "the id of a key"),
        (Key(id="a" * 65), "the id of a key"),
        (Key(id="a", budget_usd=-1), "budget_usd"),
        (Key(id="a", budget_usd=float("nan")), "budget_usd"),
        (Key(id="a", budget_usd=1e12), "budget_usd"),
        (Key(id="a", budget_usd=float("inf")), "budget_usd"),
        (Key(id="a", tenant="t" * 257), "tenant"),
        (Key(id="a", group="t" * 257), "group"),
        (Key(id="a", rpm=0), "rpm"),
        (Key(id="a", tpm=10**30), "tpm"),
        (Key(id="a", tpm=-5), "tpm"),
        (Key(id="a", allowed_cache_controls=("ttl", "nostore")), "'nostore'"),
    ],
)
def test_a_bound_that_is_none_makes_no_key(place: Place, key: Key, said: str) -> None:
    keys = ring(place)

    with pytest.raises(ConfigurationError, match=said):
        keys.create(key)
    assert keys.list() == []


def test_keys_are_there_after_a_restart(place: Place) -> None:
    secret = ring(place).create(Key(id="a", rpm=5, allowed_cache_controls=("ttl",)))
    found = ring(place).find(secret)

    assert found is not None
    assert (found.rpm, found.allowed_cache_controls) == (5, ("ttl",))


def test_a_file_that_is_none_of_ours_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(StoreError, match="cannot be used"):
        ring(Place(tmp_path)).list()

    (tmp_path / "gateway.db").unlink()
    sqlite3.connect(tmp_path / "other.db").close()
    (tmp_path / "gateway.db").symlink_to(tmp_path / "other.db")
    with pytest.raises(StoreError, match="symlink"):
        ring(Place(tmp_path)).list()


def test_an_empty_group_is_none(place: Place) -> None:
    keys = ring(place)
    keys.create(Key(id="a", group=""))
    keys.create(Key(id="b", group=""))

    assert len({key.scope for key in keys.list()}) == 2


def test_known_keys_go_on_while_the_file_cannot_be_read(tmp_path: Path) -> None:
    clock = ManualClock()
    keys = ring(Place(tmp_path), clock)
    secret = keys.create(Key(id="a"))
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xa5" * path.stat().st_size)
    clock.advance(1)

    assert keys.find(secret) is not None
    with pytest.raises(StoreError):
        keys.find("sk-ost-other")
    clock.advance(GRACE_S)
    with pytest.raises(StoreError):
        keys.find(secret)


def test_a_key_that_cannot_be_decoded_is_a_store_error(tmp_path: Path) -> None:
    secret = ring(Place(tmp_path)).create(Key(id="a"))
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        connection.execute("UPDATE keys SET said = x'00'")
    connection.close()

    with pytest.raises(StoreError, match="cannot be read"):
        ring(Place(tmp_path)).find(secret)


def test_secrets_are_compared_whole() -> None:
    assert same_secret("sk-1", "sk-1")
    assert not same_secret("sk-1", "sk-2")
    assert not same_secret("", "sk-2")
