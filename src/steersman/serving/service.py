"""What all routes of a server share."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from steersman.serving.limits import Limits
from steersman.serving.metrics import Metrics
from steersman.serving.protocol import Engine
from steersman.serving.registry import Registry


@dataclass(frozen=True, eq=False)
class Service:
    """One model as it is served.

    Args:
        engine: runs it.
        registry: its steerings.
        name: what clients call the model.
        limits: what is refused or cut short.
        key: what clients have to show; None lets everyone in.
        metrics: what is counted.
        created: when the server was started, in seconds since 1970.
        worker: a thread for what would keep the others waiting; one, as a tokenizer is not made for
            several.
    """

    engine: Engine
    registry: Registry
    name: str
    limits: Limits = Limits()
    key: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    created: int = field(default_factory=lambda: int(time.time()))
    worker: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "steersman-prompts")
    )

    def close(self) -> None:
        """Stop the engine and the thread."""
        self.engine.close()
        self.worker.shutdown(cancel_futures=True)
