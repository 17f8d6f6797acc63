"""Let every official client ask every vendor through the gateway, and print what came of it: `make matrix`.

A cell says `hit` where the client was answered, and was told the same by a hit the second time.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from ostinato.testing.emulator import Emulator
from tests.gateway.clients import WAYS, MissingClientError
from tests.gateway.serving import VENDORS, Serving, config_for


def cell(name: str, url: str, vendor: str, emulator: Emulator) -> str:
    """Return what came of one client and one vendor."""
    try:
        first = WAYS[name](url, vendor)
        paid = len(emulator.paid_calls)
        second = WAYS[name](url, vendor)
    except MissingClientError as missing:
        return f"skipped: {missing}"
    except Exception as error:  # noqa: BLE001  # whatever it is belongs in its cell
        return f"FAILED: {type(error).__name__}: {error}"[:120]
    if second != first:
        return "FAILED: the hit is another answer"
    return "hit" if len(emulator.paid_calls) == paid else "FAILED: paid twice"


def main() -> int:
    """Print the table. Return 1 where something failed."""
    table = Table("client", *VENDORS, title="through the gateway, in front of the emulator")
    failed = 0
    with Emulator() as emulator, Serving(config_for(emulator)) as serving:
        for name in WAYS:
            cells = [cell(name, serving.url, vendor, emulator) for vendor in VENDORS]
            failed += sum(text.startswith("FAILED") for text in cells)
            table.add_row(name, *(cells[:1] if cells[0].startswith("skipped") else cells))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
