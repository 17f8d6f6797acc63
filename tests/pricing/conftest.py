from __future__ import annotations

import pytest

from ostinato.pricing import cost, table


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test begin without registered models and without warnings given."""
    monkeypatch.setattr(table, "_registered", {})
    monkeypatch.setattr(table, "_found", {})
    monkeypatch.setattr(cost, "_warned", set())
