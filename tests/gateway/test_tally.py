from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ostinato.gateway.tally import METRICS, MOST_ROWS, Tally

HIT = ("/v1/chat/completions", "gpt", "200", "hit")


def samples(tally: Tally) -> dict[tuple[str, ...], float]:
    """Return what Prometheus reads, by name and labels."""
    text, kind = tally.exposition()
    assert kind.startswith("text/plain")
    order = [*dict.fromkeys(label for metric in METRICS.values() for label in metric.labels), "le"]
    return {
        (sample.name, *(sample.labels[label] for label in order if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_counters_gauges_and_histograms_are_read_by_prometheus() -> None:
    tally = Tally()
    tally.count("requests", HIT)
    tally.count("requests", HIT)
    tally.count("cost_dollars", ("gpt",), 0.000125)
    tally.set("in_flight", (), 3)
    tally.set("in_flight", (), 2)
    for seconds in (0.0005, 0.003, 1000):
        tally.observe("request_seconds", ("/v1/messages", "miss"), seconds)
    read = samples(tally)

    assert read["ostinato_requests_total", *HIT] == 2
    assert read["ostinato_cost_dollars_total", "gpt"] == 0.000125
    assert read["ostinato_in_flight",] == 2
    assert read["ostinato_request_seconds_bucket", "/v1/messages", "miss", "0.001"] == 1
    assert read["ostinato_request_seconds_bucket", "/v1/messages", "miss", "0.005"] == 2
    assert read["ostinato_request_seconds_bucket", "/v1/messages", "miss", "+Inf"] == 3
    assert read["ostinato_request_seconds_count", "/v1/messages", "miss"] == 3
    assert read["ostinato_request_seconds_sum", "/v1/messages", "miss"] == pytest.approx(1000.0035)


def test_labels_of_clients_cannot_break_the_lines_or_fill_the_memory() -> None:
    tally = Tally()
    tally.count("cost_dollars", ('a"\n} 1\nforged 1',))
    for number in range(MOST_ROWS + 100):
        tally.count("cost_dollars", (f"model-{number}",))
    read = samples(tally)

    assert read["ostinato_cost_dollars_total", 'a"\n} 1\nforged 1'] == 1
    assert read["ostinato_cost_dollars_total", "other"] == 101
    assert ("forged",) not in read
    assert len(read) <= MOST_ROWS + 2


def test_whoever_is_asked_answers_for_all_workers(tmp_path: Path) -> None:
    one, other = Tally(str(tmp_path), 0), Tally(str(tmp_path), 1)
    for tally in (one, other, other):
        tally.count("requests", HIT)
        tally.observe("request_seconds", ("/", "hit"), 0.1)
        tally.set("in_flight", (), 1)
    other.share()
    read = samples(one)

    assert read["ostinato_requests_total", *HIT] == 3
    assert read["ostinato_request_seconds_count", "/", "hit"] == 3
    assert read["ostinato_in_flight",] == 2


def test_a_worker_in_a_dead_one_s_place_goes_on_from_its_counters(tmp_path: Path) -> None:
    dead = Tally(str(tmp_path), 0)
    dead.count("requests", HIT, 5)
    dead.set("in_flight", (), 7)
    dead.observe("request_seconds", ("/", "hit"), 0.1)
    dead.share()
    following = Tally(str(tmp_path), 0)
    following.count("requests", HIT)
    read = samples(following)

    assert read["ostinato_requests_total", *HIT] == 6
    assert read["ostinato_request_seconds_count", "/", "hit"] == 1
    assert ("ostinato_in_flight",) not in read


def test_a_spoilt_file_or_folder_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "1.counts").write_bytes(b"\xc1 no counts")
    tally = Tally(str(tmp_path / "gone"), 0)
    tally.count("requests", HIT)
    tally.share()
    beside = Tally(str(tmp_path), 0)
    beside.count("requests", HIT)

    assert samples(beside)["ostinato_requests_total", *HIT] == 1
    assert Tally(str(tmp_path), 1).exposition()[0]


def test_every_metric_has_its_labels_in_what_is_read() -> None:
    tally = Tally()
    add: dict[str, Any] = {"counter": tally.count, "gauge": tally.set, "histogram": tally.observe}
    for metric in METRICS.values():
        add[metric.kind](metric.name, tuple("x" for _ in metric.labels), 1)
    text = tally.exposition()[0].decode()

    assert [metric.name for metric in METRICS.values() if f"ostinato_{metric.name}" not in text] == []
