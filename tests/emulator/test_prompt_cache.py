"""Prefixes, whatever the vendor: what is shared, and how long it is held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ostinato.testing.emulator.model import count_tokens, cut, cut_json
from ostinato.testing.emulator.prompt_cache import Block, Mark, PromptCache, block_ends, steps

SCOPE = [b"tenant", b"model"]
BLOCKS = st.lists(st.builds(Block, st.binary(max_size=40), st.none() | st.integers(0, 20)), max_size=6)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(BLOCKS, BLOCKS)
def test_the_marks_of_a_prompt_are_a_prefix_of_a_longer_one_s(blocks: list[Block], more: list[Block]) -> None:
    for marks in (block_ends, lambda scope, each: steps(scope, each, 3)):
        short, long = marks(SCOPE, blocks), marks(SCOPE, blocks + more)

        assert long[: len(short)] == short


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_text_that_grows_keeps_the_steps_before_its_growth(text: bytes, more: bytes) -> None:
    short, long = (steps(SCOPE, [Block(content)], 2) for content in (text, text + more))
    whole = len(text) // 8

    assert long[:whole] == short[:whole]


@given(BLOCKS)
def test_steps_count_every_token_once(blocks: list[Block]) -> None:
    tokens = sum(count_tokens(block.content) if block.tokens is None else block.tokens for block in blocks)

    assert [mark.tokens for mark in steps(SCOPE, blocks, 4)] == list(range(4, tokens + 1, 4))
    assert [mark.tokens for mark in block_ends(SCOPE, blocks)][-1:] == ([tokens] if blocks else [])


def test_where_a_block_ends_counts() -> None:
    one, two = block_ends(SCOPE, [Block(b"atb")]), block_ends(SCOPE, [Block(b"a"), Block(b"b")])

    assert one[-1].digest != two[-1].digest


def test_the_scope_counts() -> None:
    assert block_ends([b"a", b"bc"], [Block(b"x")]) != block_ends([b"ab", b"c"], [Block(b"x")])


def test_a_change_inside_a_block_of_fixed_size_changes_every_step_after_it() -> None:
    first, second = (steps(SCOPE, [Block(image, 765)], 128) for image in (b"cat", b"dog"))

    assert len(first) == 5
    assert not {mark.digest for mark in first} & {mark.digest for mark in second}


def test_the_longest_mark_that_is_held_is_read() -> None:
    cache = PromptCache(Clock())
    marks = [Mark(tokens, bytes([tokens])) for tokens in (1, 2, 3)]
    cache.write(marks[:2], ttl_s=10)

    assert cache.lookup(marks) == marks[1]
    assert cache.lookup(marks[2:]) is None


def test_a_read_restarts_the_time_to_live_and_a_look_does_not() -> None:
    clock = Clock()
    cache = PromptCache(clock)
    mark = Mark(1, b"x")
    cache.write([mark], ttl_s=10)
    clock.now = 9
    assert cache.holds(mark)
    assert cache.lookup([mark]) == mark
    clock.now = 18
    assert cache.holds(mark)
    clock.now = 19

    assert cache.lookup([mark]) is None


def test_a_longer_time_to_live_wins_and_an_age_is_kept() -> None:
    clock = Clock()
    cache = PromptCache(clock)
    mark = Mark(1, b"x")
    cache.write([mark], ttl_s=10, max_age_s=25)
    cache.write([mark], ttl_s=20)
    cache.write([mark], ttl_s=5)
    clock.now = 19
    assert cache.lookup([mark]) == mark
    clock.now = 25

    assert cache.lookup([mark]) is None


def test_what_has_expired_is_swept_away_before_it_piles_up() -> None:
    clock = Clock()
    cache = PromptCache(clock)
    for second in range(4):
        clock.now = second * 100
        cache.write([Mark(1, b"%d %d" % (second, number)) for number in range(40_000)], ttl_s=10)

    assert len(cache) <= 100_000


@given(st.text())
def test_an_answer_s_tokens_spell_it(text: str) -> None:
    assert "".join(cut(text)) == "".join(cut_json(text)) == text
