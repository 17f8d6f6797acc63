from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import BadRequestError, NotFoundError
from ostinato.gateway import keys
from ostinato.gateway.admin import decimal, generate_key, list_keys, read_spend, revoke_key
from ostinato.gateway.vault import Batch, Vault
from ostinato.ledger.line import Line, summed
from tests.gateway.places import Place


@pytest.fixture
def vault(place: Place) -> Vault:
    return place.vault()


def body(**said: object) -> bytes:
    return json.dumps(said).encode()


def test_a_key_is_made_listed_and_revoked(vault: Vault) -> None:
    ring = keys.KeyRing(vault)
    made = generate_key(ring, body(id="a", tenant="t", models=["m"], budget_usd=2.5, rpm=10))
    secret = made.pop("key")
    found = ring.find(secret)

    assert found is not None
    assert found.models == ("m",)
    assert list_keys(ring) == {"keys": [made]}
    assert (made["budget_usd"], made["rpm"], made["tenant"]) == (2.5, 10, "t")
    assert revoke_key(ring, body(id="a"))["revoked"] is True
    assert ring.find(secret) is None


def test_litellms_names_make_the_same_key(vault: Vault) -> None:
    ring = keys.KeyRing(vault)
    made = generate_key(ring, body(key_alias="laptop", team_id="t", max_budget=1, rpm_limit=2, tpm_limit=3))

    assert (made["name"], made["tenant"], made["budget_usd"], made["rpm"], made["tpm"]) == ("laptop", "t", 1, 2, 3)
    assert made["id"].startswith("key-")


def test_an_empty_wish_makes_a_key_without_bounds(vault: Vault) -> None:
    made = generate_key(keys.KeyRing(vault), b"")

    assert made.keys() == {"key", "id", "tenant", "created_at"}


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (b"[]", "Expected `object`"),
        (b"{", "truncated"),
        (b"\xff", "not as it should be"),
        (body(budget=3), "unknown field `budget`"),
        (body(rpm="many"), r"\$\.rpm"),
        (body(rpm=0), "rpm must be a number from 1"),
        (body(allowed_cache_controls=["x"]), "no cache control 'x'"),
    ],
)
def test_a_wish_that_is_none_is_told_what_is_wrong(vault: Vault, wish: bytes, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        generate_key(keys.KeyRing(vault), wish)


def test_a_key_that_is_not_there_cannot_be_revoked(vault: Vault) -> None:
    with pytest.raises(NotFoundError, match="no key 'a'"):
        revoke_key(keys.KeyRing(vault), body(id="a"))
    with pytest.raises(BadRequestError, match="missing required field `id`"):
        revoke_key(keys.KeyRing(vault), b"{}")


def test_spend_tells_exact_money_by_what_is_asked(vault: Vault) -> None:
    line = Line(0.0, "t", "k", "m", "miss", output=3, cost_pico=123_456_789, saved_pico=2 * 10**12)
    vault.settle(Batch("w", 1, 0.0, [], summed([("2026-01-01", line)])))
    (row,) = read_spend(vault, {"by": "model", "since": "2026-01-01", "tenant": "t"})["data"]

    assert row["model"] == "m"
    assert (row["cost_usd"], row["saved_usd"], row["prompt_saved_usd"]) == ("0.000123456789", "2", "0")
    assert row["output"] == 3
    assert read_spend(vault, {"by": "", "since": "2026-01-02"})["data"][0]["calls"] == 0


@pytest.mark.parametrize("query", [{"by": "cost"}, {"from": "2026-01-01"}])
def test_spend_knows_its_parameters(vault: Vault, query: dict[str, str]) -> None:
    with pytest.raises(BadRequestError, match="spend"):
        read_spend(vault, query)


@given(st.integers(-(10**18), 10**18))
def test_money_is_told_to_the_last_digit(pico: int) -> None:
    assert Decimal(decimal(pico)) * 10**12 == pico
    assert not decimal(pico).endswith(".")
