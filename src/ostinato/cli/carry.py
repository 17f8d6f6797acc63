"""`ostinato cache export` and `import`: a cache's entries as a file of JSON lines, and back."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from ostinato.cli.place import Place, on_a_cache, watched

FILE = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


@click.command("export")
@on_a_cache
@click.argument("file", type=FILE)
@click.option("--plain", is_flag=True, help="Readable lines also of an encrypted cache.")
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
def export(place: Place, file: Path, *, plain: bool, force: bool) -> None:
    """Write the entries to FILE, a line of JSON each, or to the standard output for `-`.

    FILE is readable by its owner alone. Lines of an encrypted cache are encrypted with its first key.
    """
    from ostinato.caching.export import export_lines

    count = -1  # the last line is no entry
    total = place.cache.store.stats().get("entries") if not place.scope else None
    with _written(file, force=force) as out:
        for line in watched(export_lines(place.cache.shelf, place.scope, plain=plain), "exporting", total):
            out.write(line)
            count += 1
    click.echo(f"{count:,} exported", err=True)


@contextmanager
def _written(file: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open `file` to write, under its name only once it is whole."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if file.exists() and not force:
        raise click.ClickException(f"{str(file)!r} is there already; --force replaces it")
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        raise click.ClickException(f"{str(file)!r} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


@click.command("import")
@partial(on_a_cache, may_be_new=True)
@click.argument("file", type=FILE)
def import_(place: Place, file: Path) -> None:
    """Bring back what `export` wrote to FILE, or the standard input for `-`. Every line is checked.

    Entries that the cache has already, or newer, stay; those whose time is over, or that were invalidated
    since, are not brought back. Exit status 1 when lines were damaged or missing.
    """
    from ostinato.caching.export import VERDICTS, End, import_line

    verdicts: Counter[str] = Counter()
    end: int | None = None
    with _opened(file) as lines:
        for line in watched(_lines(lines), "importing"):
            verdict = import_line(place.cache.shelf, line)
            if isinstance(verdict, End):
                end = verdict.count
            else:
                verdicts[verdict] += 1
    place.cache.flush()
    for name, meaning in VERDICTS.items():
        if verdicts[name]:
            click.echo(f"{verdicts[name]:>10,} {name:12} {meaning}")
    if end != verdicts.total():
        missing = "its last line" if end is None else f"{end - verdicts.total():,} lines"
        raise click.ClickException(f"the file is not whole: {missing} is missing")
    if verdicts["damaged"]:
        raise click.ClickException("some lines are damaged")


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        with file.open("rb") as lines:
            yield lines
    except OSError as error:
        raise click.ClickException(f"{str(file)!r} cannot be read: {error.strerror or error}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of `file`; of one that is longer than any of ours its beginning alone, which is damaged."""
    from ostinato.caching.export import LONGEST_LINE

    while line := file.readline(LONGEST_LINE):
        whole = line
        while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
            whole = b"too long"
        yield whole
