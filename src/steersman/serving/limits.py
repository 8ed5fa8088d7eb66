"""What one request, and all of them together, may ask for."""

import math
from dataclasses import dataclass, fields

from steersman.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What is refused or cut short.

    Args:
        body: bytes of a request's body.
        choices: answers to one request, prompts times `n`.
        stops: stop strings of one request.
        steerings: steerings of one request.
        strength: the largest strength, either way, in natural units.
        waiting: answers that wait to begin.
        running: answers that are written at a time.
        timeout: seconds for the whole of an answer, waiting included.
        idle: seconds for a client to send the next part of its request, or to take the next part
            of its answer.
        grace: seconds for answers to end in while the server shuts down.

    Raises:
        InputError: one that is not above zero.
    """

    body: int = 2**20
    choices: int = 16
    stops: int = 8
    steerings: int = 4
    strength: float = 4.0
    waiting: int = 256
    running: int = 16
    timeout: float = 300.0
    idle: float = 30.0
    grace: float = 30.0

    def __post_init__(self) -> None:
        """Check every number."""
        for one in fields(self):
            value = getattr(self, one.name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"the limit {one.name} is {value}; it must be above zero.")
