"""What it costs to say what a call cost, beside its peers: `python -m bench.prices [rounds]`.

The floor is the sum alone: four counters times four rates, as integers. The peer is genai-prices, which asks the
same table. Rows alternate within each round; figures are CPU time of this thread, medians of the rounds. The last rows
are what a program pays once: the table, read when the first price is asked for.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import genai_prices

from ostinato.client.route import Route
from ostinato.pricing import completion_cost, price
from ostinato.providers import find_model
from ostinato.records import Completion, Usage
from ostinato.wire import find_wire
from ostinato.wire.tokens import Tokens

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT_S = AT.timestamp()
CALLS = 2000
RUN = Tokens(uncached=100, read=5000, written={"5m": 600, "1h": 400}, output=50)
USAGE = {
    "prompt_tokens": 6100,
    "completion_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 5000, "cache_creation_tokens": 1000},
}
ANSWER = Completion({"model": "claude-sonnet-4-5", "created": int(AT_S), "usage": Usage(USAGE)})
CLIENT = find_wire("anthropic").parse(
    {
        "type": "message",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "a"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 100,
            "cache_read_input_tokens": 5000,
            "cache_creation_input_tokens": 1000,
            "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
            "output_tokens": 50,
        },
    }
)
CLIENT._pricer = Route("anthropic/claude-sonnet-4-5", find_model("anthropic/claude-sonnet-4-5")).price
THEIRS = genai_prices.Usage(
    input_tokens=6100, cache_read_tokens=5000, cache_write_tokens=1000, cache_write_1h_tokens=400, output_tokens=50
)
LOADING = {
    "import ostinato": "import ostinato",
    "import ostinato.pricing": "import ostinato.pricing",
    "… and the first price": "import ostinato; ostinato.cost_per_token('claude-sonnet-4-5', 6100, 50)",
    "genai_prices' first price": "import genai_prices as g; g.calc_price(g.Usage(input_tokens=6100),"
    " model_ref='claude-sonnet-4-5', provider_id='anthropic')",
}


def floor() -> object:
    return RUN.uncached * 3_000_000 + RUN.read * 300_000 + 600 * 3_750_000 + 400 * 6_000_000 + RUN.output * 15_000_000


def one_run() -> object:
    return price((RUN,), provider="anthropic", model="claude-sonnet-4-5", at=AT_S)


def long_prompt() -> object:
    long = Tokens(uncached=5000, read=240_000, written={"1h": 5000}, output=100)
    return price((long,), provider="bedrock", model="global.anthropic.claude-sonnet-4-5-20250929-v1:0", at=AT_S)


def an_answer() -> object:
    return completion_cost(ANSWER)


def of_a_client() -> object:
    return CLIENT.cost


def their_price() -> object:
    return genai_prices.calc_price(
        THEIRS, model_ref="claude-sonnet-4-5", provider_id="anthropic", genai_request_timestamp=AT
    )


ROWS: dict[str, tuple[Callable[[], object], int]] = {
    "floor: the sum alone": (floor, CALLS),
    "price() of one run": (one_run, CALLS),
    "price() of a long prompt, by its band": (long_prompt, CALLS),
    "completion_cost() of an answer": (an_answer, CALLS),
    "response.cost, tokens counted anew": (of_a_client, CALLS),
    "genai_prices.calc_price()": (their_price, CALLS // 20),
}


def cpu_us(run: Callable[[], object], calls: int) -> float:
    began = time.thread_time()
    for _ in range(calls):
        run()
    return (time.thread_time() - began) / calls * 1e6


def cold_ms(code: str) -> float:
    """Return what `code` takes in a fresh interpreter, in milliseconds of CPU, without the interpreter itself."""
    timed = f"import time; began = time.process_time()\n{code}\nprint(time.process_time() - began)"
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout) * 1000


def main(rounds: int) -> None:
    """Print the rows."""
    figures: dict[str, list[float]] = {name: [] for name in ROWS}
    loading: dict[str, list[float]] = {name: [] for name in LOADING}
    for _ in range(rounds):
        for name, (run, calls) in ROWS.items():
            figures[name].append(cpu_us(run, calls))
        for name, code in LOADING.items():
            loading[name].append(cold_ms(code))
    show(figures, "µs a call")
    show(loading, "ms once")


def show(rows: dict[str, list[float]], unit: str) -> None:
    for name, values in rows.items():
        print(f"{name:40} {statistics.median(values):9.2f} {unit}   best {min(values):.2f}")


def sums_agree() -> bool:
    """Say whether all of them say the same."""
    theirs: Any = their_price()
    ours: Any = one_run()
    return bool(ours.total == theirs.total_price and ours.total_pico == floor() and float(ours) == CLIENT.cost)


if __name__ == "__main__":
    assert sums_agree()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
