"""The command line: one command a module, imported when it is asked for."""

from __future__ import annotations

import errno
from importlib import import_module
from typing import Any, cast

import click

COMMANDS = ("cache", "demo", "emulate", "explain", "keys", "serve")
"""Each is a module beside this one, whose `command` it is."""


class Commands(click.Group):
    """The commands by name. An error of ours ends one with its message, not with a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return cast("click.Command", import_module(f"ostinato.cli.{cmd_name}").command)

    def invoke(self, ctx: click.Context) -> Any:
        from ostinato.errors import OstinatoError

        try:
            return super().invoke(ctx)
        except OstinatoError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever reads has enough
            raise click.ClickException(f"{error.filename or 'the output'}: {error.strerror or error}") from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ostinato", prog_name="ostinato")
def cli() -> None:
    """Never pay for the same tokens twice."""
