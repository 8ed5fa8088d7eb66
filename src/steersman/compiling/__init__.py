"""Compiled steering: changes of weights that do what a steering does, where there are any."""

from steersman.compiling.ablation import ablate
from steersman.compiling.base import Base
from steersman.compiling.change import Change, Dense, LowRank
from steersman.compiling.compiling import check
from steersman.compiling.delta import WeightDelta
from steersman.compiling.folding import fold
from steersman.compiling.measuring import compare
from steersman.compiling.verdict import Verdict

__all__ = [
    "Base",
    "Change",
    "Dense",
    "LowRank",
    "Verdict",
    "WeightDelta",
    "ablate",
    "check",
    "compare",
    "fold",
]
