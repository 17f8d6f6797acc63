"""Where calls of one model's name go, and what their answers cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ostinato.client.address import VERSION_ENV, environment
from ostinato.errors import ConfigurationError
from ostinato.wire import find_wire
from ostinato.wire.usage import counted

if TYPE_CHECKING:
    from ostinato.pricing import Cost, Prices
    from ostinato.providers import Found
    from ostinato.records import Answer

    Pricer = Callable[[Answer], Cost | None]

_NOT_SENT = frozenset({"prompt_caching", "cache_control_injection_points", "cache_seed"})

_ELSEWHERE = {
    "base_url": "api_base=",
    "cache_key": "cache.get_cache_key",
    "custom_llm_provider": "'provider/name' as the model",
    "headers": "extra_headers=",
    "max_retries": "num_retries=",
    "mock_response": "ostinato.testing.emulator",
    "request_timeout": "timeout=",
    "ttl": "cache={'ttl': ...}",
}
"""Settings by the names that other libraries give them, and what they are here: to a vendor they mean nothing."""


def refuse_settings(params: Mapping[str, Any]) -> None:
    """Refuse settings that would be sent to the vendor as parameters of the model.

    Raises: ConfigurationError: there is one.
    """
    for name in _ELSEWHERE.keys() & params.keys():
        if params[name] is not None:
            raise ConfigurationError(f"{name} is no parameter of a model; here it is {_ELSEWHERE[name]}")


def is_ours(name: str) -> bool:
    """Return whether no vendor ever sees this parameter: it is carried out here, or is a price of the call's own."""
    return name in _NOT_SENT or _is_price(name)


def _is_price(name: str) -> bool:
    if "_cost" not in name:
        return False
    from ostinato.pricing.names import is_price  # loaded for who names prices

    return is_price(name)


class Route:
    """Where calls of one model name go."""

    __slots__ = ("found", "here", "model", "name", "names", "provider", "wire")

    def __init__(self, model: str, found: Found) -> None:
        self.model = model
        """As the caller writes it."""
        self.found = found
        self.provider = found.provider
        self.name = found.name
        self.wire = find_wire(found.wire)
        self.names = found.provider.auth == "aws"
        """Whether answers need a name of ours: Bedrock's Converse gives them neither id nor model."""
        if self.provider.auth in {"aws", "api-key"}:
            self.here: Callable[[], Any] = environment((*self.provider.base_env, *VERSION_ENV)).all
        else:
            self.here = environment(self.provider.base_env).first

    def cached_from(self) -> int | None:
        """Return how many tokens the beginning of a prompt must have to be kept by the vendor; None: not known."""
        from ostinato.pricing.table import find

        known = find(self.provider.name, self.name)
        return None if known is None else known.facts.get("minimum")

    def price(self, answer: Answer, custom: Prices | None = None) -> Cost | None:
        """Return what the vendor takes for `answer`, or None and one warning when that is not known."""
        from ostinato.pricing import price_answer  # the table is loaded for who asks

        usage = answer.get("usage")
        if usage is None:
            return None
        answer._provider = self.provider.name
        if not hasattr(answer, "_runs"):
            answer._runs = self.wire.tokens({**answer, "usage": counted(usage)})
        return price_answer(answer, model=self.model, custom=custom)

    def priced_by(self, params: Mapping[str, Any], *, kind: str = "chat") -> Pricer:
        """Return what prices the answer to a call: by the call's own prices, where it names any.

        Raises: ConfigurationError: they are no prices, or incomplete.
        """
        custom = {name: value for name, value in params.items() if value is not None and _is_price(name)}
        if not custom:
            return self.price
        from ostinato.pricing import Prices

        if kind == "embedding":
            custom.setdefault("output_cost_per_token", 0)
        prices = Prices.of(custom)
        return lambda answer: self.price(answer, prices)
