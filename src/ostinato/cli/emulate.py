"""`ostinato emulate`: the shipped provider emulator in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ostinato.testing.emulator import Emulator


@click.command("emulate")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=4010, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
def command(host: str, port: int) -> None:
    """Run a local stand-in for OpenAI's API, Anthropic's and Bedrock's, until Ctrl-C.

    It answers with made-up text, counts tokens, and keeps a prompt cache as each vendor does; nothing is paid.
    """
    from ostinato.testing.emulator import serve

    try:
        serve(host=host, port=port, ready=announce)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def announce(emulator: Emulator) -> None:
    """Say where the emulator is and how to point a program at it, vendor by vendor."""
    click.echo(f"listening on {emulator.base_url} (Ctrl-C ends it); in another shell, as needed:")
    click.echo(f"  export OPENAI_BASE_URL={emulator.base_url} OPENAI_API_KEY=anything")
    click.echo(f"  export ANTHROPIC_BASE_URL={emulator.anthropic_url} ANTHROPIC_API_KEY=anything")
    click.echo(
        f"  export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={emulator.bedrock_url} AWS_REGION=us-east-1"
        " AWS_BEARER_TOKEN_BEDROCK=anything"
    )
