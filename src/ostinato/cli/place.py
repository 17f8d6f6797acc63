"""Which cache a command means: its name, its namespace, and the keys that it is encrypted with."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.listing import Listed
    from ostinato.caching.record import Entry

KEY_VARIABLE = "OSTINATO_ENCRYPTION_KEY"
COSMOS_VARIABLE = "COSMOS_CONNECTION_STRING"
SHORTEST_PREFIX = 4
Item = TypeVar("Item")


@dataclass
class Place:
    """One cache, and which of its entries are meant."""

    cache: Cache
    scope: bytes
    """What the store keys of the entries meant start with; empty: every namespace and seed."""
    unreadable: int = field(default=0)

    def items(self, what: str) -> Iterator[tuple[bytes, int, Entry | None]]:
        """Yield the key of each entry, its size, and itself or None; show how far it is."""
        total = self.cache.store.stats().get("entries") if not self.scope else None
        return watched(self.cache.shelf.walk(self.scope), what, total)

    def entries(self, what: str) -> Iterator[tuple[Listed, Entry]]:
        """Yield each entry that would answer, and count those that cannot be read."""
        from ostinato.caching.listing import listed

        for store_key, size_bytes, entry in self.items(what):
            if entry is None:
                self.unreadable += 1
            elif self.cache.shelf.stands(store_key, entry):
                yield listed(store_key, size_bytes, entry), entry

    def find(self, prefix: str) -> tuple[bytes, int, Entry | None]:
        """Return the one entry whose key starts with these hex digits.

        Raises: click.ClickException: there is none, or more than one.
        """
        digits = prefix.lower()
        if len(digits) < SHORTEST_PREFIX or set(digits) - set("0123456789abcdef"):
            raise click.ClickException(f"{prefix!r} is no key: give its first {SHORTEST_PREFIX} hex digits or more")
        found = [item for item in self.items("looking") if item[0][8:].hex().startswith(digits)]
        if len(found) != 1:
            how_many = f"{len(found)} entries have keys" if found else "no entry has a key"
            raise click.ClickException(f"{how_many} that start with {prefix!r}")
        return found[0]

    def say_unreadable(self) -> None:
        """Tell how many entries were passed over."""
        if self.unreadable:
            click.echo(
                f"{self.unreadable:,} more cannot be read here: encrypted with a key not given (--key-file, or"
                f" {KEY_VARIABLE}), damaged, too large, or of another version",
                err=True,
            )


def on_a_cache(work: Callable[..., None], *, may_be_new: bool = False) -> Callable[..., None]:
    """Give a command the options that name a cache, and hand it the `Place` that they mean."""

    @click.option(
        "--cache", "name", default="disk:.cache/42", show_default=True, envvar="OSTINATO_CACHE",
        help="disk:FOLDER; redis://…, rediss://…, redis+cluster://…, or redis for what the REDIS_ variables name;"
        " cosmos:DATABASE/CONTAINER. Variable: OSTINATO_CACHE.",
    )  # fmt: skip
    @click.option("--namespace", help="Only entries of this namespace; '' for those of none.")
    @click.option("--seed", help="The cache_seed of that namespace; the folder's name, or 42, unless given.")
    @click.option(
        "--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"Encryption keys, one a line, the first to encrypt with. Variable for one key: {KEY_VARIABLE}.",
    )  # fmt: skip
    @functools.wraps(work)
    def command(name: str, namespace: str | None, seed: str | None, key_file: Path | None, **options: Any) -> None:
        from ostinato.caching.key import Scope

        settings, usual_seed = settings_of(name, may_be_new=may_be_new)
        keys = _keys(key_file)
        seed = usual_seed if seed is None else seed
        from ostinato.caching.cache import Cache

        cache = Cache(**settings, cache_seed=seed, encryption_key=keys)
        try:
            scope = b"" if namespace is None else Scope(namespace=namespace, seed=seed).tag()
            work(Place(cache, scope), **options)
        finally:
            cache.close()

    return command


def settings_of(name: str, *, may_be_new: bool = False) -> tuple[dict[str, Any], str]:
    """Return what `Cache` is to be given for the cache named, and the seed that it has unless another is given.

    Raises: click.UsageError: it is no name of a cache.
    """
    kind, _, place = name.partition(":")
    match kind:
        case "disk" if place:
            from ostinato.caching.stores.disk import DiskStore

            folder = Path(place)
            if not (may_be_new or folder.is_dir()):
                raise click.UsageError(f"there is no cache in {place!r}; name its folder, as in disk:.cache/42")
            return {"type": "disk", "store": DiskStore(folder)}, folder.resolve().name
        case "redis" if not place:
            return {"type": "redis"}, "42"
        case "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "unix":
            # A URL says all of its connection but, here, who asks: a command line is no place for a password.
            who = {key: os.environ.get(f"REDIS_{key.upper()}") for key in ("username", "password")}
            return {"type": "redis", "redis_url": name, **who}, "42"
        case "cosmos":
            database, _, container = place.partition("/")
            given = {"database_id": database, "container_id": container}
            string = os.environ.get(COSMOS_VARIABLE)
            if not string:
                raise click.UsageError(f"set {COSMOS_VARIABLE} to the connection string of the account")
            wanted = {key: value for key, value in given.items() if value}
            return {"type": "cosmos_db", "connection_string": string, **wanted}, "42"
        case _:
            # The name itself is not repeated: it may hold a password.
            raise click.UsageError(
                "--cache must be disk:FOLDER, redis://…, rediss://…, redis+cluster://…, redis,"
                " or cosmos:DATABASE/CONTAINER"
            )


def _keys(key_file: Path | None) -> list[str] | None:
    if key_file is not None:
        return [line.strip() for line in key_file.read_text().splitlines() if line.strip()]
    key = os.environ.get(KEY_VARIABLE)
    return [key] if key else None


def watched(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, with a progress bar on the terminal while it takes longer than a moment."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, what, total=total, console=console, transient=True)
