"""What a server counts, as Prometheus reads it."""

from steersman.errors import MissingExtraError
from steersman.serving.protocol import Engine, Generation

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
except ImportError as missing:
    raise MissingExtraError("prometheus-client", "serve", "The server") from missing

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        """All are zero."""
        self._all = CollectorRegistry()
        self._requests = Counter(
            "steersman_requests",
            "Requests by route and status.",
            ("route", "status"),
            registry=self._all,
        )
        self._seconds = Histogram(
            "steersman_request_seconds",
            "From a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._all,
        )
        self._first = Histogram(
            "steersman_first_token_seconds",
            "From a request to its first token.",
            buckets=_SECONDS,
            registry=self._all,
        )
        self._read = Counter("steersman_prompt_tokens", "Tokens of prompts.", registry=self._all)
        self._written = Counter("steersman_tokens", "Tokens written.", registry=self._all)
        self._steered = Counter(
            "steersman_steered_answers",
            "Answers begun, by steering.",
            ("steering",),
            registry=self._all,
        )
        self._left = Counter(
            "steersman_abandoned_requests", "Requests whose client went away.", registry=self._all
        )

    def watch(self, engine: Engine) -> None:
        """Show how busy an engine is."""
        running = Gauge("steersman_running", "Answers being written.", registry=self._all)
        waiting = Gauge("steersman_waiting", "Answers that wait to begin.", registry=self._all)
        running.set_function(lambda: engine.load.running)
        waiting.set_function(lambda: engine.load.waiting)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request is over."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def begun(self, generation: Generation) -> None:
        """An answer was asked for."""
        self._read.inc(len(generation.prompt))
        for name in generation.steering:
            self._steered.labels(name).inc()

    def first(self, seconds: float) -> None:
        """The first token of an answer has come."""
        self._first.observe(seconds)

    def written(self, tokens: int) -> None:
        """Tokens were written."""
        self._written.inc(tokens)

    def abandoned(self) -> None:
        """A client went away."""
        self._left.inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._all)
