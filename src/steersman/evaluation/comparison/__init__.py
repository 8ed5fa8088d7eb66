"""Methods compared at equal side effect, with nothing chosen on the prompts that are reported."""

from steersman.evaluation.comparison.comparing import compare
from steersman.evaluation.comparison.result import Asked, ComparisonReport, MethodResult
from steersman.evaluation.comparison.settings import ComparisonSettings

__all__ = ["Asked", "ComparisonReport", "ComparisonSettings", "MethodResult", "compare"]
