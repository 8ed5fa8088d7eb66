"""Contrastive examples: every format people have becomes `ContrastivePairs`."""

from steersman.data.aligned import AlignedPairs
from steersman.data.anonymised import anonymised_pairs
from steersman.data.examples import Example, Message
from steersman.data.loading import load_examples
from steersman.data.pairs import ContrastivePairs
from steersman.data.prompts import read_prompts
from steersman.data.system_prompts import system_prompt_pairs

__all__ = [
    "AlignedPairs",
    "ContrastivePairs",
    "Example",
    "Message",
    "anonymised_pairs",
    "load_examples",
    "read_prompts",
    "system_prompt_pairs",
]
