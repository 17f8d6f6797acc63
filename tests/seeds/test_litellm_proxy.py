"""The snippets of LiteLLM's prompt-caching page that ask a proxy, against a gateway with the page's configuration."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from ostinato.testing.emulator import Emulator
from tests.gateway.serving import Serving
from tests.seeds.pages import PROMPT_CACHING_PAGE, Snippet, page, snippets

_CONFIG = re.compile(r"^model_list:\n- model_name: (.+)\nlitellm_params:\nmodel: (.+)\napi_key: (.+)$", re.MULTILINE)


def config() -> str:
    """Return the `config.yaml` of the page, put together and indented anew, with the model of its last snippet."""
    found = [*dict.fromkeys(_CONFIG.findall(page(PROMPT_CACHING_PAGE)))]
    assert [name for name, *_ in found] == ["gpt-4o", "claude-3-5-sonnet-20240620"]
    found.append(("gpt-3.5-turbo", "openai/gpt-3.5-turbo", "os.environ/OPENAI_API_KEY"))
    item = "  - model_name: {}\n    litellm_params:\n      model: {}\n      api_key: {}\n"
    return "model_list:\n" + "".join(item.format(*model) for model in found)


@pytest.fixture
def proxy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Serve the page's models from the emulator."""
    for name, url in (("OPENAI", emulator.base_url), ("ANTHROPIC", emulator.anthropic_url)):
        monkeypatch.setenv(f"{name}_BASE_URL", url)
        monkeypatch.setenv(f"{name}_API_KEY", "any")
    with Serving(config()) as serving:
        yield serving


def asking(number: int) -> Snippet:
    return [found for found in snippets(PROMPT_CACHING_PAGE) if found.asks_a_proxy][number]


def run(number: int, base_url: str) -> dict[str, Any]:
    """Run a snippet with its placeholders filled in, and close its client.

    One line is mended: `in` finds no member of what OpenAI's client returns, whoever answers.
    """
    found = asking(number)
    code = found.code.replace('"LITELLM_PROXY_KEY"', '"any"').replace('"LITELLM_PROXY_BASE"', repr(base_url))
    left: dict[str, Any] = {}
    exec(
        compile(code.replace(" in response.usage\n", " in dict(response.usage)\n"), f"line {found.line}", "exec"), left
    )
    left["client"].close()
    return left


@pytest.fixture(params=["", "/v1"], ids=["bare", "v1"])
def base(request: pytest.FixtureRequest, proxy: Serving) -> str:
    return f"{proxy.url}{request.param}"


def test_openai_s_second_answer_reads_the_prompt_cache(base: str, emulator: Emulator) -> None:
    left = run(0, base)  # the snippet itself asserts it

    assert len(emulator.calls) == 2
    assert left["response"].usage.prompt_tokens_details.cached_tokens > 1024


def test_marks_reach_anthropic_and_are_counted(base: str, emulator: Emulator) -> None:
    left = run(1, base)

    assert left["response"].usage.cache_creation_input_tokens > 1024
    assert "cache_control" in str(emulator.calls[0].body["system"])


def test_the_cost_is_in_a_header(base: str, capfd: pytest.CaptureFixture[str]) -> None:
    left = run(2, base)
    usage = left["completion"].usage
    cost = usage.prompt_tokens * Decimal("0.0000005") + usage.completion_tokens * Decimal("0.0000015")

    assert Decimal(left["response"].headers["x-litellm-response-cost"]) == cost
    assert capfd.readouterr().out.startswith(f"{cost.normalize():f}\n")


def test_model_info_is_as_the_page_expects_it(base: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not on PATH")
    command = re.search(r"^curl -L -X GET '(\S+)' \\\n-H '([^']+)'", page(PROMPT_CACHING_PAGE), re.MULTILINE)
    assert command is not None
    url = command[1].replace("http://0.0.0.0:4000/v1", base)
    done = subprocess.run([curl, "-s", "-L", "-X", "GET", url, "-H", command[2]], capture_output=True, check=True)
    rows = {row["model_name"]: row for row in json.loads(done.stdout)["data"]}
    row = rows["claude-3-5-sonnet-20240620"]

    assert row["litellm_params"]["model"] == "anthropic/claude-3-5-sonnet-20240620"
    assert row["model_info"]["supports_prompt_caching"] is True
    assert row["model_name"].startswith(row["model_info"]["key"])
