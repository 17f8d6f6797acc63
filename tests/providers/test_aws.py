from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.auth
import httpx2
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from ostinato.errors import AuthenticationError, ConfigurationError, MissingDependencyError
from ostinato.providers.aws import (
    AWS_PARAMS,
    AwsSettings,
    Credentials,
    Door,
    base_url,
    bearer_token,
    door_of,
    find_credentials,
    region_of,
    sign,
)

NOW = 1_795_000_000.0
URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse"
ARN = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-20250514-v1:0"
KEY = Credentials("AKIDEXAMPLE", "secret", "token")
NOTHING = AwsSettings()


@pytest.fixture(autouse=True)
def _no_files_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


class Frozen:
    """A clock for botocore that stands still."""

    @staticmethod
    def now() -> datetime:
        return datetime.fromtimestamp(NOW, UTC)


@pytest.mark.parametrize("token", [None, "token"])
@pytest.mark.parametrize("url", [URL, f"{URL}-stream?b=2&a=1", "http://127.0.0.1:8080/model/a%3A0/converse"])
def test_a_signature_is_that_of_botocore(url: str, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", Frozen.now)
    headers = {"content-type": "application/json", "accept": "*/*", "user-agent": "x", "x-two": "a  b"}
    request = AWSRequest(method="POST", url=url, headers=dict(headers), data=b'{"messages":[]}')
    botocore.auth.SigV4Auth(BotocoreCredentials("AKIDEXAMPLE", "secret", token), "bedrock", "us-east-1").add_auth(
        request
    )

    made = sign(
        "POST", url, headers, b'{"messages":[]}',
        region="us-east-1", credentials=Credentials("AKIDEXAMPLE", "secret", token), at=NOW,
    )  # fmt: skip

    assert made == {
        name: request.headers[name]
        for name in ("authorization", "x-amz-date", "x-amz-security-token")
        if name in request.headers
    }


def test_what_is_signed_is_the_path_that_is_sent() -> None:
    assert httpx2.URL(URL).raw_path == b"/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse"


def test_a_signature_from_before_is_replaced() -> None:
    def made(**headers: str) -> dict[str, str]:
        return sign("POST", URL, headers, b"", region="us-east-1", credentials=KEY, at=NOW)

    assert made(authorization="old", **{"X-Amz-Date": "old"}) == made()


@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("anthropic.claude-sonnet-5", Door("converse", "anthropic.claude-sonnet-5")),
        ("converse/us.amazon.nova-lite-v1:0", Door("converse", "us.amazon.nova-lite-v1:0")),
        ("invoke/anthropic.claude-v2:1", Door("invoke", "anthropic.claude-v2:1")),
        ("invoke/us-west-2/anthropic.claude-v2:1", Door("invoke", "anthropic.claude-v2:1", "us-west-2")),
        ("eu-central-1/meta.llama3", Door("converse", "meta.llama3", "eu-central-1")),
        (ARN, Door("converse", ARN)),
        (f"converse/{ARN}", Door("converse", ARN)),
    ],
)
def test_a_name_says_the_door_the_model_and_the_region(name: str, door: Door) -> None:
    assert door_of(name) == door


@pytest.mark.parametrize(
    ("model", "settings", "environ", "region"),
    [
        ("m", AwsSettings(aws_region_name="eu-west-3"), {"AWS_REGION": "us-west-2"}, "eu-west-3"),
        (ARN, NOTHING, {"AWS_REGION": "us-west-2"}, "eu-west-1"),
        (ARN, AwsSettings(aws_region_name="eu-west-3"), {}, "eu-west-3"),
        ("us.m", NOTHING, {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-2"}, "us-west-2"),
        ("us.m", NOTHING, {"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"),
        ("us.m", NOTHING, {}, "us-east-1"),
        ("eu.m", NOTHING, {}, "eu-central-1"),
        ("global.m", NOTHING, {}, "us-east-1"),
        ("us-gov.m", NOTHING, {}, "us-gov-west-1"),
    ],
)
def test_the_region_is_the_nearest_that_is_named(
    model: str, settings: AwsSettings, environ: dict[str, str], region: str
) -> None:
    assert region_of(model, settings, environ) == region


def test_a_region_in_the_configuration_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = ap-south-1\n[profile other]\nregion = sa-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    environ = {"AWS_CONFIG_FILE": str(config)}

    assert region_of("us.m", NOTHING, environ) == "ap-south-1"
    assert region_of("us.m", AwsSettings(aws_profile_name="other"), environ) == "sa-east-1"


def test_no_region_at_all_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        region_of("anthropic.claude-v2", NOTHING, {"AWS_CONFIG_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize("region", ["us-east-1.evil.example/", "us east 1", "x"])
def test_a_region_that_is_none_reaches_no_host(region: str) -> None:
    with pytest.raises(ConfigurationError, match="must look like"):
        region_of("m", NOTHING, {"AWS_REGION": region})


def test_the_base_url_is_the_regions_or_the_environments() -> None:
    assert base_url("us-east-1", {}) == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert base_url("cn-north-1", {}) == "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
    assert base_url("us-east-1", {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:1/"}) == "http://127.0.0.1:1"
    assert (
        base_url("us-east-1", {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://b"})
        == "http://b"
    )


def test_a_key_of_bedrocks_own_is_sent_as_it_is_unless_the_call_signs() -> None:
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "bedrock-key"}

    assert bearer_token(None, NOTHING, environ) == "bedrock-key"
    assert bearer_token("mine", AwsSettings("a", "b"), environ) == "mine"
    assert bearer_token(None, AwsSettings("a", "b"), environ) is None
    assert bearer_token(None, AwsSettings(aws_profile_name="p"), environ) is None
    assert bearer_token(None, NOTHING, {}) is None


def test_our_parameters_are_taken_out_of_the_call() -> None:
    params: dict[str, Any] = {
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
        "aws_region_name": "us-east-1",
        "top_p": 1,
    }

    settings = AwsSettings.take(params)

    assert settings == AwsSettings("a", "b", aws_region_name="us-east-1")
    assert params == {"top_p": 1}
    assert {"aws_session_token", "aws_profile_name"} < AWS_PARAMS
    assert "'b'" not in repr(settings)


@pytest.mark.parametrize(
    "params",
    [
        {"aws_access_key_id": "a"},
        {"aws_secret_access_key": "a"},
        {"aws_session_token": "a"},
        {"aws_region_name": 3},
        {"aws_profile_name": ""},
    ],
)
def test_half_a_key_is_no_key(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AwsSettings.take(params)


def test_credentials_of_the_call_need_no_chain() -> None:
    assert find_credentials(AwsSettings("a", "b", "c"), {}) == Credentials("a", "b", "c")


def test_the_chain_finds_what_the_environment_holds_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("one", "two"):
        environ = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

        assert find_credentials(NOTHING, environ) == Credentials(key, "s", "t")


def test_the_chain_finds_what_a_profile_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "credentials"
    shared.write_text("[work]\naws_access_key_id = w\naws_secret_access_key = s\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(shared), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert find_credentials(AwsSettings(aws_profile_name="work"), environ) == Credentials("w", "s")
    with pytest.raises(ConfigurationError, match="'play'"):
        find_credentials(AwsSettings(aws_profile_name="play"), environ)
    with pytest.raises(AuthenticationError, match="no AWS credentials"):
        find_credentials(NOTHING, environ)


def test_credentials_that_are_about_to_end_are_had_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    script = (
        f"import json, pathlib; path = pathlib.Path({str(count)!r}); "
        "turn = len(path.read_text()) if path.exists() else 0; path.write_text('x' * (turn + 1)); "
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'key{turn}', 'SecretAccessKey': 's', 'SessionToken': 't', "
        "'Expiration': '2000-01-01T00:00:00Z' if not turn else '2999-01-01T00:00:00Z'}))"
    )
    program = tmp_path / "program.py"
    program.write_text(script)
    config = tmp_path / "config"
    config.write_text(f"[profile made]\ncredential_process = {sys.executable} {program}\n")
    environ = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = AwsSettings(aws_profile_name="made")

    found = [find_credentials(settings, environ).access_key_id for _ in range(3)]

    assert found == ["key1", "key1", "key1"]
    assert count.read_text() == "xx"


def test_without_botocore_a_bedrock_key_still_works_and_a_signature_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = importlib.import_module

    def absent(name: str) -> Any:
        if name.startswith("botocore"):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr("ostinato.providers.aws.import_module", absent)

    assert bearer_token(None, NOTHING, {"AWS_BEARER_TOKEN_BEDROCK": "k"}) == "k"
    assert region_of("us.m", NOTHING, {"AWS_PROFILE": "nobody"}) == "us-east-1"
    with pytest.raises(MissingDependencyError, match=r"pip install 'ostinato\[bedrock\]'"):
        sign("POST", URL, {}, b"", region="us-east-1", credentials=KEY, at=NOW)
    with pytest.raises(MissingDependencyError):
        find_credentials(NOTHING, {"AWS_PROFILE": "nobody"})
