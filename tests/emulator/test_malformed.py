"""Bodies of the wrong shape are refused as a vendor refuses them, and never take long."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings

from ostinato.testing.emulator import Emulator
from tests.mutations import CHATS, CONVERSE, EMBEDDINGS, MESSAGES, RESPONSES, mutated

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HEADERS = {"authorization": "Bearer key", "x-api-key": "key", "anthropic-version": "2023-06-01"}
SAMPLES = {
    "/v1/chat/completions": CHATS,
    "/v1/messages": MESSAGES,
    "/v1/responses": RESPONSES,
    "/v1/embeddings": EMBEDDINGS,
    f"/model/{CLAUDE}/converse": CONVERSE,
    f"/model/{CLAUDE}/invoke": [
        {**{name: value for name, value in body.items() if name != "model"}, "anthropic_version": "bedrock-2023-05-31"}
        for body in MESSAGES
    ],
}


@pytest.mark.parametrize("path", SAMPLES)
def test_no_body_is_a_fault_of_the_emulator(path: str, emulator: Emulator, http: httpx2.Client) -> None:
    @settings(max_examples=80, suppress_health_check=list(HealthCheck))
    @given(mutated(SAMPLES[path]))
    def any_body(body: Any) -> None:
        answer = http.post(emulator.url + path, json=body, headers=HEADERS)
        assert answer.status_code < 500, answer.text

    any_body()


@pytest.mark.parametrize("schema", [{"type": "string", "minLength": 10**30}, {"type": "array", "minItems": 10**30}])
def test_a_schema_that_asks_for_more_than_anybody_reads_is_refused(
    schema: Any, emulator: Emulator, http: httpx2.Client
) -> None:
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"$defs": {"a": schema}, "$ref": "#/$defs/a"}},
    }
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "response_format": wanted}
    answer = http.post(f"{emulator.base_url}/chat/completions", json=asked)

    assert answer.status_code == 400
    assert "requires more than" in answer.json()["error"]["message"]
