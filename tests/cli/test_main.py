from __future__ import annotations

import errno
import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from ostinato.cli.main import Commands, cli
from ostinato.errors import ConfigurationError


def test_help_lists_every_command_with_what_it_does() -> None:
    shown = CliRunner().invoke(cli, ["--help"])

    assert shown.exit_code == 0
    assert "demo" in shown.output
    assert "Run a local stand-in for OpenAI's API" in shown.output


def test_version_is_the_package_s() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output.strip() == f"ostinato, version {version('ostinato')}"


def test_an_unknown_command_is_refused() -> None:
    shown = CliRunner().invoke(cli, ["emulat"])

    assert shown.exit_code == 2
    assert "No such command 'emulat'" in shown.output


def test_an_error_of_ours_is_shown_without_a_traceback() -> None:
    @click.group(cls=Commands, invoke_without_command=True)
    def failing() -> None:
        raise ConfigurationError("there is no such thing")

    shown = CliRunner().invoke(failing, [])

    assert (shown.exit_code, shown.output) == (1, "Error: there is no such thing\n")


def test_a_full_disk_is_told_without_a_traceback() -> None:
    @click.group(cls=Commands, invoke_without_command=True)
    def failing() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    shown = CliRunner().invoke(failing, [])

    assert (shown.exit_code, shown.output) == (1, "Error: the output: No space left on device\n")


@pytest.mark.parametrize("module", ["asyncio", "httpx2", "rich", "sqlite3", "ostinato.testing.emulator"])
def test_help_loads_nothing_that_a_command_needs(module: str) -> None:
    code = (
        "import sys; from ostinato.cli.main import cli; cli(['--help'], standalone_mode=False);"
        f"sys.exit({module!r} in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
