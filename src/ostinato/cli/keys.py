"""`ostinato keys`: the virtual keys of a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ostinato.gateway.keys import KeyRing

_ledger = click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="The gateway's file, as general_settings.ledger says; unless given, the one in the user's folder.",
)


@click.group("keys")
def command() -> None:
    """Make, list and revoke the keys that a gateway's callers use."""


@command.command("create")
@click.argument("key_id", metavar="ID")
@click.option("--name", default="", help="What it is called in lists.")
@click.option("--tenant", default="", help="Whose entries and spend it shares; unless given, its own.")
@click.option("--group", help="Tenants of one group read each other's entries.")
@click.option("--model", "models", multiple=True, help="A model it may call, `prefix/*` for several; again for more.")
@click.option("--budget", "budget_usd", type=click.FloatRange(min=0), help="US dollars that it may spend.")
@click.option(
    "--budget-period",
    type=click.Choice(["ever", "month", "day"]),
    default="ever",
    show_default=True,
    help="After which the budget begins anew (UTC).",
)
@click.option("--rpm", type=click.IntRange(min=1), help="Calls a minute.")
@click.option("--tpm", type=click.IntRange(min=1), help="Billed tokens a minute.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Days until it expires.")
@click.option("--control", "controls", multiple=True, help="A cache control it may use, instead of all.")
@_ledger
def create(key_id: str, ledger: Path | None, **wish: Any) -> None:
    """Make a key, and print its secret: it is shown this once and kept nowhere."""
    import time

    from ostinato.gateway.keys import Key

    models, controls, days = wish.pop("models"), wish.pop("controls"), wish.pop("days")
    key = Key(
        id=key_id,
        models=models or None,
        allowed_cache_controls=controls or None,
        expires_at=None if days is None else time.time() + days * 86_400,
        **wish,
    )
    click.echo(_ring(ledger).create(key))


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
@_ledger
def show(ledger: Path | None, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the keys, without their secrets."""
    keys = _ring(ledger).list()
    if as_json:
        import msgspec

        for key in keys:
            click.echo(msgspec.json.encode(key))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "name", "tenant", "group", "models", "budget", "rpm", "tpm", "state", box=None)
    for key in keys:
        budget = "" if key.budget_usd is None else f"${key.budget_usd:g} {key.budget_period}"
        bounds = ["" if value is None else str(value) for value in (key.rpm, key.tpm)]
        models = "all" if key.models is None else " ".join(key.models)
        state = "revoked" if key.revoked else ""
        table.add_row(key.id, key.name, key.tenant, key.group or "", models, budget, *bounds, state)
    Console().print(table)


@command.command("revoke")
@click.argument("key_id", metavar="ID")
@_ledger
def revoke(key_id: str, ledger: Path | None) -> None:
    """Let a key open nothing any more; a running gateway hears of it within a second."""
    _ring(ledger).revoke(key_id)
    click.echo(f"{key_id} is revoked")


def _ring(ledger: Path | None) -> KeyRing:
    from ostinato.gateway.books import Books, usual_path

    return Books(ledger or usual_path()).ring
