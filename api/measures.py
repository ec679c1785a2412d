"""What this API process measures of itself, in Prometheus' form."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Measures:
    """A registry of its own, so that several applications in one process never mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "baton_http_requests_total", "Answered requests", ("method", "path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "baton_http_request_seconds",
            "Time to answer",
            ("method", "path"),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._waiting = Gauge(
            "baton_queue_waiting", "Conversations that wait for an agent", ("pool",), registry=self._registry
        )
        self._owed = Gauge(
            "baton_outbox_signals", "Signals owed to conversations", ("set_aside",), registry=self._registry
        )
        self._streams = Gauge("baton_live_streams", "Open live event streams", registry=self._registry)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(method, path).observe(seconds)

    def queue(self, waiting: dict[str, int], owed: dict[bool, int]) -> None:
        """Set what the ledger says now."""
        self._waiting.clear()
        for pool, count in waiting.items():
            self._waiting.labels(pool).set(count)
        for set_aside in (False, True):
            self._owed.labels(str(set_aside).lower()).set(owed.get(set_aside, 0))

    def stream_opened(self) -> None:
        self._streams.inc()

    def stream_closed(self) -> None:
        self._streams.dec()

    def text(self) -> bytes:
        return generate_latest(self._registry)
