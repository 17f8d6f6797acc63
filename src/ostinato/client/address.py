"""Where a call goes, and how it is let in there: base URL, key, signature."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ostinato.errors import AuthenticationError, ConfigurationError
from ostinato.providers import aws

if TYPE_CHECKING:
    from ostinato.providers import Found, Provider

# A plain `os.environ.get` encodes the name and decodes the value each time: 0.7 µs, a tenth of a hit. On POSIX
# the mapping behind it is read directly, with names encoded once; elsewhere the public way is taken.
_environ: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
_encode_name: Callable[[str], Any] = getattr(os.environ, "encodekey", str)
_decode_value: Callable[[Any], str] = getattr(os.environ, "decodevalue", str)


VERSION_ENV = ("AZURE_API_VERSION", "OPENAI_API_VERSION")
"""Variables that may hold the version of Azure's API."""


class Environment:
    """Some environment variables, read at every call."""

    __slots__ = ("_names",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = [_encode_name(name) for name in names]

    def first(self) -> str | None:
        """Return the first that is set and not empty, or None."""
        for name in self._names:
            value = _environ.get(name)
            if value:
                return _decode_value(value)
        return None

    def all(self) -> tuple[Any, ...]:
        """Return all of them as they are, to be compared."""
        return tuple(map(_environ.get, self._names))


environment = lru_cache(64)(Environment)
"""The variables of some names; those of a vendor are the same for each of its models."""


class Address:
    """One call's way to its vendor."""

    __slots__ = ("_api_key", "_aws", "_found", "_region", "base_url", "query")

    def __init__(self, found: Found, params: dict[str, Any], *, api_base: str | None, api_key: str | None) -> None:
        """Take what decides the address out of `params`.

        Raises: ConfigurationError: there is no base URL, or it is none.
        """
        provider = found.provider
        self._found = found
        self._api_key = api_key
        self.query: dict[str, str] = {}
        """What the address itself puts behind the question mark."""
        if provider.auth == "aws":
            self._aws = aws.AwsSettings.take(params)
            self._region = self._aws.aws_region_name or found.region or aws.region_of(found.name, self._aws, os.environ)
            base_url: object = api_base or aws.base_url(self._region, os.environ)
        else:
            base_url = api_base or environment(provider.base_env).first() or provider.base_url
        self.base_url = _checked(base_url, provider)
        if provider.name == "anthropic":
            self.base_url = self.base_url.removesuffix("/v1")
        if provider.name == "azure":
            self._deploy(params.pop("api_version", None))

    def _deploy(self, api_version: str | None) -> None:
        """Choose between Azure's two addresses: a deployment's with a dated version, and the undated one.

        Source: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (read 2026-11-22).
        """
        version = api_version or environment(VERSION_ENV).first()
        base = self.base_url.removesuffix("/openai/v1").removesuffix("/openai")
        if version:
            dated = f"{base}/openai"
            responses = self._found.wire == "openai_responses"
            self.base_url = dated if responses else f"{dated}/deployments/{self._found.name}"
            self.query = {"api-version": version}
        else:
            self.base_url = f"{base}/openai/v1"

    def authorization(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers that let a POST request in.

        Raises: AuthenticationError: no key is known. MissingDependencyError: AWS needs botocore to sign.
        """
        provider = self._found.provider
        if provider.auth == "aws":
            token = aws.bearer_token(self._api_key, self._aws, os.environ)
            if token is None:
                credentials = aws.find_credentials(self._aws, os.environ)
                return aws.sign(
                    "POST", url, headers, body, region=self._region, credentials=credentials, at=time.time()
                )
            return {"authorization": f"Bearer {_printable(token, provider)}"}
        key = self._key()
        if key is None:
            return {}
        if provider.auth in {"x-api-key", "api-key"}:
            return {provider.auth: key}
        return {"authorization": f"Bearer {key}"}

    def credential(self) -> str:
        """Return what tells one account from another: the key, or the name of AWS's; empty where none is needed.

        Raises: AuthenticationError: no key is known. MissingDependencyError: AWS's chain needs botocore.
        """
        if self._found.provider.auth == "aws":
            token = aws.bearer_token(self._api_key, self._aws, os.environ)
            return token or aws.find_credentials(self._aws, os.environ).access_key_id
        return self._key() or ""

    def _key(self) -> str | None:
        provider = self._found.provider
        key = self._api_key or environment(provider.key_env).first()
        if key:
            return _printable(key, provider)
        if provider.auth == "optional":
            return None
        names = " or ".join(provider.key_env)
        raise AuthenticationError(
            f"no API key for provider {provider.name!r}; set {names} or pass api_key=", provider=provider.name
        )


def _printable(key: object, provider: Provider) -> str:
    key = key.strip() if isinstance(key, str) else "\n"
    if not key.isascii() or not key.isprintable():
        raise AuthenticationError(
            f"the API key for provider {provider.name!r} has characters that no header can carry",
            provider=provider.name,
        )
    return key


def _checked(base_url: object, provider: Provider) -> str:
    if not base_url:
        names = " or ".join(provider.base_env)
        raise ConfigurationError(f"provider {provider.name!r} needs a base URL; pass api_base= or set {names}")
    if isinstance(base_url, str) and _is_address(base_url):
        return base_url.rstrip("/")
    # What was given instead is not shown: it may be a key in the wrong place, or hold a password.
    raise ConfigurationError(f"api_base must be an http:// or https:// URL; that for {provider.name!r} is none")


@lru_cache(512)
def _is_address(base_url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(base_url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
