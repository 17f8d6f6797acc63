"""The tables of `docs/vendors.md`, read and compared with what the code does, cell by cell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.providers import PROVIDERS, find_model
from ostinato.wire import WIRES, find_wire
from ostinato.wire.anthropic import settings as anthropic
from ostinato.wire.contract import Built, Call
from ostinato.wire.openai_chat.request import PARAMS
from ostinato.wire.openai_responses import settings as responses

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "vendors.md").read_text(encoding="utf-8")
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ASKED: dict[str, tuple[str, str]] = {
    "openai_chat": ("openai", "gpt-4o"),
    "openai_responses": ("openai", "gpt-4o"),
    "anthropic": ("anthropic", "claude-sonnet-4-5"),
    "bedrock_invoke": ("bedrock", CLAUDE),
    "bedrock_converse": ("bedrock", CLAUDE),
}
"""The provider and the model that the examples of the page are built for."""
HELLO = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
NO_TOOLS = {"tools", "functions", "toolConfig", "web_search_options"}
"""Parameters that bring tools, so that their examples stand without the tool `f`."""
NOT_SHOWN = {"model", "max_tokens", "anthropic_version"}
"""Members of a request that the table of messages leaves out."""
OURS = {"cache_control_injection_points", "extra_body", "prompt_caching", "stream"}
"""Parameters that are carried out here, whoever the vendor is."""

Json = dict[str, Any]


def section(title: str) -> list[list[str]]:
    """Return the rows of the table under a heading, its header first, without the line below it."""
    body = re.split(r"^#{2,3} ", PAGE.partition(f"\n### {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    assert lines, f"no table under {title!r}"
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [rows[0], *rows[2:]]


def code(cell: str) -> str:
    """Return what a cell has between its outermost backticks."""
    return cell[cell.index("`") + 1 : cell.rindex("`")]


def by_wire(title: str, given: int) -> list[Any]:
    """Return a test case for each cell: what the first `given` columns hold, the wire, what the cell says."""
    header, *rows = section(title)
    wires = [code(cell) for cell in header[given:]]
    assert set(wires) == set(WIRES)
    cases = []
    for row in rows:
        assert len(row) == len(header), row
        said = ""
        for wire, cell in zip(wires, row[given:], strict=True):
            said = said if cell == "the same" else cell
            cases.append(pytest.param(*map(code, row[:given]), wire, said, id=f"{code(row[0])[:60]}-{wire}"))
    return cases


def built(wire: str, params: Json, *, messages: Any = HELLO, model: str | None = None, drop: bool = False) -> Built:
    provider, usual = ASKED[wire]
    call = Call(model or usual, messages, params, drop_params=drop)
    return find_wire(wire).build(call, PROVIDERS[provider])


def added(after: Json, before: Json) -> Json:
    """Return what `after` holds beyond `before`, or has otherwise. Nothing of `before` may be missing."""
    assert before.keys() <= after.keys()
    found = {}
    for name, value in after.items():
        if name not in before:
            found[name] = value
        elif value != before[name]:
            nested = isinstance(value, dict) and isinstance(before[name], dict)
            found[name] = added(value, before[name]) if nested else value
    return found


def under(path: str, value: Any) -> Any:
    """Return `value` at a dotted path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def check(name: str, value: Any, wire: str, said: str, model: str | None = None) -> None:
    """Build a call with and without a parameter, and compare the difference with what the page says of it."""
    beside: Json = {} if name in NO_TOOLS else {"tools": TOOLS}
    plain = built(wire, beside, model=model)
    kind, _, rest = said.partition(" ")
    if kind == "refused":
        with pytest.raises(UnsupportedParamsError, match=re.escape(name)):
            built(wire, {**beside, name: value}, model=model)
        assert built(wire, {**beside, name: value}, model=model, drop=True) == plain
        for neutral in re.findall(r"`(.+?)`", rest):
            assert built(wire, {**beside, name: json.loads(neutral)}, model=model) == plain
        return
    request = built(wire, {**beside, name: value}, model=model)
    body: Json = {}
    headers: Json = {}
    if kind == "carried":
        body = {name: value}
    elif kind == "renamed":
        body = under(code(rest), value)
    elif kind == "mapped":
        body = json.loads(code(rest))
    elif kind == "header":
        header, _, sent = code(rest).partition(": ")
        headers = {header: sent}
    else:
        assert said == "left out"

    assert added(request.body, plain.body) == body
    assert added(dict(request.headers), dict(plain.headers)) == headers


@pytest.mark.parametrize(
    ("name", "example", "wire", "said"), [*by_wire("OpenAI's parameters", 2), *by_wire("A vendor's own parameters", 2)]
)
def test_a_parameter_is_sent_as_the_page_says(name: str, example: str, wire: str, said: str) -> None:
    check(name, json.loads(example), wire, said)


@pytest.mark.parametrize("row", section("By model")[1:], ids=lambda row: f"{row[0]}-{row[3]}".replace("`", ""))
def test_a_parameter_is_sent_as_the_page_says_for_a_model(row: list[str]) -> None:
    name, value, wire, model = map(code, row[:4])

    check(name, json.loads(value), wire, row[4], model)


@pytest.mark.parametrize(("example", "wire", "said"), by_wire("Parts of a message", 1))
def test_a_part_is_sent_as_the_page_says(example: str, wire: str, said: str) -> None:
    part = json.loads(example)
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}, part]}]
    if said == "an error":
        for drop in (False, True):
            with pytest.raises(BadRequestError):
                built(wire, {}, messages=messages, drop=drop)
        return
    body = built(wire, {}, messages=messages).body
    sent = (body.get("messages") or body["input"])[-1]["content"][1:]
    wanted = part if said == "carried" else json.loads(code(said.removeprefix("mapped ")))

    assert sent == (wanted if isinstance(wanted, list) else [wanted])


@pytest.mark.parametrize(("example", "wire", "said"), by_wire("Messages", 1))
def test_messages_are_sent_as_the_page_says(example: str, wire: str, said: str) -> None:
    messages = json.loads(example)
    body = built(wire, {}, messages=messages).body
    wanted = {"messages": messages} if said == "carried" else json.loads(code(said.removeprefix("mapped ")))

    assert {name: value for name, value in body.items() if name not in NOT_SHOWN} == wanted


def test_every_parameter_that_a_wire_names_stands_in_a_table() -> None:
    rows = [*section("OpenAI's parameters")[1:], *section("A vendor's own parameters")[1:]]
    shown = {code(row[0]) for row in rows}
    named = set(PARAMS)
    for wire in (anthropic, responses):
        named |= {*wire.CARRIED, *wire.RENAMED, *wire.MAPPED, *wire.SILENT, *wire.NEUTRAL}

    assert named - shown == OURS
    assert len(rows) == len(shown)


@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses"])
def test_a_server_that_is_not_openai_s_is_sent_what_no_table_knows(wire: str) -> None:
    call = Call("llama", HELLO, {"min_p": 0.1, "top_k": 4})

    assert find_wire(wire).build(call, PROVIDERS["groq"]).body.items() >= {"min_p": 0.1, "top_k": 4}.items()


def test_the_providers_of_the_page_are_those_of_the_code() -> None:
    table = PAGE.partition("\n## The providers\n")[2]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if re.match(r"\| `\w+/` ", line)]
    shown = {}
    for prefix, keys, bases, url, wires in rows:
        first, *others = wires.strip().split("; ")
        doors = dict(re.findall(r"`(\w+/\w+)/` `(\w+)`", "; ".join(others)))
        shown[code(prefix).strip("/")] = (
            tuple(re.findall(r"`(\w+)`", keys)),
            "optional" in keys,
            tuple(re.findall(r"`(\w+)`", bases)),
            None if url == "none" else code(url),
            code(first),
            doors,
        )

    assert shown == {
        row.name: (
            row.key_env,
            row.auth == "optional",
            row.base_env,
            row.base_url,
            row.wire,
            {f"{row.name}/{door}": wire for door, wire in row.doors.items()},
        )
        for row in PROVIDERS.values()
    }


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o3", "openai"),
        ("text-embedding-3-small", "openai"),
        ("ft:gpt-4o:acme::1", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("deepseek-chat", "deepseek"),
    ],
)
def test_a_bare_name_finds_the_provider_that_the_page_promises(model: str, provider: str) -> None:
    assert find_model(model).provider.name == provider
