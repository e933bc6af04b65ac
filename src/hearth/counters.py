"""Count what the service does, for Prometheus: every label has a bounded set of values, whatever is asked for."""

from collections.abc import Collection, Iterable
from typing import Any

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)


class Counters:
    """Hold the service's own metrics; children with their labels are kept, since looking one up costs more than counting."""

    def __init__(self, library: Any, model_version: str, as_of: str, columns: Iterable[str]) -> None:
        """Register the metrics with `library`: prometheus_client, or bentoml.metrics, which shares them among workers."""
        gauge = {"multiprocess_mode": "livesum"}
        self._requests = library.Counter(
            "hearth_requests_total", "Requests that were answered, by route and status.", ["route", "status"]
        )
        self._seconds = library.Histogram(
            "hearth_request_seconds", "Seconds from a request's head to its answer.", ["route"], buckets=SECONDS
        )
        self.predictions = library.Counter("hearth_predictions_total", "Houses that were priced.")
        warned = library.Counter(
            "hearth_warnings_total", "Warnings in answers, by the column they are about.", ["column"]
        )
        self._warnings = {column: warned.labels(column) for column in columns}
        self.feedback = library.Counter("hearth_feedback_total", "Outcomes that were stored.")
        self.in_flight = library.Gauge("hearth_in_flight", "Requests that are being read or answered.", **gauge)
        self.waiting = library.Gauge("hearth_waiting", "Batches and explanations that wait for their turn.", **gauge)
        self.log_written = library.Counter("hearth_log_written_total", "Entries that the prediction log took.")
        self.log_lost = library.Counter("hearth_log_lost_total", "Entries that the prediction log had no room for.")
        self.log_waiting = library.Gauge(
            "hearth_log_waiting", "Entries that wait to be written to the prediction log.", **gauge
        )
        self.shadow = library.Counter("hearth_shadow_total", "Houses that the shadow priced.")
        self.shadow_failed = library.Counter("hearth_shadow_failed_total", "Houses that the shadow gave no price.")
        info = library.Gauge(
            "hearth_model_info", "The model that is served; always 1.", ["model_version", "as_of"],
            multiprocess_mode="max",
        )  # fmt: skip
        info.labels(model_version, as_of).set(1)
        self._children: dict[tuple[str, int], Any] = {}
        self._timers: dict[str, Any] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is one of the service's own, or `other`."""
        key = (route, status)
        if key not in self._children:
            self._children[key] = self._requests.labels(route, str(status))
        self._children[key].inc()
        if route not in self._timers:
            self._timers[route] = self._seconds.labels(route)
        self._timers[route].observe(seconds)

    def priced(self, answers: Collection[dict[str, Any]]) -> None:
        """Count the houses of some answers, and their warnings."""
        self.predictions.inc(len(answers))
        for said in (said for answer in answers for said in answer["warnings"]):
            self._warnings[said.split(":")[0]].inc()
