"""Turn what a run of the monitor found into Prometheus' text format; every label has a bounded set of values."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hearth.checks import CHECKS  # each has its alarm in monitoring/rules.yml; a test compares the two
from hearth.errors import Refusal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what Prometheus and node_exporter have read since ever

OUTCOMES = ("joined", "late", "repeated", "corrected", "unknown", "refused")
FIGURES = ("error", "bias", "level", "coverage", "estimated_error")
BOUNDS = ("low", "value", "high")
FEATURES_MAX = 200  # a profile has one for each column of the contract

Row = tuple[tuple[str, ...], float | None]  # the values of the labels, and the sample: None where there is none


def exposition(document: Mapping[str, Any] | None, every_s: float, failed: int = 0) -> str:
    """Return the metrics of a monitor.json document as text; refuse a check that is missing or that no rule knows.

    The heartbeat is the document's own time. `every_s` is how often a run is promised, since an alarm is due when two
    were missed. Before the first good run there is no document; `failed` counts the runs that failed.
    """
    registry = CollectorRegistry()
    registry.register(_Collected([*_promised(every_s, failed), *(_families(document) if document is not None else ())]))
    return generate_latest(registry).decode()


class _Collected(Collector):
    """Be the metrics that were computed already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _promised(every_s: float, failed: int) -> Iterator[Metric]:
    yield GaugeMetricFamily("hearth_monitor_every_seconds", "Seconds from one run to the next, as promised.", every_s)
    yield CounterMetricFamily("hearth_monitor_failed", "Runs that failed since this process started.", failed)


def _families(document: Mapping[str, Any]) -> Iterator[Metric]:
    checks: Mapping[str, Any] = _known("check", document["checks"], CHECKS)
    if missing := sorted(set(CHECKS) - set(checks)):  # its alarm would be silent for ever
        raise Refusal(f"the monitor says nothing of {', '.join(missing)}, wanted each check, if only without a value.")
    features: Mapping[str, Any] = document["features"]
    if len(features) > FEATURES_MAX:
        raise Refusal(
            f"the monitor names {len(features)} features, wanted at most {FEATURES_MAX}; look at its profile."
        )
    outcomes = _known("kind of outcome", document["outcomes"], OUTCOMES)
    figures = _known("figure", document["figures"], FIGURES)
    at = datetime.fromisoformat(document["at"])
    if at.tzinfo is None:
        raise Refusal(f"the monitor ran at {document['at']}, wanted a time with its offset from UTC, such as +00:00.")
    yield _gauge(
        "last_run_timestamp_seconds", "When the last good run was, in seconds since 1970.", (), [((), at.timestamp())]
    )
    yield _gauge("predictions", "Predictions in the newest window.", (), [((), document["predictions"])])
    for name, meaning, value in (
        ("alarm", "1 where a check is bad in enough of the last windows.", lambda check: check["alarm"]),
        ("bad", "1 where a check is bad in the newest window; nothing where it has too few rows.", _newest),
        ("value", "What a check measured.", lambda check: check["value"]),
        ("limit", "Where a check becomes bad.", lambda check: check["limit"]),
    ):
        yield _gauge(name, meaning, ("check",), (((key,), value(check)) for key, check in checks.items()))
    for name, meaning in (
        ("moved", "Share of rows in other bins of a feature than the profile expects."),
        ("floor", "What chance alone moves of a feature."),
    ):
        rows = (((key,), feature[name]) for key, feature in features.items())
        yield _gauge(f"feature_{name}", meaning, ("feature",), rows)
    yield _gauge("feature_drifted", "1 where a feature moved by more than chance does.", ("feature",),
                 (((key,), feature["drifted"]) for key, feature in features.items()))  # fmt: skip
    yield _gauge("outcomes", "Outcomes by what became of them.", ("kind",), (((k,), n) for k, n in outcomes.items()))
    bounds = (((key, bound), figure[bound]) for key, figure in figures.items() for bound in BOUNDS)
    yield _gauge("figure", "What the outcomes say, with its interval.", ("figure", "bound"), bounds)
    ages = (((of,), document["age"][f"{of}_days"]) for of in ("model", "data"))
    yield _gauge("age_days", "Days since the model was made, and since its newest sale.", ("of",), ages)


def _gauge(name: str, meaning: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(f"hearth_monitor_{name}", meaning, labels=labels)
    for values, sample in sorted(rows, key=lambda row: row[0]):
        if sample is not None:
            family.add_metric(values, float(sample))
    return family


def _newest(check: Mapping[str, Any]) -> bool | None:
    return check["windows"][-1] if check["windows"] else None


def _known(what: str, given: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    """Return what was given, if only known names are in it: an unknown one would be a label without a rule."""
    if unknown := sorted(set(given) - set(names)):
        wanted = (
            f"wanted some of {', '.join(names)}; add it to monitor_metrics.py, and an alarm to monitoring/rules.yml"
        )
        raise Refusal(f"the monitor names the {what} {unknown[0]!r}, {wanted}.")
    return given
