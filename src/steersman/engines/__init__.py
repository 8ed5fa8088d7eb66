"""One law, in front of the blocks of a running model."""

from steersman.engines.channel import AtPrompt, Channel, Made
from steersman.engines.run import Run
from steersman.engines.token_ids import TokenIds
from steersman.engines.token_rules import TokenRule
from steersman.engines.tokens import Tokens, tokens_named
from steersman.engines.trace import Trace

__all__ = [
    "AtPrompt",
    "Channel",
    "Made",
    "Run",
    "TokenIds",
    "TokenRule",
    "Tokens",
    "Trace",
    "tokens_named",
]
