"""`ostinato cache`: look into a cache of any kind, take out of it, and bring back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli.carry import export, import_
from ostinato.cli.place import Place, on_a_cache

if TYPE_CHECKING:
    from ostinato.caching.listing import Listed

as_json = click.option("--json", "as_json", is_flag=True, help="JSON, a line each.")


@click.group("cache")
def command() -> None:
    """List, show, remove, export and import what a cache holds."""


command.add_command(export)
command.add_command(import_)


@command.command("ls")
@on_a_cache
@click.option("--model", help="Only answers of this model, as the calls named it.")
@click.option("--tag", help="Only entries with this tag.")
@as_json
def ls(place: Place, model: str | None, tag: str | None, *, as_json: bool) -> None:
    """List the entries that would answer: key, time, size, kind, model, tags."""
    for entry, _ in place.entries("listing"):
        if (model is None or entry.model == model) and (tag is None or tag in entry.tags):
            click.echo(_json(entry) if as_json else _line(entry))
    place.say_unreadable()


@command.command("show")
@on_a_cache
@click.argument("key")
@click.option("--request", is_flag=True, help="What was asked as well, where record mode kept it.")
@as_json
def show(place: Place, key: str, *, request: bool, as_json: bool) -> None:
    """Show the answer stored under KEY, or under the one key that starts with it."""
    import msgspec

    from ostinato.caching.listing import listed

    store_key, size_bytes, entry = place.find(key)
    if entry is None:
        place.unreadable = 1
        place.say_unreadable()
        raise click.ClickException("the entry cannot be read")
    shown: dict[str, Any] = {**msgspec.to_builtins(listed(store_key, size_bytes, entry))}
    asked = entry.meta.get("request")
    if as_json:
        shown |= {"body": msgspec.Raw(entry.body)} | ({"request": asked} if request else {})
        click.echo(_json(shown))
        return
    for name, value in shown.items():
        click.echo(f"{name:12}  {_plain(', '.join(value) if name == 'tags' else value, name)}")
    click.echo(f"\n{msgspec.json.format(entry.body).decode()}")
    if request:
        said = "no request is kept: only record mode keeps it" if asked is None else _json(asked, indent=True)
        click.echo(f"\n{said}")


@command.command("rm")
@on_a_cache
@click.argument("keys", nargs=-1)
@click.option("--model", help="Every answer of this model, as the calls named it.")
@click.option("--tag", help="Every entry that carries this tag now.")
def rm(place: Place, keys: tuple[str, ...], model: str | None, tag: str | None) -> None:
    """Remove entries: by KEYS or the first digits of them, by model, by tag."""
    if not keys and model is None and tag is None:
        raise click.UsageError("say what to remove: keys, --model or --tag")
    store = place.cache.store
    gone = sum(store.delete(place.find(key)[0]) for key in keys)
    if model is not None or tag is not None:
        for entry, _ in place.entries("removing"):
            if entry.model == model or tag in entry.tags:
                gone += store.delete(bytes.fromhex(entry.scope + entry.key))
    click.echo(f"{gone:,} removed")
    place.say_unreadable()


@command.command("clear")
@on_a_cache
@click.option(
    "--all", "everything", is_flag=True, help="All there is, tags and data keys too; what was shredded stays so."
)
@click.option("--shred", is_flag=True, help="Delete the data keys first: no copy of an entry can be read again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(place: Place, *, everything: bool, shred: bool, yes: bool) -> None:
    """Remove the entries of a --namespace, or --all."""
    if everything == bool(place.scope):
        raise click.UsageError("say what to clear: --namespace NAME, or --all")
    if not yes:
        click.confirm("Clear " + ("the whole cache?" if everything else "the namespace?"), abort=True, err=True)
    shelf = place.cache.shelf
    if shred and not everything:
        from ostinato.caching.register import run
        from ostinato.caching.seal import shred as shredding

        run(shelf.store, shredding(place.scope, shelf.register))
    click.echo(f"{shelf.clear_all() if everything else shelf.store.clear(place.scope):,} removed")


@command.command("stats")
@on_a_cache
@as_json
def stats(place: Place, *, as_json: bool) -> None:
    """Count what is there, by kind and by model, and say how the store is."""
    kinds: Counter[str] = Counter()
    models: Counter[str] = Counter()
    sizes = 0
    for entry, _ in place.entries("counting"):
        kinds[entry.kind] += 1
        models[entry.model or "(values)"] += 1
        sizes += entry.size_bytes
    found = {"entries": kinds.total(), "entry_bytes": sizes, "unreadable": place.unreadable, "kinds": dict(kinds)}
    counted = {**found, "models": dict(models.most_common()), "store": place.cache.store.stats()}
    if as_json:
        click.echo(_json(counted))
        return
    for name, value in _flat(counted):
        click.echo(f"{name:28}  {value:,}" if isinstance(value, int) else f"{name:28}  {_plain(value)}")


def _flat(value: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, item in value.items():
        path = f"{above}{_plain(name)}"
        rows += _flat(item, f"{path} ") if isinstance(item, dict) else [(path, item)]
    return rows


def _line(entry: Listed) -> str:
    cells = [
        entry.key[:16],
        _when(entry.stored_at),
        f"{entry.size_bytes:>10,}",
        f"{entry.kind:9}",
        _plain(entry.model or "-"),
        _plain(", ".join(entry.tags)),
    ]
    return "  ".join(cells).rstrip()


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"


def _plain(value: object, name: str = "") -> str:
    """Return `value` for a terminal: what is stored must not move its cursor."""
    if value is not None and name.endswith("_at"):
        return _when(float(str(value)))
    return "".join(letter if letter.isprintable() else "?" for letter in str("-" if value is None else value))


def _json(value: object, *, indent: bool = False) -> str:
    import msgspec

    encoded = msgspec.json.encode(value)
    return (msgspec.json.format(encoded) if indent else encoded).decode()
