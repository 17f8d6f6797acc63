"""Amazon Bedrock's door: where it is, and how to be let in.

Two ways in: a Bedrock API key as a bearer token, for which nothing must be installed, or a signature with AWS
credentials, which botocore finds and makes. Nothing here keeps a request or looks at the clock; credentials that
botocore found are kept, and refreshed by it when they run out.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html and
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html (all read 2026-11-22).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Literal

import msgspec

from ostinato.errors import AuthenticationError, ConfigurationError, MissingDependencyError

TOKEN_ENV = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105 - a name, not a token
BASE_ENV = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL")
REGION_ENV = ("AWS_REGION", "AWS_DEFAULT_REGION")

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_DEFAULTS = {
    "us": "us-east-1",
    "us-gov": "us-gov-west-1",
    "eu": "eu-central-1",
    "apac": "ap-southeast-1",
    "jp": "ap-northeast-1",
    "au": "ap-southeast-2",
    "ca": "ca-central-1",
    "global": "us-east-1",
}
"""A region that each kind of inference profile can be called from."""

_CHAIN_ENV = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""What decides which credentials the chain finds."""


class Credentials(msgspec.Struct, frozen=True):
    """A key that signs, as it is now."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r})"


class AwsSettings(msgspec.Struct, frozen=True):
    """What a caller may say about the way in. Every field is a parameter of a call, under the same name."""

    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    aws_profile_name: str | None = None
    aws_region_name: str | None = None

    def __repr__(self) -> str:
        return f"AwsSettings(profile={self.aws_profile_name!r}, region={self.aws_region_name!r})"

    @classmethod
    def take(cls, params: dict[str, Any]) -> AwsSettings:
        """Take our parameters out of `params` and return them.

        Raises: ConfigurationError: one is no text, or a key is given by halves.
        """
        given = {name: params.pop(name, None) for name in AWS_PARAMS}
        for name, value in given.items():
            if value is not None and (not isinstance(value, str) or not value):
                raise ConfigurationError(f"{name} must be a non-empty str, not a {type(value).__name__}")
        settings = cls(**given)
        if (settings.aws_access_key_id is None) != (settings.aws_secret_access_key is None):
            raise ConfigurationError("aws_access_key_id and aws_secret_access_key go together; pass both or neither")
        if settings.aws_session_token is not None and settings.aws_access_key_id is None:
            raise ConfigurationError("aws_session_token needs aws_access_key_id and aws_secret_access_key beside it")
        return settings


AWS_PARAMS = frozenset(AwsSettings.__struct_fields__)
"""Parameters of a call that are ours: they are never sent, and no part of a key."""


class Door(msgspec.Struct, frozen=True):
    """What a model's name behind `bedrock/` says."""

    api: Literal["converse", "invoke"]
    model: str
    """The id that goes into the path: a model, an inference profile, or an ARN."""
    region: str | None = None


def door_of(name: str) -> Door:
    """Return the API, the model and the region that `name` asks for.

    `converse/` or `invoke/` may stand in front, then a region, as in `bedrock/invoke/us-west-2/<model>`.
    """
    api, slash, rest = name.partition("/")
    if not slash or api not in {"converse", "invoke"}:
        api, rest = "converse", name
    region, slash, model = rest.partition("/")
    named = bool(slash) and _REGION.fullmatch(region) is not None
    return Door("invoke" if api == "invoke" else "converse", model if named else rest, region if named else None)


def region_of(model: str, settings: AwsSettings, environ: Mapping[str, str]) -> str:
    """Return the region to call `model` in.

    What the call says wins over the region in an ARN, which wins over the environment, the configuration file
    (where botocore is installed), and what the kind of inference profile suggests.

    Raises: ConfigurationError: nothing names a region, or what does is none.
    """
    told = settings.aws_region_name or _region_in(model)
    told = told or next((environ[name] for name in REGION_ENV if environ.get(name)), None)
    told = told or _configured_region(settings.aws_profile_name, environ) or _DEFAULTS.get(model.partition(".")[0])
    if told is None:
        raise ConfigurationError(f"no region for {model!r}; set AWS_REGION or pass aws_region_name=")
    if not _REGION.fullmatch(told):
        raise ConfigurationError(f"the AWS region must look like 'us-east-1', not {told!r}")
    return told


def _region_in(model: str) -> str | None:
    parts = model.split(":", 5)
    return (parts[3] or None) if len(parts) == 6 and parts[0] == "arn" else None


def _configured_region(profile: str | None, environ: Mapping[str, str]) -> str | None:
    try:
        session = _sessions.get(profile, environ)
    except MissingDependencyError:
        return None
    try:
        region = session.get_config_variable("region")
    except _botocore("exceptions").BotoCoreError:
        # Whatever is wrong with the configuration, finding the credentials will say it.
        return None
    return region if isinstance(region, str) else None


def base_url(region: str, environ: Mapping[str, str]) -> str:
    """Return where Bedrock listens in `region`, or where the environment says it does."""
    told = next((environ[name] for name in BASE_ENV if environ.get(name)), None)
    if told is not None:
        return told.rstrip("/")
    return f"https://bedrock-runtime.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def bearer_token(api_key: str | None, settings: AwsSettings, environ: Mapping[str, str]) -> str | None:
    """Return the Bedrock API key to send, or None to sign. Credentials in the call win over a token around it."""
    if api_key:
        return api_key
    if settings.aws_access_key_id or settings.aws_profile_name:
        return None
    return environ.get(TOKEN_ENV) or None


def find_credentials(settings: AwsSettings, environ: Mapping[str, str]) -> Credentials:
    """Return the credentials of the call, or those that AWS's chain finds, refreshed when they are about to end.

    May read files and ask AWS's own services, as botocore does.

    Raises:
        AuthenticationError: there are none.
        MissingDependencyError: the chain is needed, and botocore is not installed.
        ConfigurationError: there is no such profile.
    """
    if settings.aws_access_key_id is not None and settings.aws_secret_access_key is not None:
        return Credentials(settings.aws_access_key_id, settings.aws_secret_access_key, settings.aws_session_token)
    session = _sessions.get(settings.aws_profile_name, environ)
    errors = _botocore("exceptions")
    try:
        found = session.get_credentials()
        frozen = None if found is None else found.get_frozen_credentials()
    except errors.ProfileNotFound as exc:
        raise ConfigurationError(f"AWS has no profile {settings.aws_profile_name!r} configured") from exc
    except errors.BotoCoreError as exc:
        raise AuthenticationError(f"AWS credentials could not be had: {exc}", provider="bedrock") from exc
    if frozen is None or not frozen.access_key:
        raise AuthenticationError(
            f"no AWS credentials; set {TOKEN_ENV}, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass api_key=",
            provider="bedrock",
        )
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    region: str,
    service: str = "bedrock",
    credentials: Credentials,
    at: float,
) -> dict[str, str]:
    """Return the headers that sign a request (Signature Version 4), to be sent beside `headers`.

    `at` is now, in UTC seconds; AWS takes a signature for five minutes. All of `headers` are signed but those that
    intermediaries change, so they must be sent as they are.

    Raises: MissingDependencyError: botocore is not installed.
    """
    auth = _botocore("auth").SigV4Auth(_ForBotocore(credentials), service, region)
    given = {name: value for name, value in headers.items() if name.lower() not in _MADE}
    request = _botocore("awsrequest").AWSRequest(method=method, url=url, headers=given, data=body)
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = stamp
    made = {"x-amz-date": stamp}
    if credentials.session_token:
        made["x-amz-security-token"] = credentials.session_token
    for name, value in made.items():
        request.headers[name] = value
    signed = auth.signed_headers(auth.headers_to_sign(request))
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    made["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={signed}, Signature={signature}"
    )
    return made


_MADE = frozenset({"authorization", "x-amz-date", "x-amz-security-token", "date"})


class _ForBotocore:
    """Credentials under the names that botocore reads."""

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, credentials: Credentials) -> None:
        self.access_key = credentials.access_key_id
        self.secret_key = credentials.secret_access_key
        self.token = credentials.session_token


class _Sessions:
    """One botocore session for each profile and environment: it keeps what it found, and refreshes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str | None, ...], Any] = {}

    def get(self, profile: str | None, environ: Mapping[str, str]) -> Any:
        """Return the session. Raises: MissingDependencyError: botocore is not installed."""
        key = (profile, *(environ.get(name) for name in _CHAIN_ENV))
        with self._lock:
            session = self._held.get(key)
            if session is None:
                session = _botocore("session").Session(profile=profile)
                if len(self._held) >= 64:
                    self._held.clear()
                self._held[key] = session
            return session


_sessions = _Sessions()


def _botocore(module: str) -> Any:
    try:
        return import_module(f"botocore.{module}")
    except ImportError as exc:
        raise MissingDependencyError(
            "Bedrock needs botocore to find AWS credentials and to sign: pip install 'ostinato[bedrock]'"
            f" (a Bedrock API key in {TOKEN_ENV} needs nothing)"
        ) from exc
