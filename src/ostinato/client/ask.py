"""What passes between a server and the client behind it: a request of a dialect, and what is told of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from ostinato.client.passage import Telling
    from ostinato.client.route import Pricer
    from ostinato.errors import OstinatoError
    from ostinato.records import Answer
    from ostinato.wire.contract import Json
    from ostinato.wire.dialects import Dialect
    from ostinato.wire.tokens import Tokens


class Deployment(Protocol):
    """One place that a model can be asked at."""

    @property
    def id(self) -> str:
        """Says nothing secret."""

    @property
    def model(self) -> str:
        """`provider/name`."""

    @property
    def params(self) -> Mapping[str, Any]:
        """What `completion()` would be called with beside the messages: key, address, prices, defaults."""


class Plan(Protocol):
    """One call's way through the deployments of a name."""

    @property
    def deployment(self) -> Deployment:
        """Whom to ask now."""

    def ask(self) -> None:
        """Say that it is asked now. Raises OstinatoError: it is not to be."""

    def failed(self, error: OstinatoError) -> float | None:
        """Say that it failed. Return the seconds to wait before asking `deployment`, None to give up."""

    def left(self, told: Told) -> None:
        """Say that who asked has left before there was anything to tell; `told` says what was taken."""

    def refreshing(self) -> Callable[[Told | None], None] | None:
        """Return what hears of what it took to ask anew for a stale entry, None where it is not to be asked."""

    def gave_up(self, error: OstinatoError) -> None:
        """Say that this flight ends with `error`, of which `failed` was told: what follows, another one does."""


class Alias(Protocol):
    """A name that clients write, and who answers for it."""

    @property
    def name(self) -> str: ...

    @property
    def deployments(self) -> Sequence[Deployment]: ...

    @property
    def digest(self) -> str:
        """Stands for the models behind the name."""


class Ask(msgspec.Struct, frozen=True):
    """A request of a dialect, let in."""

    dialect: Dialect
    body: Json
    alias: Alias
    tenant: str = ""
    """Whose entries it may read and makes."""
    headers: Mapping[str, str] = {}
    """Those of its headers that count."""
    controls: Mapping[str, Any] = {}
    """What it says of the cache."""
    token: Any = None
    """What it is remembered by; None: not at all."""
    sample_index: int = 0
    """Which of several draws it asks for; each is an entry of its own."""

    @property
    def stream(self) -> bool:
        """Whether it wants a stream."""
        return bool(self.body.get("stream"))

    @property
    def shows_counts(self) -> bool:
        """Whether a stream tells its usage in a chunk of its own."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))


class Told(msgspec.Struct):
    """An answer, and what there is to say beside it."""

    cache: Literal["hit", "miss", "shared", "bypass"]
    body: bytes = b""
    """The whole; of a stream that is there already, all its events."""
    events: Telling | None = None
    """A stream that is on its way. Close it."""
    stream: bool = False
    miss: str = ""
    """Why it was not in the cache."""
    key: str = ""
    age_s: float | None = None
    ttl_s: float | None = None
    """Seconds that the entry is still kept."""
    paid_pico: int | None = None
    """US dollars paid, in picodollars; None: not known, or not yet."""
    saved_pico: int | None = None
    """US dollars that it would have cost beside."""
    prompt_saved_pico: int = 0
    """What the vendor's prompt cache saved on what was paid; below 0 where its writes cost more."""
    runs: Sequence[Tokens] = ()
    """What the vendor counted, as soon as it is there."""
    deployment: str = ""
    """Who answers, or did when it was stored."""
    provider: str = ""
    model: str = ""
    """The name that was asked for."""
    said: Mapping[str, str] = {}
    """The headers of the vendor's answer that this call alone brought about."""

    on_counted: Callable[[], None] | None = None
    """Called when it is known what an answer took whose reader has left. It is not known yet while `awaited`."""
    awaited: bool = False

    def count(self, pricer: Pricer, answer: Answer, *, free: bool) -> None:
        """Note what an answer cost, or would have."""
        price = pricer(answer)
        self.runs = getattr(answer, "_runs", None) or ()
        if price is not None:
            self.paid_pico, self.saved_pico = (0, price.total_pico) if free else (price.total_pico, 0)
            self.prompt_saved_pico = 0 if free else price.without_prompt_cache_pico - price.total_pico
