"""A file of settings, read with its lines: what is wrong is said with the place and the nearest known name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from ostinato.errors import ConfigurationError, MissingDependencyError

MAX_NODES = 100_000
"""Values in a file, those behind an anchor counted each time: one that explodes is refused."""
MAX_DEPTH = 40
ENVIRON = "os.environ/"
_TEXT = "text, in quotes where YAML takes it for something else"
Scalar = TypeVar("Scalar", str, int, float, bool)
_SECRET = re.compile(r"key|token|secret|password|credential|connection_string|url|header", re.IGNORECASE)


class Node(msgspec.Struct, frozen=True):
    """A value and the line that it begins on: a scalar, a dict of nodes by name, or a list of nodes."""

    value: Any
    line: int


class File(msgspec.Struct, frozen=True):
    """Where settings come from."""

    name: str
    environ: Mapping[str, str]
    """Where `os.environ/NAME` looks."""

    def wrong(self, line: int, what: str) -> ConfigurationError:
        """Return the error for something on a line."""
        return ConfigurationError(f"{self.name}:{line}: {what}")

    def resolved(self, node: Node) -> Any:
        """Return the value of a scalar, from the environment where it says `os.environ/NAME`.

        Raises: ConfigurationError: the variable is not set.
        """
        value = node.value
        if not (isinstance(value, str) and value.startswith(ENVIRON)):
            return value
        name = value.removeprefix(ENVIRON)
        if name not in self.environ:
            raise self.wrong(node.line, f"the environment variable {name!r} is not set")
        return self.environ[name]

    def plain(self, node: Node) -> Any:
        """Return a value of any shape without its lines, variables resolved."""
        if isinstance(node.value, dict):
            return {name: self.plain(item) for name, item in node.value.items()}
        if isinstance(node.value, list):
            return [self.plain(item) for item in node.value]
        return self.resolved(node)


class Section:
    """One mapping of a file. Settings are taken one by one; `end` refuses those that nobody took."""

    def __init__(self, file: File, name: str, node: Node) -> None:
        """Raises ConfigurationError: it is no mapping."""
        if node.value is None:
            node = Node({}, node.line)
        if not isinstance(node.value, dict):
            raise file.wrong(node.line, f"{name} must be a mapping of names to values")
        self.file = file
        self.name = name
        self.line = node.line
        self._left: dict[str, Node] = dict(node.value)
        self._known: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def wrong(self, what: str, line: int | None = None) -> ConfigurationError:
        """Return the error for something on a line of this section, its first unless given."""
        return self.file.wrong(self.line if line is None else line, what)

    def take(self, *names: str) -> Node | None:
        """Return the first of these settings that is there and not null; several names are one setting."""
        self._known += names
        found = [(name, self._left.pop(name)) for name in names if name in self._left]
        given = [(name, node) for name, node in found if node.value is not None]
        if len(given) > 1:
            raise self.wrong(f"{given[0][0]!r} and {given[1][0]!r} are one setting; keep one", given[1][1].line)
        return given[0][1] if given else None

    def plain(self, *names: str) -> Any:
        """Return a setting of any shape, None when it is absent."""
        node = self.take(*names)
        return None if node is None else self.file.plain(node)

    def text(self, *names: str) -> str | None:
        """Return a text, None when it is absent."""
        return self._scalar(names, str, _TEXT)

    def number(self, *names: str, least: float = 0.0) -> float | None:
        """Return a number of at least `least`, None when it is absent."""
        value = self._scalar(names, float, f"a number of {least:g} or more", lambda value: least <= value < 1e18)
        return None if value is None else float(value)

    def whole(self, *names: str, least: int = 0) -> int | None:
        """Return a whole number of at least `least`, None when it is absent."""
        return self._scalar(names, int, f"a whole number of {least} or more", lambda value: least <= value < 2**60)

    def flag(self, *names: str) -> bool | None:
        """Return true or false, None when it is absent."""
        return self._scalar(names, bool, "true or false")

    def section(self, name: str) -> Section:
        """Return a mapping inside this one, an empty one when it is absent."""
        return Section(self.file, name, self.take(name) or Node({}, self.line))

    def sections(self, name: str) -> list[Section]:
        """Return a list of mappings, none when it is absent."""
        return [Section(self.file, f"an item of {name}", node) for node in self.items(name)]

    def items(self, name: str) -> list[Node]:
        """Return the members of a list, none when it is absent."""
        node = self.take(name)
        if node is not None and not isinstance(node.value, list):
            raise self.wrong(f"{name} must be a list", node.line)
        return node.value if node is not None else []

    @property
    def left(self) -> list[str]:
        """The names of the settings that nobody took yet."""
        return list(self._left)

    @property
    def lines(self) -> dict[str, int]:
        """The lines of the settings that nobody took yet."""
        return {name: node.line for name, node in self._left.items()}

    def rest(self) -> dict[str, Any]:
        """Take everything that is left."""
        return {name: self.plain(name) for name in self.left}

    def unheeded(self, *names: str) -> list[str]:
        """Take what is known and not carried out. Return what of it is there, with its place."""
        self._known += names
        there = [(name, self._left.pop(name)) for name in names if name in self._left]
        return [f"{self.file.name}:{node.line}: {name}" for name, node in there if node.value not in (None, False)]

    def end(self, also: Iterable[str] = (), hint: str = "") -> None:
        """Raise ConfigurationError for the first setting that nobody took; it names the nearest.

        `also` are names that would have been right, and `hint` ends the message.
        """
        for name, node in self._left.items():
            what = f"{self.name} has no setting {name!r}{nearest(name, [*self._known, *also])}{hint}"
            raise self.wrong(what, node.line)

    def _scalar(
        self, names: tuple[str, ...], kind: type[Scalar], what: str, fits: Callable[[Any], bool] | None = None
    ) -> Scalar | None:
        node = self.take(*names)
        if node is None:
            return None
        value: Any = self.file.resolved(node)
        if value is not node.value and what is not _TEXT:
            value = _parsed(value)  # a variable is always text
        fine = type(value) is kind or (kind is float and type(value) is int)
        if not fine or (fits is not None and not fits(value)):
            hidden = value is not node.value or any(map(_SECRET.search, names)) or isinstance(value, dict | list)
            raise self.wrong(f"{names[0]} must be {what}{'' if hidden else f', not {value!r}'}", node.line)
        checked: Scalar = value
        return checked


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that says which known name was meant, or which there are."""
    from difflib import get_close_matches

    names = sorted(set(known))
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(names[:30])}{' …' if len(names) > 30 else ''}" if names else ""


def _parsed(text: str) -> Any:
    """Return the number, true or false that a variable's text means, else the text."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_yaml(text: str, file: File) -> Node:
    """Return what a YAML file says, with its lines. An empty one is an empty mapping.

    Raises: ConfigurationError: it is no YAML, says a name twice, or explodes. MissingDependencyError: no PyYAML.
    """
    try:
        import yaml
    except ImportError as exc:
        raise MissingDependencyError("a configuration file needs PyYAML: pip install 'ostinato[gateway]'") from exc
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        root = loader.get_single_node()
        return Node({}, 1) if root is None else _Walk(loader, file).node(root, 0)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise file.wrong(mark.line + 1 if mark else 1, f"this is no YAML: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise file.wrong(1, f"this is no YAML: {type(exc).__name__}") from exc
    finally:
        loader.dispose()


class _Walk:
    """Turns YAML's nodes into ours."""

    def __init__(self, loader: Any, file: File) -> None:
        self._loader = loader
        self._file = file
        self._count = 0
        self._flat: set[int] = set()

    def node(self, node: Any, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            self._refuse(line, "too many values, or too deep; an anchor may hold itself")
        match node.id:
            case "mapping":
                return Node(self._mapping(node, depth), line)
            case "sequence":
                return Node([self.node(item, depth + 1) for item in node.value], line)
        if node.tag.endswith(":timestamp"):
            return Node(node.value, line)  # `api_version: 2024-10-21` means the text
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self._refuse(line, f"the tag {node.tag!r} means nothing here")
        return Node(self._loader.construct_object(node), line)

    def _mapping(self, node: Any, depth: int) -> dict[str, Node]:
        if id(node) not in self._flat:
            self._flat.add(id(node))  # an anchored one comes by again, with what `<<` brought already in it
            self._check_names(node)
            self._loader.flatten_mapping(node)
        return {str(key.value): self._keyed(key, value, depth) for key, value in node.value}

    def _check_names(self, node: Any) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key.value, str):
                self._refuse(line, "the name of a setting must be text")
            if key.value in seen:
                self._refuse(line, f"{key.value!r} stands twice in one mapping")
            seen.add(key.value)

    def _keyed(self, key: Any, value: Any, depth: int) -> Node:
        node = self.node(value, depth + 1)
        # An error about a setting points at its name, which for a nested one stands above its value.
        return Node(node.value, key.start_mark.line + 1)

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise self._file.wrong(line, what)
