"""The behaviours that every store has, to be run over a store of your own.

    import pytest
    from ostinato.testing.store_suite import StoreSuite

    class TestMyStore(StoreSuite):
        @pytest.fixture(autouse=True)
        def _folder(self, tmp_path):
            self.folder = tmp_path

        def make_store(self, *, max_bytes, clock):
            return MyStore(self.folder / str(next(self.numbers)), max_bytes=max_bytes, clock=clock)

Needs pytest to find the tests and hypothesis to feed them. For readable failures, let pytest rewrite the
assertions: `pytest.register_assert_rewrite("ostinato.testing.store_suite")` before the import.
"""

from __future__ import annotations

import os

from ostinato.caching.stores.contract import Dating
from ostinato.testing.store_crowd import MEBIBYTE, CrowdSuite
from ostinato.testing.store_face import OTHER_SCOPE, SCOPE, Face, both_faces, key_of


def nothing() -> None:
    """Do nothing: leave what was set to be written behind."""


class StoreSuite(CrowdSuite):
    """Subclass it, name the class `Test…`, and say how a store is made."""

    @both_faces
    def test_what_was_never_set_is_a_miss(self, face: Face) -> None:
        assert face.get(key_of("absent")) is None
        assert face.delete(key_of("absent")) is False
        assert face.clear() == 0
        face.store.flush()

    @both_faces
    def test_any_bytes_come_back_as_they_were(self, face: Face) -> None:
        from hypothesis import given, settings
        from hypothesis import strategies as st

        @settings(deadline=None, derandomize=True, database=None, max_examples=60)
        @given(st.binary(min_size=40, max_size=40), st.binary(max_size=3000), st.booleans())
        def holds(key: bytes, value: bytes, flushed: bool) -> None:  # noqa: FBT001
            face.set(key, value)
            if flushed:
                face.store.flush()
            assert face.get(key) == value

        holds()

    @both_faces
    def test_empty_and_large_values_come_back_as_they_were(self, face: Face) -> None:
        for number, value in enumerate((b"", b"\x00", bytes(range(256)) * 4096, os.urandom(MEBIBYTE))):
            face.set(key_of(number), value)
            assert face.get(key_of(number)) == value
            face.store.flush()
            assert face.get(key_of(number)) == value

    @both_faces
    def test_a_later_value_replaces_an_earlier_one(self, face: Face) -> None:
        for flush in (nothing, face.store.flush):
            for value in (b"one", b"two", b"", b"three" * 1000):
                face.set(key_of("k"), value)
                flush()
                assert face.get(key_of("k")) == value
        assert face.store.stats()["entries"] == 1

    @both_faces
    def test_keys_that_differ_in_one_byte_are_different(self, face: Face) -> None:
        key = key_of("k")
        others = [key[:place] + bytes([key[place] ^ 1]) + key[place + 1 :] for place in range(40)]
        face.set(key, b"value")
        face.store.flush()

        assert [face.get(other) for other in others] == [None] * 40
        assert face.get(key) == b"value"

    @both_faces
    def test_an_entry_lives_until_its_time_and_not_a_moment_longer(self, face: Face) -> None:
        for name, flush in (("waiting", nothing), ("written", face.store.flush)):
            face.set(key_of(name), b"value", 10)
            flush()
            self.pass_time(9.5)
            assert face.get(key_of(name)) == b"value"
            self.pass_time(0.5)
            assert face.get(key_of(name)) is None
            assert face.delete(key_of(name)) is False

    @both_faces
    def test_a_store_that_dates_its_entries_says_how_long_they_have_yet_to_live(self, face: Face) -> None:
        if not isinstance(face.store, Dating):
            return
        face.set(key_of("short"), b"s", 10)
        face.set(key_of("long"), b"l")
        for flush in (nothing, face.store.flush):
            flush()
            found = face.find(key_of("short"))
            assert found is not None
            assert found[0] == b"s"
            assert found[1] is not None
            assert 5 < found[1] <= 10
            assert face.find(key_of("long")) == (b"l", None)
            assert face.find(key_of("absent")) is None
        self.pass_time(10)
        assert face.find(key_of("short")) is None

    @both_faces
    def test_a_time_to_live_of_nothing_is_over_at_once(self, face: Face) -> None:
        for ttl_s in (0, -1, float("-inf"), float("nan")):
            face.set(key_of("k"), b"old")
            face.set(key_of("k"), b"new", ttl_s)
            assert face.get(key_of("k")) is None
            face.store.flush()
            assert face.get(key_of("k")) is None

    @both_faces
    def test_a_set_without_a_time_to_live_lifts_the_one_before(self, face: Face) -> None:
        face.set(key_of("k"), b"short", 10)
        face.store.flush()
        face.set(key_of("k"), b"long")
        face.store.flush()
        self.pass_time(1_000_000)

        assert face.get(key_of("k")) == b"long"

    @both_faces
    def test_a_later_time_to_live_replaces_the_one_before(self, face: Face) -> None:
        face.set(key_of("k"), b"long")
        face.set(key_of("k"), b"short", 10)
        face.store.flush()
        self.pass_time(10)

        assert face.get(key_of("k")) is None

    @both_faces
    def test_a_deleted_entry_is_gone(self, face: Face) -> None:
        for flush in (nothing, face.store.flush):
            face.set(key_of("k"), b"value")
            face.set(key_of("other"), b"stays")
            flush()
            assert face.get(key_of("k")) == b"value"
            assert face.delete(key_of("k")) is True
            assert face.get(key_of("k")) is None
            assert face.delete(key_of("k")) is False
            flush()
            assert face.get(key_of("k")) is None
            assert face.get(key_of("other")) == b"stays"

    @both_faces
    def test_clearing_a_scope_leaves_the_others(self, face: Face) -> None:
        for flush in (nothing, face.store.flush):
            for number in range(5):
                face.set(key_of(number), b"mine")
                face.set(key_of(number, OTHER_SCOPE), b"theirs")
            flush()
            assert face.clear(SCOPE) == 5
            assert [face.get(key_of(number)) for number in range(5)] == [None] * 5
            assert [face.get(key_of(number, OTHER_SCOPE)) for number in range(5)] == [b"theirs"] * 5
            assert face.clear(SCOPE) == 0

    @both_faces
    def test_clearing_takes_any_prefix_and_everything_when_empty(self, face: Face) -> None:
        face.set(b"aa" + b"1" * 38, b"1")
        face.set(b"ab" + b"2" * 38, b"2")
        face.set(b"b" + b"3" * 39, b"3")
        face.store.flush()

        assert face.clear(b"aa") == 1
        assert face.clear(b"ab" + b"2" * 30) == 1
        assert face.get(b"b" + b"3" * 39) == b"3"
        assert face.clear() == 1
        assert face.store.stats()["entries"] == 0

    @both_faces
    def test_clearing_counts_what_was_alive(self, face: Face) -> None:
        face.set(key_of("dead"), b"value", 1)
        face.set(key_of("alive"), b"value")
        face.store.flush()
        self.pass_time(2)

        assert face.clear() == 1

    def test_a_scan_meets_every_live_entry_of_a_scope_once(self) -> None:
        with self.opened() as store:
            for number in range(150):
                store.set(key_of(number), str(number).encode())
                store.set(key_of(number, OTHER_SCOPE), b"theirs")
            store.set(key_of("dead"), b"dead", 1)
            store.flush()
            for number in range(100, 200):
                store.set(key_of(number), str(number).encode())
            self.pass_time(1)
            found = list(store.scan(SCOPE))

            assert sorted(found) == sorted((key_of(number), str(number).encode()) for number in range(200))
            assert len(list(store.scan())) == 350
            assert len(list(store.scan(b"scope--"))) == 350
            assert list(store.scan(b"absent")) == []

    def test_a_scan_survives_what_is_changed_meanwhile(self) -> None:
        with self.opened() as store:
            for number in range(50):
                store.set(key_of(number), b"v")
            store.flush()
            met = set()
            for key, _ in store.scan():
                met.add(key)
                store.get(key_of(7))
                store.delete(key_of(9))
                store.set(key_of(("new", key)), b"w")

            assert {key_of(number) for number in range(50)} - met <= {key_of(9)}

    @both_faces
    def test_a_value_larger_than_the_store_is_not_kept_and_nor_is_the_older_one(self, face: Face) -> None:
        face.set(key_of("k"), b"small")
        face.set(key_of("other"), b"stays")
        face.store.flush()
        face.set(key_of("k"), b"x" * (self.max_bytes + 1))

        assert face.get(key_of("k")) is None
        assert face.get(key_of("other")) == b"stays"

    @both_faces
    def test_a_full_store_keeps_what_came_last_within_its_bound(self, face: Face) -> None:
        if not self.bounded:
            return
        value = b"v" * (self.max_bytes // 64)
        for number in range(200):
            face.set(key_of(number), value)
        face.store.flush()
        stats = face.store.stats()

        kept = [number for number in range(200) if face.get(key_of(number)) == value]
        assert 0 < len(kept) < 200
        assert not self.oldest_leaves_first or (0 not in kept and 199 in kept)
        assert stats["bytes"] <= self.max_bytes * 1.2
        assert stats["evictions"] > 0

    @both_faces
    def test_a_closed_store_can_be_used_again(self, face: Face) -> None:
        face.set(key_of("before"), b"1")
        face.close()
        face.close()
        face.set(key_of("after"), b"2")

        assert face.get(key_of("before")) == b"1"
        assert face.get(key_of("after")) == b"2"

    @both_faces
    def test_stats_say_how_much_is_in_it(self, face: Face) -> None:
        assert face.store.stats()["entries"] == 0
        for number in range(3):
            face.set(key_of(number), b"v" * 1000)
        face.store.flush()
        stats = face.store.stats()

        assert stats["entries"] == 3
        assert stats["bytes"] >= 3000
        assert stats["max_bytes"] == (self.max_bytes if self.bounded else None)
        assert (stats["evictions"], stats["errors"]) == (0, 0)
