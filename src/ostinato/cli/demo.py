"""`ostinato demo`: one question asked twice and streamed once, and what each of the three cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

MODEL = "openai/gpt-4o"
ANSWER_DELAY_S = 0.6
"""What the emulator waits before its first answer, as a hosted model would."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call, as the table shows it."""

    how: str
    cache_hit: bool
    seconds: float
    """From the call to the last word."""
    text: str
    tokens: int
    """The prompt's and the answer's."""
    cost: float | None
    """US dollars paid for it; None where no price is known."""
    saved_cost: float | None


@click.command("demo")
def command() -> None:
    """Ask twice and stream once, against a local stand-in for OpenAI: see what was paid and what was saved."""
    from rich.console import Console

    calls = run()
    console = Console()
    console.print(table(calls))
    console.print(verdict(calls))
    console.print("Next: docs/quickstart.md, or `ostinato emulate` to keep the stand-in running.")


def run() -> list[Asked]:
    """Return the three calls, made through the real path on a disk cache that is deleted afterwards."""
    from tempfile import TemporaryDirectory

    from ostinato import Cache
    from ostinato.testing.emulator import Emulator, Reply

    with TemporaryDirectory(prefix="ostinato-demo-") as folder, Emulator() as emulator:
        emulator.script(Reply(delay_s=ANSWER_DELAY_S))
        with Cache.disk(cache_path_root=folder) as cache:
            settings = {"api_base": emulator.base_url, "api_key": "demo", "cache": cache}
            return [
                ask("asked", settings),
                ask("asked again", settings),
                stream("streamed", settings),
            ]


def ask(how: str, settings: dict[str, Any]) -> Asked:
    """Make the call and time it."""
    from ostinato import completion

    began = time.perf_counter()
    answer = completion(MODEL, prompt(), **settings)
    text = answer.choices[0].message.content
    return _asked(how, time.perf_counter() - began, text, answer)


def stream(how: str, settings: dict[str, Any]) -> Asked:
    """Make the call as a stream, read it to its end and time it."""
    from ostinato import completion

    began = time.perf_counter()
    answer = completion(MODEL, prompt(), stream=True, **settings)
    text = "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)
    return _asked(how, time.perf_counter() - began, text, answer)


def _asked(how: str, seconds: float, text: str | None, answer: Any) -> Asked:
    return Asked(
        how=how,
        cache_hit=answer.cache_hit,
        seconds=seconds,
        text=text or "",
        tokens=answer.usage.total_tokens if answer.usage else 0,
        cost=getattr(answer, "cost", None),
        saved_cost=getattr(answer, "saved_cost", None),
    )


def prompt() -> list[dict[str, str]]:
    """Return messages of about two thousand tokens: a contract, and a question about it."""
    clauses = [
        f"Clause {number}. The tenant of flat {number} pays {900 + 7 * number} on the first day of every month, keeps "
        f"the stairs of floor {number // 4} clean, and gives notice three months ahead."
        for number in range(1, 51)
    ]
    return [
        {"role": "system", "content": "You answer questions about this contract.\n" + "\n".join(clauses)},
        {"role": "user", "content": "What does the tenant of flat 12 owe, and when?"},
    ]


def table(calls: list[Asked]) -> Table:
    """Return the calls as a table, no wider than 80 columns; money only where every call has a price."""
    from rich.table import Table

    money = priced(calls)
    drawn = Table(title=f"{MODEL}, played by a local stand-in: no key, no network, no bill")
    for name in ("call", "answered by"):
        drawn.add_column(name, no_wrap=True)
    for name in ("time", *(("tokens", "paid", "saved") if money else ("tokens paid", "tokens saved"))):
        drawn.add_column(name, justify="right", no_wrap=True)
    for call in calls:
        cells = [call.how, "response cache" if call.cache_hit else "the vendor", duration(call.seconds)]
        if money:
            cells += [f"{call.tokens:,}", f"${call.cost:.6f}", f"${call.saved_cost:.6f}"]
        else:
            paid, saved = (0, call.tokens) if call.cache_hit else (call.tokens, 0)
            cells += [f"{paid:,}", f"{saved:,}"]
        drawn.add_row(*cells, style="green" if call.cache_hit else None)
    return drawn


def priced(calls: list[Asked]) -> bool:
    """Return whether every call has a price."""
    return all(call.cost is not None and call.saved_cost is not None for call in calls)


def duration(seconds: float) -> str:
    """Return a time to read: milliseconds with what matters of them."""
    milliseconds = seconds * 1000
    return f"{milliseconds:,.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2f} ms"


def verdict(calls: list[Asked]) -> str:
    """Return one sentence on what was paid and what was not, and one on the money where it is known."""
    hits = [call for call in calls if call.cache_hit]
    paid = sum(call.tokens for call in calls if not call.cache_hit)
    saved = sum(call.tokens for call in hits)
    same = "the same words" if len({call.text for call in calls}) == 1 else "different words"
    said = f"{paid:,} tokens paid, {saved:,} saved by {len(hits)} of {len(calls)} calls; {same} each time."
    if not priced(calls):
        return said
    dollars_paid = sum(call.cost or 0 for call in calls)
    dollars_saved = sum(call.saved_cost or 0 for call in calls)
    return f"{said}\nAt the vendor's prices: ${dollars_paid:.6f} paid, ${dollars_saved:.6f} saved."
