"""When a steering acts: conditions on the prompt, decided once and kept for what is generated."""

from steersman.gating.choosing import Choice, choose, f1
from steersman.gating.condition import (
    AllOf,
    AnyOf,
    Found,
    Not,
    PromptCondition,
    Reading,
    Resembles,
)
from steersman.gating.fitted import resembling
from steersman.gating.gate import Gate
from steersman.gating.similarity import SIMILARITIES, SimilarityName, similarity
from steersman.gating.soft import SoftGate
from steersman.gating.vectors import VECTORS, VectorName, condition_vectors

__all__ = [
    "SIMILARITIES",
    "VECTORS",
    "AllOf",
    "AnyOf",
    "Choice",
    "Found",
    "Gate",
    "Not",
    "PromptCondition",
    "Reading",
    "Resembles",
    "SimilarityName",
    "SoftGate",
    "VectorName",
    "choose",
    "condition_vectors",
    "f1",
    "resembling",
    "similarity",
]
