"""`ostinato explain`: why a call read less from the vendor's prompt cache than the call before it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ostinato.errors import BadRequestError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("explain")
@click.argument("before", type=click.Path(exists=True, dir_okay=False, path_type=str))
@click.argument("now", type=click.Path(exists=True, dir_okay=False, path_type=str))
@click.option("--seconds", type=click.FloatRange(min=0), help="How long the second call came after the first.")
def command(before: str, now: str, seconds: float | None) -> None:
    """Say why the call in NOW read less from the vendor's prompt cache than the call in BEFORE wrote.

    Each is a file with a call as JSON: an object with "model", "messages" and the other parameters of completion().
    Nothing is sent. The command ends with 1 where something is in the way.
    """
    from pathlib import Path

    from ostinato.prompt_cache.misses import explain

    explanation = explain(_read(Path(before)), _read(Path(now)), seconds_between=seconds)
    click.echo(str(explanation))
    if explanation.cause is not None:
        raise SystemExit(1)


def _read(path: Path) -> dict[str, Any]:
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise BadRequestError(f"{path} holds no call as a JSON object: {error}") from error
