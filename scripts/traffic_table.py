"""Ask for every recorded exchange through the public call, and print a table per vendor: `make traffic`.

Reads the file that OSTINATO_TRAFFIC names, or ../shared/traffic/open.jsonl beside the checkout.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from ostinato import Cache, OstinatoError
from tests.client import test_traffic as traffic
from tests.corpus import open_index, open_records

COLUMNS = (
    "records",
    "answers",
    "hit = miss",
    "stream = whole",
    "tools",
    "usage adds up",
    "kept out",
    "errors raised",
    "faults",
)


def row(provider: str, api: str, base_url: str, index: dict[str, Any]) -> tuple[Counter[str], list[str]]:
    """Return the counts of one vendor's API, and the ids of what went wrong."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for record in traffic.recorded(provider, api):
        counts["records"] += 1
        try:
            outcome = ask(record, base_url, index[record["id"]])
        except OstinatoError:
            expected = record["response"]["status"] >= 400 or traffic.NOT_STORED.intersection(record["tags"])
            outcome = ["errors raised"] if expected else ["faults"]
        counts.update(outcome)
        if "faults" in outcome:
            faults.append(record["id"])
    return counts, faults


def ask(record: dict[str, Any], base_url: str, row: dict[str, Any]) -> list[str]:
    """Ask for one record live, from the cache, and as a stream from the cache; return the columns it counts in."""
    asked, cache = traffic.Asked(record, base_url), Cache.memory()
    live = asked(stream=asked.streams, cache=cache)
    if not cache.stats()["stored"]:
        return ["answers", "kept out"]
    whole, again = asked(stream=False, cache=cache), asked(stream=True, cache=cache)
    several = len(whole.choices) > 1
    usage = whole.usage
    checks = {
        "hit = miss": traffic.said(live) == traffic.said(whole) or several,
        "stream = whole": traffic.said(again) == traffic.said(whole),
        "tools": several
        or len(traffic.said(whole)[2]) == row["tool_calls"]
        or "server-tools" in record["tags"]
        or record["id"] in traffic.SERVER_CALLS,
        "usage adds up": usage is None or usage.total_tokens == usage.prompt_tokens + usage.completion_tokens,
    }
    return [
        "answers",
        *(name for name, held in checks.items() if held),
        *(["faults"] if not all(checks.values()) else []),
    ]


def main() -> int:
    """Print the table; return 1 when anything is at fault."""
    os.environ.update(OPENAI_API_KEY="k", DEEPSEEK_API_KEY="k", ANTHROPIC_API_KEY="k")
    os.environ.update(AWS_BEARER_TOKEN_BEDROCK="k", AWS_REGION="us-east-1")  # noqa: S106  # nobody checks it
    traffic.Player.records = {record["id"]: record for record in open_records()}
    table = Table("provider", "api", *COLUMNS)
    wrong: list[str] = []
    with traffic.Server(("127.0.0.1", 0), traffic.Player) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        index = open_index()
        for provider, api in traffic.DOORS:
            counts, faults = row(provider, api, f"http://127.0.0.1:{server.server_address[1]}", index)
            table.add_row(provider, api, *(str(counts[name]) for name in COLUMNS))
            wrong += faults
        server.shutdown()
    Console(width=160).print(table)
    if wrong:
        print("at fault:", *wrong)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
