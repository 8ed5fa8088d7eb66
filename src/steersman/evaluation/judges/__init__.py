"""Judges of continuations: exact, by string, by classifier, by another language model."""

from steersman.evaluation.judges.base import Answer, Ask, Judge, Judgement
from steersman.evaluation.judges.causal import Perplexity, YesNo
from steersman.evaluation.judges.classifier import Classifier
from steersman.evaluation.judges.endpoint import Endpoint
from steersman.evaluation.judges.exact import Exact
from steersman.evaluation.judges.specs import judges_of
from steersman.evaluation.judges.strings import REFUSALS, Mentions, Refusal, refuses

__all__ = [
    "REFUSALS",
    "Answer",
    "Ask",
    "Classifier",
    "Endpoint",
    "Exact",
    "Judge",
    "Judgement",
    "Mentions",
    "Perplexity",
    "Refusal",
    "YesNo",
    "judges_of",
    "refuses",
]
