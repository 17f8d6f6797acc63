"""A text for a regular expression: the part of the syntax that schemas use for names, codes and dates."""

from __future__ import annotations

import re

_CLASSES = {"d": "7", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
_CANDIDATES = "a7A -_./:@#+\n\t" + "".join(map(chr, range(33, 127)))


def matching(pattern: str, word: str) -> str:
    """Return a text in which `pattern` is found: `word` if it will do, else one that is built for it.

    Raises: ValueError: the pattern uses what this does not know, such as look-around or back-references.
    """
    found = re.compile(pattern)
    if found.search(word):
        return word
    text = _Reader(pattern).alternatives()
    if not found.search(text):
        raise ValueError(f"cannot write a text for the pattern {pattern!r}; script the answer instead")
    return text


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> str:
        """Return the shortest text of the branches up to the closing bracket or the end."""
        branches = [self._branch()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._branch())
        return branches[0]

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _branch(self) -> str:
        text = ""
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            text += atom * self._times()
        return text

    def _atom(self) -> str:
        char = self._take()
        match char:
            case "^" | "$":
                return ""
            case ".":
                return "a"
            case "(":
                if self._pattern.startswith("?:", self._at):
                    self._at += 2
                text = self.alternatives()
                self._at += 1
                return text
            case "[":
                return self._set()
            case "\\":
                return self._escape()
            case _:
                return char

    def _escape(self) -> str:
        char = self._take()
        if char in "bBAZ":
            return ""
        return _CLASSES.get(char) or _CONTROLS.get(char, char)

    def _set(self) -> str:
        """Return a character of the set that starts here, found by asking `re` itself."""
        start = self._at - 1
        if self._peek() == "^":
            self._at += 1
        if self._peek() == "]":
            self._at += 1
        while self._take() not in ("]", ""):
            if self._pattern[self._at - 1] == "\\":
                self._at += 1
        within = re.compile(self._pattern[start : self._at])
        for char in _CANDIDATES:
            if within.match(char):
                return char
        raise ValueError(f"no plain character is in {within.pattern!r}")

    def _times(self) -> int:
        """Return how often the atom just read is written: the fewest times allowed, but once where it may."""
        times = 1
        match self._peek():
            case "*" | "+" | "?":
                self._at += 1
            case "{":
                end = self._pattern.find("}", self._at)
                low = self._pattern[self._at + 1 : end].split(",")[0]
                if low.isdigit():
                    self._at = end + 1
                    times = int(low)
            case _:
                return 1
        if self._peek() in ("?", "+"):
            self._at += 1
        return times
