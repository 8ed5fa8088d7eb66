"""Contrastive examples: every format people have becomes `ContrastivePairs`."""

from steersman.data.aligned import AlignedPairs
from steersman.data.examples import Example, Message
from steersman.data.loading import load_examples
from steersman.data.pairs import ContrastivePairs
from steersman.data.prompts import read_prompts

__all__ = [
    "AlignedPairs",
    "ContrastivePairs",
    "Example",
    "Message",
    "load_examples",
    "read_prompts",
]
