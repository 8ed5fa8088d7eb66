"""The A-LQR paper, arXiv 2604.19018: one table or figure a file."""

from steersman.reproduction.alqr import (
    bound,
    concepts,
    local_linearity,
    mmlu,
    multi_concept,
    overhead,
    refusal,
    toxicity,
    tracking,
    truthfulness,
)

ITEMS = (
    local_linearity.ITEM,
    concepts.ITEM,
    multi_concept.ITEM,
    toxicity.ITEM,
    mmlu.ITEM,
    truthfulness.ITEM,
    refusal.ITEM,
    tracking.ITEM,
    bound.ITEM,
    overhead.ITEM,
)
"""In the paper's order."""

__all__ = ["ITEMS"]
