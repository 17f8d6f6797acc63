"""A participant in conversations: a name, what it remembers, and who answers for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from ostinato.agents.conversation import converse
from ostinato.agents.memory import Memory, Message, as_message, remembered
from ostinato.agents.replies import Replies, Reply, ReplyFunction
from ostinato.agents.show import show_received
from ostinato.agents.steps import Call, Do, Steps, twins

HOOKS = ("process_last_received_message", "process_all_messages_before_reply", "process_message_before_send")
_SPEAKING = {"send": "send", "a_send": "send", "receive": "receive", "a_receive": "receive"}


class Agent:
    """A participant in conversations."""

    overridden: ClassVar[frozenset[str]] = frozenset()
    """Which of `send` and `receive` a subclass does in its own way."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.overridden = cls.overridden | {_SPEAKING[name] for name in vars(cls) if name in _SPEAKING}

    def __init__(self, name: str, *, description: str | None = None, silent: bool | None = None) -> None:
        self._name = name
        self.description = description if description is not None else ""
        """What others are told of it, in a group chat."""
        self.silent = silent
        """Print nothing (True), or also in a silent chat (False); None: as the chat says."""
        self.memory = Memory()
        self.replies = Replies()
        self.reply_at_receive: dict[Agent, bool] = {}
        """Whether a message of a peer is answered unasked."""
        self.hooks: dict[str, list[Callable[..., Any]]] = {name: [] for name in HOOKS}
        self.default_auto_reply: Any = ""
        """What is answered where nothing else is."""

    @property
    def name(self) -> str:
        """The agent's name; it stands in its messages."""
        return self._name

    @property
    def chat_messages(self) -> dict[Agent, list[Message]]:
        """What was said, by peer."""
        return self.memory.by_peer

    def last_message(self, agent: Agent | None = None) -> Message | None:
        """Return the last message with `agent`; without one, of the only conversation there is, if any."""
        return self.memory.last(agent)

    def chat_messages_for_summary(self, agent: Agent) -> list[Message]:
        """Return the messages that a summary of the conversation with `agent` is made of."""
        return self.memory.by_peer[agent]

    def begin_chat(self, peer: Agent, *, clear_history: bool, reply_at_receive: bool) -> None:
        """Make ready for a chat with `peer`."""
        self.reply_at_receive[peer] = reply_at_receive
        if clear_history:
            self.clear_history(peer)

    # Speaking.

    def _send(
        self, message: Any, recipient: Agent, request_reply: bool | None = None, silent: bool | None = False
    ) -> Steps[None]:
        """Say `message` to `recipient`, and carry on while there are answers; see `converse`.

        Raises: ValueError: the message has neither content nor a call.
        """
        yield from converse(self, recipient, message, request_reply=request_reply, silent=silent)

    def _receive(
        self, message: Any, sender: Agent, request_reply: bool | None = None, silent: bool | None = False
    ) -> Steps[None]:
        """Hear `message`, and answer it where an answer is due.

        Raises: ValueError: the message has neither content nor a call.
        """
        reply = yield from self.hear(message, sender, request_reply=request_reply, silent=silent)
        if reply is not None:
            yield Do(self.send, self.a_send, (reply, sender), {"silent": silent})

    def say(self, message: Any, recipient: Agent, *, silent: bool | None = False) -> Steps[Message]:
        """Return `message` as it leaves this agent, remembered."""
        for hook in self.hooks["process_message_before_send"]:
            given = {"sender": self, "message": message, "recipient": recipient, "silent": bool(silent)}
            message = yield Call(hook, (), given)
        said = as_message(message)
        self._remember(said, recipient, "assistant", self.name, "the message cannot be sent")
        return said

    def hear(self, message: Any, sender: Agent, *, request_reply: bool | None, silent: bool | None) -> Steps[Any]:
        """Take `message` in, and return the answer, or None where there is none."""
        self._process_received_message(message, sender, silent)
        if request_reply is False or (request_reply is None and not self.reply_at_receive.get(sender, False)):
            return None
        return (
            yield Do(
                self.generate_reply,
                self.a_generate_reply,
                (),
                {"messages": self.memory.by_peer[sender], "sender": sender},
            )
        )

    def _process_received_message(self, message: Any, sender: Agent, silent: bool | None) -> None:
        """Remember and show a message. Programs that show conversations their own way override this."""
        said = as_message(message)
        self._remember(said, sender, "user", sender.name, "the received message cannot be used")
        show_received(self, sender, said, silent=bool(silent))

    def _remember(self, said: Message, peer: Agent, role: str, speaker: str, complaint: str) -> None:
        kept = remembered(said, role, speaker)
        if kept is None:
            raise ValueError(f"{complaint}: it must have content, a function_call or tool_calls; it is {said!r}")
        self.memory.by_peer[peer].append(kept)

    send, a_send = twins(_send, "send")
    receive, a_receive = twins(_receive, "receive")

    # Answering.

    def _generate_reply(
        self,
        messages: list[Message] | None = None,
        sender: Agent | None = None,
        exclude: Iterable[ReplyFunction] = (),
        **kwargs: Any,
    ) -> Steps[Any]:
        """Return the first final answer of the registered functions: a text, a message, or None to end the chat.

        Args:
            messages: what to answer, the last message last; unless given, the conversation with `sender`.
            sender: who is answered.
            exclude: functions that are not asked.
            kwargs: ignored, as AutoGen does.
        """
        if messages is None:
            if sender is None:
                raise ValueError("either messages or sender must be given")
            messages = self.memory.by_peer[sender]
        messages = yield from self._before_reply(messages)
        for reply in self.replies.of(sender, exclude):
            final, answer = yield from reply.ask(self, messages, sender)
            if final:
                return answer
        return self.default_auto_reply

    def _before_reply(self, messages: list[Message]) -> Steps[list[Message]]:
        """Return the messages as the hooks change them; they themselves stay as they are."""
        for hook in self.hooks["process_all_messages_before_reply"]:
            messages = yield Call(hook, (messages,))
        last = messages[-1] if messages else {}
        content = last.get("content")
        fit = isinstance(content, str | list) and content != "exit" and not last.keys() & {"function_call", "context"}
        if fit:
            for hook in self.hooks["process_last_received_message"]:
                content = yield Call(hook, (content,))
            if content != last["content"]:
                messages = [*messages[:-1], {**last, "content": content}]
        return messages

    generate_reply, a_generate_reply = twins(_generate_reply, "generate_reply")

    # What can be changed.

    def register_reply(
        self,
        trigger: Any,
        reply_func: ReplyFunction,
        position: int = 0,
        config: Any = None,
        reset_config: Callable[[Any], Any] | None = None,
        *,
        ignore_async_in_sync_chat: bool = False,
        remove_other_reply_funcs: bool = False,
    ) -> None:
        """Let `reply_func` answer whom `trigger` names; what is registered later is asked earlier.

        Args:
            trigger: a class, an agent or its name, a function of the sender, None for no sender, or a list of these.
            reply_func: `(recipient, messages, sender, config) -> (final, reply)`, of either kind.
            position: where in the chain, 0 for first. Ours stand there twice each, for the two worlds, as in AutoGen.
            config: handed to `reply_func`, a shallow copy of it.
            reset_config: called with the config on `reset()`; unless given, the copy is made anew.
            ignore_async_in_sync_chat: pass over a coroutine function where nothing awaits, instead of an error.
            remove_other_reply_funcs: first forget all others.
        """
        reply = Reply(trigger, reply_func, config=config, reset_config=reset_config, optional=ignore_async_in_sync_chat)
        if remove_other_reply_funcs:
            self.replies.chain.clear()
        self.replies.add(reply, position)

    def replace_reply_func(self, old_reply_func: ReplyFunction, new_reply_func: ReplyFunction) -> None:
        """Let `new_reply_func` answer wherever `old_reply_func` did."""
        self.replies.replace(old_reply_func, new_reply_func)

    def register_hook(self, hookable_method: str, hook: Callable[..., Any]) -> None:
        """Let `hook` change what passes at one of `HOOKS`. Raises ValueError for another name."""
        if hookable_method not in self.hooks:
            raise ValueError(f"{hookable_method!r} is not hookable; there are: {', '.join(HOOKS)}")
        self.hooks[hookable_method].append(hook)

    def stop_reply_at_receive(self, sender: Agent | None = None) -> None:
        """Answer `sender`, or nobody, unasked no longer."""
        if sender is None:
            self.reply_at_receive.clear()
        else:
            self.reply_at_receive[sender] = False

    def clear_history(self, recipient: Agent | None = None, nr_messages_to_preserve: int | None = None) -> None:
        """Forget what was said with `recipient`, or with all; keep the last few messages where asked."""
        self.memory.forget(recipient, nr_messages_to_preserve)

    def reset(self) -> None:
        """Forget everything that was said, and every answer's state."""
        self.memory.forget(None)
        self.reply_at_receive.clear()
        self.replies.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"
