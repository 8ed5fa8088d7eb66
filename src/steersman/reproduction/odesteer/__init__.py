"""The ODESteer paper, arXiv 2602.17560: one table a file."""

from steersman.reproduction.odesteer import ablation, toxicity, truthfulness

ITEMS = (truthfulness.ITEM, toxicity.ITEM, ablation.ITEM)
"""In the paper's order."""

__all__ = ["ITEMS"]
