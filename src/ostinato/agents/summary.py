"""What is left of a chat: its last words, a model's reflection, or what a function of the user's says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ostinato.agents.answering import ask_model
from ostinato.agents.show import content_text
from ostinato.agents.steps import Call, Steps
from ostinato.errors import BadRequestError, ConfigurationError, warn

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent
    from ostinato.agents.conversable import ConversableAgent

DEFAULT_SUMMARY_METHOD = "last_msg"
DEFAULT_SUMMARY_PROMPT = "Summarize the takeaway from the conversation. Do not add any introductory phrases."
SummaryMethod = str | Callable[..., Any] | None


def summarize(method: SummaryMethod, args: Mapping[str, Any], sender: ConversableAgent, recipient: Agent) -> Steps[Any]:
    """Return the summary of the chat that `sender` began with `recipient`.

    `args` may hold `summary_prompt` and `summary_role`, and `cache` for a reflection; a function of the user's gets
    them all.

    Raises: ConfigurationError: an unknown method, or nobody has a model.
    """
    match method:
        case None:
            return ""
        case "last_msg":
            return last_words(sender, recipient)
        case "reflection_with_llm":
            return (yield from _reflection(args, sender, recipient))
        case _ if callable(method):
            return (yield Call(method, (sender, recipient, dict(args))))
        case _:
            raise ConfigurationError(
                f"summary_method must be 'last_msg', 'reflection_with_llm' or a function, not {method!r}"
            )


def last_words(sender: Agent, recipient: Agent) -> str:
    """Return the last message without its TERMINATE."""
    messages = recipient.chat_messages_for_summary(sender)
    return content_text(messages[-1].get("content")).replace("TERMINATE", "") if messages else ""


def _reflection(args: Mapping[str, Any], sender: ConversableAgent, recipient: Agent) -> Steps[str]:
    prompt = args.get("summary_prompt") or getattr(sender, "DEFAULT_SUMMARY_PROMPT", DEFAULT_SUMMARY_PROMPT)
    role = args.get("summary_role") or "system"
    if not isinstance(prompt, str) or not isinstance(role, str):
        raise ConfigurationError("summary_prompt and summary_role must be texts")
    client = getattr(recipient, "client", None) or sender.client
    if client is None:
        raise ConfigurationError("a reflection needs a model: neither agent of the chat has an llm_config")
    messages = [*recipient.chat_messages_for_summary(sender), {"role": role, "content": prompt}]
    settings = {} if args.get("cache") is None else {"cache": args["cache"]}
    try:
        answer = yield from ask_model(client, messages, **settings)
    except BadRequestError as exc:
        warn("no summary could be made by reflection: %s", exc)
        return ""
    return content_text(answer if isinstance(answer, str | list) else (answer or {}).get("content"))
