from __future__ import annotations

import datetime as dt
import ipaddress
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.cosmos import CosmosClient
from azure.cosmos.aio import CosmosClient as AsyncCosmosClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ostinato import Cache
from ostinato.caching.stores.cosmos import CosmosStore
from ostinato.caching.stores.cosmos_account import Account
from ostinato.errors import ConfigurationError, MissingDependencyError
from ostinato.testing.store_face import Face, key_of
from tests.stores.cosmos_emulator import KEY, TOKEN, CosmosEmulator

SECRET = "cGxhbnRlZC1zZWNyZXQ="
ENDPOINT = "https://account.documents.azure.com:443/"
GOOD = f"AccountEndpoint={ENDPOINT};AccountKey={SECRET};"


class Identity:
    """A credential as `azure.identity` has them."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(TOKEN, int(time.time()) + 3600)


class AwaitedIdentity:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("connection_string", "says"),
    [
        (None, "no address"),
        ("", "no address"),
        (f"AccountKey={SECRET}", "no address"),
        (f"AccountEndpoint={ENDPOINT}", "one of them"),
        (f"AccountEndpoint={ENDPOINT};AccountKey=", "none of"),
        (f"AccountEndpoint={ENDPOINT};AccountKey={SECRET}!", "not base64"),
        (f"AccountEndpoint={ENDPOINT};{SECRET}", "none of"),
        (f"AccountEndpoint={ENDPOINT};AccountKey={SECRET};Password={SECRET}", "none of"),
        (f"AccountEndpoint=http://account.documents.azure.com;AccountKey={SECRET}", "not encrypted"),
        (f"AccountEndpoint=https://user:{SECRET}@account.documents.azure.com;AccountKey={SECRET}", "is no address"),
        (f"AccountEndpoint=account.documents.azure.com;AccountKey={SECRET}", "is no address"),
        (7, "must be text"),
    ],
)
def test_a_connection_string_that_cannot_be_is_refused_without_showing_it(connection_string: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Account(connection_string)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "connection_string",
    [
        GOOD,
        f" AccountKey={SECRET} ; AccountEndpoint={ENDPOINT} ",
        f"{GOOD}DisableServerCertificateValidation=True",
    ],
)
def test_a_connection_string_is_read_in_any_order(connection_string: str) -> None:
    account = Account(connection_string)

    assert account.endpoint == ENDPOINT
    assert SECRET not in repr(account)
    assert account.mask(f"the key {SECRET} is wrong") == "the key *** is wrong"
    assert account._options()["enable_endpoint_discovery"] is True


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_addresses_are_not_discovered_on_this_machine(host: str) -> None:
    account = Account(f"AccountEndpoint=https://{host}:8081/;AccountKey={SECRET}")

    assert account._options()["enable_endpoint_discovery"] is False


def test_certificates_are_left_to_be_checked() -> None:
    options = Account(f"{GOOD}DisableServerCertificateValidation=True")._options()

    assert options["connection_policy"].DisableSSLVerification is False
    assert "connection_verify" not in options


def test_client_and_connection_string_exclude_each_other(cosmos: CosmosEmulator) -> None:
    with CosmosClient(cosmos.url, KEY, enable_endpoint_discovery=False) as client:
        with pytest.raises(ConfigurationError, match="not both"):
            Account(cosmos.connection_string, client)
        assert Account(None, client).given is client


def test_a_credential_takes_the_place_of_the_key() -> None:
    assert Account(f"AccountEndpoint={ENDPOINT};", Identity()).endpoint == ENDPOINT
    with pytest.raises(ConfigurationError, match="one of them"):
        Account(GOOD, Identity())


@pytest.mark.parametrize("client", [object(), AwaitedIdentity(), AsyncCosmosClient(ENDPOINT, SECRET), "client"])
def test_other_clients_are_refused_by_their_kind(client: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"takes an azure\.cosmos\.CosmosClient"):
        Account(None, client)


@pytest.mark.parametrize("package", ["azure.cosmos", "aiohttp"])
def test_a_missing_package_says_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ostinato\[cosmos\]'"):
        Cache.cosmos_db(connection_string=GOOD)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no setting 'region'"):
        Cache(type="cosmos_db", connection_string=GOOD, region="west")
    with pytest.raises(ConfigurationError, match="max_bytes bounds nothing"):
        Cache(type="cosmos_db", connection_string=GOOD, max_bytes=10)
    with pytest.raises(ConfigurationError, match="timeout_ms"):
        Cache.cosmos_db(GOOD, timeout_ms=0)


def test_making_a_cache_asks_nobody_and_loads_no_sdk() -> None:
    code = f"""
import json, sys
from ostinato import Cache
cache = Cache.cosmos_db({GOOD!r}, "container", 7, database_id="database")
print(json.dumps([repr(cache), repr(cache.store), [name for name in sys.modules if name.startswith("azure.")]]))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    cache, store, loaded = json.loads(ran.stdout)

    assert "cosmos_db" in cache
    assert store == f"CosmosStore({ENDPOINT!r}, 'database', 'container')"
    assert SECRET not in cache + store
    assert loaded == []


def certificate(folder: Path) -> Path:
    """Return a file with a certificate for 127.0.0.1, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "emulator")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key)
    return path


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # the SDK's own decision on this machine
def test_a_managed_identity_reads_and_writes_both_ways(tmp_path: Path) -> None:
    with CosmosEmulator(certificate=certificate(tmp_path)) as emulator:
        store = CosmosStore(f"AccountEndpoint={emulator.url}", client=Identity(), timeout_ms=10_000)
        store.set(key_of("k"), b"v")
        store.flush()
        face = Face(store, "async")

        assert store.get(key_of("k")) == b"v"
        assert face.get(key_of("k")) == b"v"
        face.close()
        face.leave()
