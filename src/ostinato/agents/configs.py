"""Lists of configurations, from a file or the environment, and what is left of them by a filter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ostinato.errors import ConfigurationError

Config = dict[str, Any]
Filter = Mapping[str, Iterable[Any] | None]


def config_list_from_json(
    env_or_file: str, file_location: str | None = "", filter_dict: Filter | None = None
) -> list[Config]:
    """Return the configurations in an environment variable, in the file that it names, or in the file of that name.

    Args:
        env_or_file: a variable with JSON or a path in it; or, where there is no such variable, a file's name.
        file_location: the folder of that file.
        filter_dict: keeps some of them; see `filter_config`.

    Raises: ConfigurationError: no JSON, or no list of objects. FileNotFoundError: no such file.
    """
    said = os.environ.get(env_or_file)
    path: Path | None = Path(file_location or "", env_or_file)
    text: bytes | str
    if said and Path(said).is_file():
        path = Path(said)
        text = path.read_bytes()
    elif said:
        path, text = None, said
    else:
        assert path is not None  # noqa: S101
        text = path.read_bytes()
    try:
        configs = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        where = f"the file {str(path)!r}" if path is not None else f"the variable {env_or_file}"
        # What stands there instead is not shown: it holds keys.
        raise ConfigurationError(f"{where} holds no JSON list of objects") from exc
    return filter_config(configs, filter_dict)


def filter_config(config_list: Iterable[Config], filter_dict: Filter | None, exclude: bool = False) -> list[Config]:
    """Return the configurations that fit every member of `filter_dict`; with `exclude`, those that do not.

    A configuration fits a member when its value is one of the member's; when it holds a list (`tags`), when one of
    them is. A None among the member's values stands for a configuration without that name.
    """
    if not filter_dict:
        return list(config_list)
    return [
        config
        for config in config_list
        if all(_fits(config.get(name), values) for name, values in filter_dict.items()) is not exclude
    ]


def _fits(value: Any, accepted: Iterable[Any] | None) -> bool:
    wanted = [None] if accepted is None else list(accepted)
    if isinstance(value, list):
        return any(one in wanted for one in value)
    return value in wanted
