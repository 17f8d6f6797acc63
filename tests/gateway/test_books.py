from __future__ import annotations

import threading
from pathlib import Path, PurePath

import pytest

from ostinato.gateway.books import FILE_NAME, Books, usual_path
from ostinato.gateway.file_vault import SCHEMA
from ostinato.gateway.keys import Key
from ostinato.ledger.file import LedgerFile
from ostinato.ledger.line import Line


def test_what_is_settled_is_written_behind_the_calls_and_at_the_end(tmp_path: Path) -> None:
    books = Books(tmp_path / FILE_NAME)
    books.open()
    books.open()
    for _ in range(10):
        books.till.settle(books.till.admit(None, "m"), Line(0.0, "t", "", "m", "miss", cost_pico=3))
    books.close()

    assert [row["cost_pico"] for row in books.vault.spend([])] == [30]
    assert "ostinato-ledger" not in {thread.name for thread in threading.enumerate()}


def test_books_open_again_after_they_were_closed(tmp_path: Path) -> None:
    books = Books(tmp_path / FILE_NAME)
    secret = books.ring.create(Key(id="a", rpm=5))
    books.close()
    books.open()

    found = books.ring.find(secret)
    assert found is not None
    books.till.settle(books.till.admit(found, "m"), None)
    books.close()
    with LedgerFile(tmp_path / FILE_NAME, SCHEMA).reading() as connection:
        assert connection.execute("SELECT COALESCE(SUM(amount), 0) FROM grants").fetchone() == (0,)
    books.close()


@pytest.mark.parametrize(
    ("environ", "platform", "path"),
    [
        ({"HOME": "/home/u"}, "linux", "/home/u/.local/state/ostinato"),
        ({"HOME": "/home/u", "XDG_STATE_HOME": "/s"}, "linux", "/s/ostinato"),
        ({"HOME": "/home/u", "XDG_STATE_HOME": "s"}, "linux", "/home/u/.local/state/ostinato"),
        ({"HOME": "/home/u", "STATE_DIRECTORY": "/var/lib/o:/x"}, "linux", "/var/lib/o"),
        ({"HOME": "/home/u"}, "darwin", "/home/u/Library/Application Support/ostinato"),
        ({"HOME": "/home/u", "LOCALAPPDATA": "/l"}, "win32", "/l/ostinato"),
    ],
)
def test_the_file_is_where_the_platform_keeps_state(environ: dict[str, str], platform: str, path: str) -> None:
    assert usual_path(environ, platform) == PurePath(path) / FILE_NAME
