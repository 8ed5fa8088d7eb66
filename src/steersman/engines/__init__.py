"""One law, in front of the blocks of a running model."""

from steersman.engines.caches import empty_cache, joinable, rows_of, stacked
from steersman.engines.channel import AtPrompt, Channel, Made
from steersman.engines.last import Last
from steersman.engines.run import Run
from steersman.engines.standing import Standing
from steersman.engines.token_ids import TokenIds
from steersman.engines.token_rules import TokenRule
from steersman.engines.tokens import Tokens, tokens_named
from steersman.engines.trace import Trace

__all__ = [
    "AtPrompt",
    "Channel",
    "Last",
    "Made",
    "Run",
    "Standing",
    "TokenIds",
    "TokenRule",
    "Tokens",
    "Trace",
    "empty_cache",
    "joinable",
    "rows_of",
    "stacked",
    "tokens_named",
]
