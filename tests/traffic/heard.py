"""What a caller hears: our answers in the same terms as the records."""

from __future__ import annotations

from typing import Any

from tests.traffic.told import Call, Counts, Spoken, Told


def whole(completion: Any) -> Told:
    """Return what a Completion says to who reads it by attributes."""
    answer = Told(model=completion.model, body=completion.model_dump())
    for choice in completion.choices:
        message, spoken = choice.message, answer.at(choice.index or 0)
        _say(spoken, message)
        spoken.calls = [_call(call) for call in message.tool_calls or ()]
        if message.function_call:
            spoken.calls.append(Call(None, message.function_call.name or "", message.function_call.arguments or ""))
        spoken.finish = choice.finish_reason
    _count(answer, completion.usage)
    return answer


def streamed(chunks: list[Any]) -> Told:
    """Return what chunks say to who adds them up, tool calls by their index."""
    answer = Told(events=[chunk.model_dump() for chunk in chunks])
    calls: dict[tuple[int, Any], Call] = {}
    for chunk in chunks:
        answer.model = answer.model or chunk.model
        if chunk.usage is not None:
            _count(answer, chunk.usage)
        for choice in chunk.choices:
            number, delta = choice.index or 0, choice.delta
            spoken = answer.at(number)
            spoken.finish = choice.finish_reason or spoken.finish
            if delta is None:
                continue
            _say(spoken, delta)
            for piece in delta.tool_calls or ():
                _add(spoken, calls, (number, piece.index), _call(piece))
            if delta.function_call:
                named = delta.function_call
                _add(spoken, calls, (number, "function"), Call(None, named.name or "", named.arguments or ""))
    return answer


def _say(spoken: Spoken, message: Any) -> None:
    spoken.text += message.content or ""
    spoken.reasoning += message.reasoning_content or message.get("reasoning") or ""
    spoken.refusal += message.refusal or ""


def _call(call: Any) -> Call:
    if call.custom:
        return Call(call.id, call.custom.get("name") or "", call.custom.get("input") or "")
    function = call.function
    return Call(call.id) if function is None else Call(call.id, function.name or "", function.arguments or "")


def _add(spoken: Spoken, calls: dict[tuple[int, Any], Call], number: tuple[int, Any], piece: Call) -> None:
    known = calls.get(number)
    if known is None:
        calls[number] = piece
        spoken.calls.append(piece)
        return
    known.id = known.id or piece.id
    known.name = known.name or piece.name
    known.arguments += piece.arguments


def _count(answer: Told, usage: Any) -> None:
    if usage is None:
        return
    answer.raw_usage = usage.raw
    given, made = usage.prompt_tokens_details, usage.completion_tokens_details
    answer.usage = Counts(
        usage.prompt_tokens,
        usage.completion_tokens,
        given.cached_tokens,
        given.cache_creation_tokens,
        made.reasoning_tokens,
    )


def sums(usage: Any) -> list[str]:
    """Return what does not add up in a usage."""
    given = usage.prompt_tokens_details
    parts = usage.uncached_tokens + given.cached_tokens + given.cache_creation_tokens
    wrong = []
    if usage.total_tokens != usage.prompt_tokens + usage.completion_tokens:
        wrong.append(f"total {usage.total_tokens} is not {usage.prompt_tokens} + {usage.completion_tokens}")
    if parts != usage.prompt_tokens:
        wrong.append(f"uncached, read and written make {parts}, not {usage.prompt_tokens}")
    if (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) != (
        given.cached_tokens,
        given.cache_creation_tokens,
    ):
        wrong.append("the counts at the top are not those of the details")
    return wrong
