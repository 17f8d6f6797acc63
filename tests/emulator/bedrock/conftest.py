"""boto3's client. Its session is made once: that is what takes the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import botocore.config
import pytest

from ostinato.testing.emulator import Emulator

ONE_ATTEMPT = botocore.config.Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="session")
def _session() -> Any:
    return boto3.Session(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret", region_name="eu-north-1")


@pytest.fixture
def runtime(emulator: Emulator, _session: Any) -> Iterator[Any]:
    """boto3's `bedrock-runtime` client, pointed at the emulator."""
    client = _session.client("bedrock-runtime", endpoint_url=emulator.bedrock_url, config=ONE_ATTEMPT)
    with closing(client):
        yield client
