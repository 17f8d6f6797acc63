"""What a gateway counts: plain numbers in each worker, put together when somebody asks.

Counting is a dict and an addition. Several workers leave what they counted in a folder, each in a file of its own,
a few times a second; whoever is asked for metrics adds them up. A worker that takes the place of a dead one goes
on from what that one left, so that no counter runs backwards.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

Labels = tuple[str, ...]

MOST_ROWS = 2000
"""Rows of one worker; what comes above is counted under `other`, since clients choose some of the labels."""
SHARE_S = 0.25
"""How often workers leave their counts for each other, at most."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

Kind = Literal["counter", "gauge", "histogram"]


class Metric(msgspec.Struct, frozen=True):
    """What is counted under one name."""

    name: str
    kind: Kind
    help: str
    labels: Labels


METRICS = {
    metric.name: metric
    for metric in (
        Metric("requests", "counter", "Requests answered.", ("route", "model", "status", "cache")),
        Metric("request_seconds", "histogram", "From a request's head to the end of its answer.", ("route", "cache")),
        Metric("first_byte_seconds", "histogram", "To the first byte of a streamed answer.", ("route", "cache")),
        Metric("tokens", "counter", "Tokens that vendors counted, of answers that were paid.", ("model", "kind")),
        Metric("cost_dollars", "counter", "What vendors took.", ("model",)),
        Metric("saved_dollars", "counter", "What the two caches saved.", ("model", "by")),
        Metric("prompt_write_dollars", "counter", "What writes to prompt caches took beyond reads.", ("model",)),
        Metric("upstream_calls", "counter", "Requests to deployments, retries included.", ("deployment", "outcome")),
        Metric("deployment_rests", "gauge", "Workers in which a deployment rests.", ("deployment",)),
        Metric("in_flight", "gauge", "Requests being answered.", ()),
        Metric("cache_events", "counter", "What the response cache counted.", ("event",)),
        Metric("reloads", "counter", "Configurations read anew.", ("outcome",)),
    )
}
"""By name, without the `ostinato_` in front and the unit's `_total` behind."""


class _Left(msgspec.Struct):
    """What a worker leaves for the others."""

    counts: dict[str, list[tuple[Labels, float]]]
    times: dict[str, list[tuple[Labels, list[float]]]]


class Tally:
    """The counts of one worker."""

    def __init__(self, folder: str | None = None, index: int = 0) -> None:
        """`folder` is where the workers leave their counts, `index` this one's number; None for a single worker."""
        self.folder, self.index = folder, index
        self._file = Path(folder, f"{index}.counts") if folder is not None else None
        self._counts: dict[str, dict[Labels, float]] = {}
        self._times: dict[str, dict[Labels, list[float]]] = {}
        self._rows = 0
        self._dirty = False
        if self._file is not None:
            self._go_on_from(_read(self._file))

    @property
    def shared(self) -> bool:
        """Whether there are other workers."""
        return self._file is not None

    def count(self, name: str, labels: Labels, amount: float = 1) -> None:
        """Add to a counter."""
        rows = self._counts.get(name)
        if rows is None:
            rows = self._counts[name] = {}
        try:
            rows[labels] += amount
        except KeyError:
            labels = self._room(labels)
            rows[labels] = rows.get(labels, 0) + amount
        self._dirty = True

    def set(self, name: str, labels: Labels, value: float) -> None:
        """Set a gauge."""
        self._counts.setdefault(name, {})[self._room(labels)] = value
        self._dirty = True

    def observe(self, name: str, labels: Labels, seconds: float) -> None:
        """Add a duration to a histogram."""
        rows = self._times.setdefault(name, {})
        row = rows.get(labels)
        if row is None:
            row = rows.setdefault(self._room(labels), [0.0] * (len(BOUNDS_S) + 2))
        row[bisect_left(BOUNDS_S, seconds)] += 1
        row[-1] += seconds
        self._dirty = True

    def _room(self, labels: Labels) -> Labels:
        """Return the labels of a new row, or those that stand for all when there are too many."""
        self._rows += 1
        return labels if self._rows <= MOST_ROWS else ("other",) * len(labels)

    def share(self) -> None:
        """Leave the counts for the other workers, when there is anything new."""
        if self._file is None or not self._dirty:
            return
        self._dirty = False
        part = self._file.with_suffix(".part")
        try:
            part.write_bytes(msgspec.msgpack.encode(self._left()))
            os.replace(part, self._file)  # noqa: PTH105  # what pathlib calls
        except OSError:
            self._dirty = True  # the next time, or never: counts are no reason to fail

    def _left(self) -> _Left:
        return _Left(
            {name: list(rows.items()) for name, rows in self._counts.items()},
            {name: list(rows.items()) for name, rows in self._times.items()},
        )

    def _go_on_from(self, left: _Left | None) -> None:
        if left is None:
            return
        for name, rows in left.counts.items():
            if METRICS[name].kind == "counter":
                self._counts[name] = dict(rows)
        self._times = {name: dict(rows) for name, rows in left.times.items()}
        self._rows = sum(len(rows) for table in (left.counts, left.times) for rows in table.values())

    def _everybody(self) -> Iterator[_Left]:
        """Yield what each worker counted, this one's to the last."""
        self.share()
        if self._file is None:
            yield self._left()
            return
        for path in sorted(self._file.parent.glob("*.counts")):
            left = _read(path)
            if left is not None:
                yield left

    def exposition(self) -> tuple[bytes, str]:
        """Return all counts as Prometheus reads them, and their content type.

        Raises: MissingDependencyError: prometheus-client is not installed.
        """
        try:
            from prometheus_client import CollectorRegistry, exposition
        except ImportError as exc:
            from ostinato.errors import MissingDependencyError

            raise MissingDependencyError("metrics need prometheus-client: pip install 'ostinato[gateway]'") from exc
        registry = CollectorRegistry()
        registry.register(_Collected(list(self._everybody())))
        return exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST


class _Collected:
    """What the workers counted, as families of prometheus-client."""

    def __init__(self, workers: list[_Left]) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Any]:
        """Yield a family for each metric that somebody counted."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for metric in METRICS.values():
            name = f"ostinato_{metric.name}"
            if metric.kind == "histogram":
                histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
                for labels, row in self._times(metric.name).items():
                    histogram.add_metric(labels, _buckets(row), sum_value=row[-1])
                yield histogram
                continue
            family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            counted = family(name, metric.help, labels=metric.labels)
            for labels, value in self._counts(metric.name).items():
                counted.add_metric(labels, value)
            yield counted

    def _counts(self, name: str) -> dict[Labels, float]:
        totals: dict[Labels, float] = {}
        for left in self._workers:
            for labels, value in left.counts.get(name, ()):
                totals[labels] = totals.get(labels, 0) + value
        return totals

    def _times(self, name: str) -> dict[Labels, list[float]]:
        totals: dict[Labels, list[float]] = {}
        for left in self._workers:
            for labels, row in left.times.get(name, ()):
                before = totals.get(labels)
                totals[labels] = row if before is None else [a + b for a, b in zip(before, row, strict=True)]
        return totals


def _buckets(row: list[float]) -> list[tuple[str, float]]:
    """Return the cumulated counts by upper bound."""
    bounds = [*(str(bound) for bound in BOUNDS_S), "+Inf"]
    total = 0.0
    buckets = []
    for bound, value in zip(bounds, row, strict=False):
        total += value
        buckets.append((bound, total))
    return buckets


def _read(path: Path) -> _Left | None:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=_Left)
    except (OSError, msgspec.MsgspecError):
        return None
