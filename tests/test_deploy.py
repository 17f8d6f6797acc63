"""What stands in `deploy/` is right: the commands are ours, the paths exist, nothing runs with rights."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ostinato.cli.main import cli
from ostinato.gateway.config import Limits, read
from ostinato.gateway.supervisor import GRACE_S
from ostinato.gateway.tally import METRICS
from tests.test_docs import unknown_words

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "deploy" / "ostinato.service"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
CONFIG_PAGE = (ROOT / "docs" / "gateway-config.md").read_text(encoding="utf-8")
DEPLOY_PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


@pytest.fixture
def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names in systemd have their case
    unit.read(UNIT, encoding="utf-8")
    return unit["Service"]


@pytest.mark.parametrize("name", ["ExecStart", "ExecStartPre"])
def test_the_unit_starts_a_command_that_exists(service: configparser.SectionProxy, name: str) -> None:
    program, *words = shlex.split(service[name])

    assert program.endswith("/bin/ostinato")
    assert unknown_words(cli, words) == []


def test_the_unit_waits_as_long_as_the_gateway_takes_to_end(service: configparser.SectionProxy) -> None:
    assert int(service["TimeoutStopSec"]) > Limits().shutdown_s + GRACE_S
    assert service["KillMode"] == "mixed"
    assert "-HUP" in service["ExecReload"]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    unit = tmp_path / "ostinato.service"
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/ostinato/bin/ostinato", "/bin/true"))
    ran = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)

    assert ran.stderr == ""


def test_the_image_starts_a_command_that_exists_on_the_port_that_it_names() -> None:
    words = json.loads(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]

    assert unknown_words(cli, words) == []
    assert f"EXPOSE {words[words.index('--port') + 1]}" in DOCKERFILE
    assert "/health/readiness" in DOCKERFILE


def test_the_image_is_made_of_files_that_exist_and_runs_without_rights() -> None:
    copied = [word for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    extras = re.search(r"'\.\[(.*)\]'", DOCKERFILE)[1].split(",")  # type: ignore[index]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert [name for name in extras if f"\n{name} = [" not in pyproject] == []
    assert re.search(r"^USER (?!root|0$)", DOCKERFILE, re.MULTILINE)


def test_the_configuration_that_the_page_shows_is_read() -> None:
    shown = re.search(r"```yaml\n(.*?)```", CONFIG_PAGE, re.DOTALL)[1]  # type: ignore[index]
    keys = dict.fromkeys(("OPENAI_API_KEY", "AZURE_API_KEY", "OSTINATO_MASTER_KEY"), "sk-of-the-documentation")

    assert read(shown, "config.yaml", keys).notes == ()


def test_every_limit_is_documented_with_what_holds_unless_given() -> None:
    wanted = [f"| `{name}` | {getattr(Limits(), name):g} |" for name in Limits.__struct_fields__]
    wanted[0], wanted[1] = "| `max_body_bytes` | 67108864 |", "| `max_header_bytes` | 65536 |"

    assert [row for row in wanted if row not in CONFIG_PAGE] == []


def test_every_metric_is_documented_with_its_labels() -> None:
    endings = {"counter": "_total", "gauge": "", "histogram": ""}
    rows = [
        f"| `ostinato_{metric.name}{endings[metric.kind]}` | {', '.join(f'`{label}`' for label in metric.labels)}"
        for metric in METRICS.values()
    ]

    assert [row for row in rows if row not in DEPLOY_PAGE] == []


def test_every_setting_that_is_read_is_documented() -> None:
    sources = (ROOT / "src" / "ostinato" / "gateway").glob("*.py")
    asked = re.compile(
        r"(?:section|router|litellm|general|root|item|_params|_info|each)\.(?:text|number|whole|flag|plain|section|sections)\(\s*((?:\"\w+\"(?:,\s*)?)+)"
    )
    names = {
        name
        for path in sources
        for found in asked.findall(path.read_text(encoding="utf-8"))
        for name in re.findall(r"\w+", found)
    }
    unsaid = {"model_list", "optional_pre_call_checks", "routing_strategy", "cooldown_s"}

    assert {
        name for name in names - unsaid if f"`{name}`" not in CONFIG_PAGE and f"{name}:" not in CONFIG_PAGE
    } == set()
    assert "cooldown_time" in names
