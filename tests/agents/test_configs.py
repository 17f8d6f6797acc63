"""Lists of configurations, read and filtered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ostinato.agents import config_list_from_json, filter_config
from ostinato.errors import ConfigurationError


def test_configurations_come_from_a_file_or_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [{"model": "a", "tags": ["x", "y"]}, {"model": "b", "api_type": "azure"}, {"model": "c"}]
    (folder / "LIST").write_text(json.dumps(configs))
    monkeypatch.setenv("HERE", json.dumps(configs[:1]))
    monkeypatch.setenv("THERE", str(folder / "LIST"))

    assert config_list_from_json("LIST") == configs
    assert config_list_from_json("LIST", file_location=str(folder)) == configs
    assert config_list_from_json("HERE") == configs[:1]
    assert config_list_from_json("THERE", filter_dict={"model": ["b", "c"]}) == configs[1:]
    with pytest.raises(FileNotFoundError):
        config_list_from_json("NOWHERE")


def test_file_that_holds_no_list_is_not_shown(folder: Path) -> None:
    (folder / "LIST").write_text('{"api_key": "planted-secret-key"}')

    with pytest.raises(ConfigurationError) as caught:
        config_list_from_json("LIST")
    assert "planted" not in str(caught.value)


def test_filter_keeps_what_fits_every_member() -> None:
    configs: list[dict[str, Any]] = [
        {"model": "a", "tags": ["x", "y"]},
        {"model": "b", "api_type": "azure"},
        {"model": "c", "tags": ["z"]},
    ]

    assert filter_config(configs, {"tags": ["y", "z"]}) == [configs[0], configs[2]]
    assert filter_config(configs, {"tags": ["y", "z"], "model": ["c"]}) == [configs[2]]
    assert filter_config(configs, {"api_type": [None]}) == [configs[0], configs[2]]
    assert filter_config(configs, {"model": ["a"]}, exclude=True) == configs[1:]
    assert filter_config(configs, None) == configs
