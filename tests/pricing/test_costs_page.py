from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ostinato.pricing import table

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")


def test_the_money_on_the_page_is_what_its_snippet_computes() -> None:
    namespace: dict[str, Any] = {}

    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(code, namespace)

    assert "\n".join(namespace["table"]) in PAGE


def test_the_page_names_the_source_of_the_table() -> None:
    name, number = table.about()["source"].partition(",")[0].split(" ")

    assert f"[{name}](https://github.com/pydantic/{name}) {number} ({table.about()['licence']})" in PAGE
