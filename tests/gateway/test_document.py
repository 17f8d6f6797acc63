"""What the OpenAPI document says of the gateway is so: Schemathesis asks by it, and asks wrongly by it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from ostinato.gateway.books import Books
from ostinato.gateway.document import GETS, POSTS, document
from ostinato.testing.emulator import Emulator
from tests.gateway.serving import VENDORS, Serving, config_for

MASTER = "sk-master-of-the-document"
HEADERS = {"authorization": f"Bearer {MASTER}"}
MORE = f"""
litellm_settings: {{cache: true, cache_params: {{type: local}}, num_retries: 0, cooldown_time: 0}}
general_settings: {{master_key: {MASTER}}}
"""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXACT = [*CHECKS, positive_data_acceptance, negative_data_rejection]
"""Also that what the schema allows is taken, and what it forbids is not."""
LOOSE = {path for path in (*GETS, *POSTS) if path.startswith("/v1/")} | {"/key/generate"}
"""What is taken there vendors decide, or what else is known."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A gateway with everything on, and its document with the names of its models."""
    told = deepcopy(document())
    for path in POSTS:
        schema = told["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        if "model" in schema.get("properties", ()):
            schema["properties"]["model"] = {"type": "string", "enum": [*VENDORS, "embed"]}
    books = Books(tmp_path_factory.mktemp("books") / "gateway.db")
    with (
        Emulator() as emulator,
        Serving(config_for(emulator, MORE), books=books) as serving,
    ):
        yield schemathesis.openapi.from_dict(told), serving.url


CASES = [
    *((path, GenerationMode.POSITIVE) for path in (*GETS, *POSTS)),
    *((path, GenerationMode.NEGATIVE) for path in ("/spend", *POSTS)),
]


def ask(examples: int, path: str, mode: GenerationMode, asked: tuple[Any, str]) -> None:
    schema, url = asked

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(schema[path]["GET" if path in GETS else "POST"].as_strategy(generation_mode=mode))
    def any_case(case: Any) -> None:
        checks = CHECKS if path in LOOSE else EXACT
        case.call_and_validate(base_url=url, headers=HEADERS, checks=checks)

    any_case()


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_the_document_is_true(path: str, mode: GenerationMode, asked: tuple[Any, str]) -> None:
    ask(5, path, mode, asked)


@pytest.mark.soak
@pytest.mark.parametrize(("path", "mode"), CASES)
def test_the_document_is_true_for_long(path: str, mode: GenerationMode, asked: tuple[Any, str]) -> None:
    ask(500, path, mode, asked)
