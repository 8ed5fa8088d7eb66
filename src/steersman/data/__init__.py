"""Contrastive examples: every format people have becomes `ContrastivePairs`."""

from steersman.data.examples import Example, Message
from steersman.data.pairs import ContrastivePairs

__all__ = ["ContrastivePairs", "Example", "Message"]
