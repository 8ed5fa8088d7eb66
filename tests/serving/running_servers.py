"""A server that a test has started."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEY = "a-key-for-tests"


@dataclass(frozen=True)
class Running:
    """A server that runs.

    Args:
        url: where.
        service: what it serves.
    """

    url: str
    service: Any

    def idle(self, seconds: float = 20.0) -> bool:
        """Whether nothing runs or waits before so many seconds are over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            load = self.service.engine.load
            if load.running == 0 and load.waiting == 0:
                return True
            time.sleep(0.02)
        return False


Start = Callable[..., Running]
