"""`ostinato keys`: the virtual keys of a gateway."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ostinato.gateway.keys import KeyRing

_Command = Callable[..., None]


def _of_a_gateway(work: _Command, *, absent: int | None = None) -> _Command:
    """Give a command the options that name a gateway, and hand it the ring of its keys.

    `absent` is what it ends with where no file is there yet; None: it makes one.
    """

    @click.option(
        "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The gateway's configuration, which says where its keys are: a file, or a Redis.",
    )  # fmt: skip
    @click.option(
        "--ledger", help="That place itself, as general_settings.ledger says it; unless given, the file in the user's "
        "folder.",
    )  # fmt: skip
    @functools.wraps(work)
    def command(config: Path | None, ledger: str | None, **options: Any) -> None:
        from ostinato.gateway.books import open_books
        from ostinato.gateway.config import load
        from ostinato.gateway.file_vault import FileVault

        if config is not None and ledger is not None:
            raise click.UsageError("give --config or --ledger, not both")
        told, cache = None, None
        if config is not None:
            told = load(config)
            os.environ.update(told.environment)
            cache = told.open_cache() if told.cache is not None and told.cache.type == "redis" else None
        books = open_books(ledger if told is None else told.ledger, cache)
        try:
            if absent is not None and isinstance(books.vault, FileVault) and books.vault.is_absent():
                named = f"is no key {options['key_id']!r}" if "key_id" in options else "are no keys"
                click.echo(f"there {named}: {books.vault.where!r} is not there yet", err=True)
                sys.exit(absent)
            work(books.ring, **options)
        finally:
            books.vault.close()
            if cache is not None:
                cache.close()

    return command


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
@_of_a_gateway
def create(ring: KeyRing, key_id: str, **wish: Any) -> None:
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
    click.echo(ring.create(key))


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
@functools.partial(_of_a_gateway, absent=0)
def show(ring: KeyRing, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the keys, without their secrets."""
    keys = ring.list()
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
@functools.partial(_of_a_gateway, absent=1)
def revoke(ring: KeyRing, key_id: str) -> None:
    """Let a key open nothing any more; a running gateway hears of it within a second."""
    ring.revoke(key_id)
    click.echo(f"{key_id} is revoked")
