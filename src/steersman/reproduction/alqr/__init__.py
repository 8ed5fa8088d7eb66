"""The A-LQR paper, arXiv 2604.19018: one table or figure a file."""

from steersman.reproduction.alqr import toxicity

ITEMS = (toxicity.ITEM,)
"""In the paper's order."""

__all__ = ["ITEMS"]
