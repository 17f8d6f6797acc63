"""Ask several questions about one long text, and have the vendor read the text once.

The text is marked, so the first call writes it to Anthropic's prompt cache, and the others read it there.

    ANTHROPIC_API_KEY=… python examples/prompt_cache.py
"""

from __future__ import annotations

from ostinato import completion

MODEL = "anthropic/claude-sonnet-4-5"
CONTRACT = "\n".join(
    f"Clause {number}. The tenant of flat {number} pays {900 + 7 * number} on the first day of every month, keeps the "
    f"stairs of floor {number // 4} clean, and gives notice three months ahead."
    for number in range(1, 101)
)
QUESTIONS = ["What does the tenant of flat 12 pay?", "Who cleans the stairs of floor 5?", "How long is the notice?"]


def main() -> None:
    """Ask, and show what of each prompt was written and read, and what that saved."""
    for question in QUESTIONS:
        answer = completion(
            MODEL,
            [
                {"role": "system", "content": CONTRACT, "cache_control": {"type": "ephemeral"}},
                {"role": "user", "content": question},
            ],
            max_tokens=200,
        )
        print(question, answer.choices[0].message.content, sep="\n  ")
        usage = answer.usage
        if usage is None or answer.cost is None:
            continue
        print(
            f"  {usage.prompt_tokens:,} tokens in the prompt: {usage.cache_creation_input_tokens or 0:,} written, ",
            end="",
        )
        print(f"{usage.cache_read_input_tokens or 0:,} read, {usage.uncached_tokens or 0:,} neither")
        print(f"  ${answer.cost:.6f}; without the prompt cache ${answer.cost_details.without_prompt_cache:.6f}")


if __name__ == "__main__":
    main()
