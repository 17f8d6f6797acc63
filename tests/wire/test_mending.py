"""JSON that a strict reader refuses, mended; and left alone where there is nothing to mend."""

from __future__ import annotations

import json
from math import isnan
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.wire.mending import Mender, read

LAST = 1.7976931348623157e308


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"a\ud800b"', "a�b"),
        (rb'"\udc00"', "�"),
        (rb'"\ud83d\ud83d\ude00"', "�😀"),
        (rb'"\ud83d\ud83d"', "��"),
        (rb'["\\ud800", "\\\ud800", "\\\\ud800"]', ["\\ud800", "\\�", "\\\\ud800"]),
        (rb'{"\ud800": "1e999"}', {"�": "1e999"}),
        (b"[1e999, -1e999, 1.5E+400, 1e-999, 12]", [LAST, -LAST, LAST, 0.0, 12]),
        (b"[NaN, Infinity, -Infinity, true]", [None, LAST, -LAST, True]),
    ],
)
def test_what_is_mended(text: bytes, value: Any) -> None:
    assert read(text) == value
    assert read(text.decode()) == value


@pytest.mark.parametrize("text", [b"", b"{", b'"\\ud800', b'"\\ud8', b"1e999e", b"nan", b"--1", b'"\\', b'{"a": 1e999'])
def test_what_is_no_json_stays_none(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(text)


@given(
    st.recursive(
        st.text() | st.integers() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_python_writes_is_read_as_python_reads_it(value: Any) -> None:
    def plain(item: Any) -> Any:
        if isinstance(item, float):
            return None if isnan(item) else max(-LAST, min(LAST, item))
        if isinstance(item, list):
            return [plain(each) for each in item]
        return {name: plain(each) for name, each in item.items()} if isinstance(item, dict) else item

    assert read(json.dumps(value)) == plain(json.loads(json.dumps(value)))


@given(st.text(st.characters(categories=None), max_size=6), st.integers(0, 12))
def test_a_text_in_halves_is_mended_to_the_whole(text: str, at: int) -> None:
    """As a server cuts it that counts in UTF-16, as Node's do."""
    units = text.encode("utf-16-le", "surrogatepass")
    halves = [units[: 2 * at], units[2 * at :]]
    mender = Mender(streams=True)
    events = [json.dumps(half.decode("utf-16-le", "surrogatepass")).encode() for half in halves]
    together = "".join(msgspec.json.decode(mender.mended(event)) for event in events)

    whole = read(json.dumps(units.decode("utf-16-le", "surrogatepass")))
    assert together == whole or "�" in whole


def test_half_a_character_that_nothing_goes_on_with_takes_nothing_along() -> None:
    mender = Mender(streams=True)
    mended = [mender.mended(event) for event in (rb'["a\ud83d", "b"]', rb'"c"', rb'"\ude00d"', rb'"\ude00"')]

    assert [msgspec.json.decode(event) for event in mended] == [["a", "b"], "c", "😀d", "�"]
    assert Mender(streams=True).mended(rb'"\\ud83d"') == rb'"\\ud83d"'
