"""One law, in front of the blocks of a running model."""

from steersman.engines.channel import AtPrompt, Channel, Made, Tokens
from steersman.engines.run import Run
from steersman.engines.trace import Trace

__all__ = ["AtPrompt", "Channel", "Made", "Run", "Tokens", "Trace"]
