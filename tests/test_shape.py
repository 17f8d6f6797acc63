from __future__ import annotations

import pytest

from scripts.shape import Excess, complaints, excesses

CASES = {
    "a long file": ("x = 1\n" * 401, ("a.py", "lines", 401)),
    "a long function": ("def f():\n" + "    x = 1\n" * 60, ("a.py::f", "lines", 61)),
    "a long method": ("class A:\n    def f(self):\n" + "        x = 1\n" * 60, ("a.py::A.f", "lines", 61)),
    "many parameters": ("def f(a, b, c, /, d, e, *f, g, h, **i): pass", ("a.py::f", "parameters", 9)),
    "many branches": ("def f():\n" + "    if x: pass\n" * 10, ("a.py::f", "complexity", 11)),
    "a function inside another": ("def f():\n def g():\n" + "  if x: pass\n" * 10, ("a.py::f.g", "complexity", 11)),
    "a function below an if": ("if x:\n def g():\n" + "  if x: pass\n" * 10, ("a.py::g", "complexity", 11)),
}


@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES)
def test_what_is_too_large_is_named_with_its_size(source: str, expected: tuple[str, str, int]) -> None:
    found = [(excess.place, excess.measure, excess.value) for excess in excesses("a.py", source)]

    assert found == [expected]


def test_code_at_the_limits_passes() -> None:
    source = (
        "class A:\n    def f(self, a, b, c, d, *, e, f, g, h):\n        try: pass\n        except E: pass\n"
        "        else: pass\n        match a:\n            case 1: pass\n            case _: pass\n"
        + "        while a: pass\n" * 6
        + "        x = 1\n" * 46
    )

    assert list(excesses("a.py", source)) == []


EXCESS = Excess("a.py::f", 3, "lines", 70, 60)


@pytest.mark.parametrize(
    ("found", "entry", "expected"),
    [
        ([EXCESS], {"lines": 70, "reason": "a table"}, []),
        ([EXCESS], {"lines": 69, "reason": "a table"}, ["a.py:3: f: lines 70, the limit is 60"]),
        ([EXCESS], {"lines": 71, "reason": "a table"}, ["shape_allow.toml: a.py::f: lines is 70, lower the entry"]),
        ([EXCESS], {"lines": 70}, ["shape_allow.toml: a.py::f has no reason"]),
        (
            [],
            {"lines": 70, "reason": "a table"},
            ["shape_allow.toml: a.py::f: lines is within the limit, delete the entry"],
        ),
    ],
)
def test_the_allow_list_can_only_shrink(found: list[Excess], entry: dict[str, object], expected: list[str]) -> None:
    assert list(complaints(found, {"a.py::f": entry})) == expected
