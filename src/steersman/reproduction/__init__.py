"""Papers reproduced: their tables and figures, measured here, beside the published numbers."""

from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.papers import PAPERS, Paper, paper_named
from steersman.reproduction.published import Published
from steersman.reproduction.reproducing import reproduce
from steersman.reproduction.result import Reproduction

__all__ = [
    "PAPERS",
    "Item",
    "Measure",
    "Paper",
    "Published",
    "Reproduction",
    "Sizes",
    "paper_named",
    "reproduce",
]
