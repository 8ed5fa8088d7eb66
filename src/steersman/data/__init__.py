"""Contrastive examples: every format people have becomes `ContrastivePairs`."""

from steersman.data.examples import Example, Message
from steersman.data.pairs import ContrastivePairs
from steersman.data.prompts import read_prompts

__all__ = ["ContrastivePairs", "Example", "Message", "read_prompts"]
