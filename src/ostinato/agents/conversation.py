"""One conversation between two agents: each answers the other until one of them does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.agents.steps import Do, Steps

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent


def converse(
    sender: Agent, recipient: Agent, message: Any, *, request_reply: bool | None = None, silent: bool | None = False
) -> Steps[None]:
    """Let `sender` say `message` to `recipient`, and carry on while there are answers.

    `request_reply` asks for the first answer, or forbids it; None: as the two have begun.
    Each turn is a round of a loop, so a long conversation needs no deep stack. An agent whose class has a `send` or
    `receive` of its own is spoken to by it.
    """
    while True:
        said = yield from sender.say(message, recipient, silent=silent)
        if "receive" in recipient.overridden:
            yield Do(recipient.receive, recipient.a_receive, (said, sender, request_reply, silent))
            return
        reply = yield from recipient.hear(said, sender, request_reply=request_reply, silent=silent)
        if reply is None:
            return
        if "send" in recipient.overridden:
            yield Do(recipient.send, recipient.a_send, (reply, sender), {"silent": silent})
            return
        sender, recipient, message, request_reply = recipient, sender, reply, None
