"""What a leader tells is what a follower hears."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import errors
from ostinato.caching.frames import Whole, error_in, failed_frame, whole_frame, whole_in
from ostinato.errors import APIError, OstinatoError, RateLimitError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OstinatoError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_raised_elsewhere_as_it_is_here(kind: type[OstinatoError]) -> None:
    error = kind("said", code="c", request_id="r", retry_after=1.5, provider="p", body={"error": {"message": "said"}})
    heard = error_in(failed_frame(error))

    assert type(heard) is kind
    assert str(heard) == str(error)
    assert public(heard) == public(error)


def public(error: OstinatoError) -> dict[str, Any]:
    names = ("message", "status_code", "code", "request_id", "retry_after", "provider", "retryable", "body")
    return {name: getattr(error, name) for name in names}


@pytest.mark.parametrize("body", [object(), 2**80, {"deep": [object()]}], ids=["no JSON", "large", "deep"])
def test_a_body_that_cannot_be_told_is_left_out(body: object) -> None:
    heard = error_in(failed_frame(RateLimitError("slow down", body=body, retry_after=2.0)))

    assert (heard.body, heard.retry_after) == (None, 2.0)


def test_an_error_of_a_kind_that_is_none_is_one_of_ours_all_the_same() -> None:
    frame = failed_frame(RateLimitError("slow down")).replace(b"RateLimitError", b"KeyboardInterr")

    assert type(error_in(frame)) is APIError


@given(st.binary(), st.none() | st.dictionaries(st.text(), st.text()))
def test_an_answer_in_one_piece_comes_back_as_it_went(body: bytes, headers: dict[str, str] | None) -> None:
    assert whole_in(whole_frame(body, headers)) == Whole(body, headers)


@pytest.mark.parametrize("read", [whole_in, error_in])
@given(st.binary())
def test_bytes_that_are_no_frame_are_an_error_of_decoding(read: Any, junk: bytes) -> None:
    try:
        read(b"?" + junk)
    except msgspec.DecodeError:
        pass
