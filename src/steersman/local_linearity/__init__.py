"""Local linearity, measured: how far a linear plant foretells what the blocks do."""

from steersman.local_linearity.measuring import SCALES, linearity
from steersman.local_linearity.prompts import Prompts
from steersman.local_linearity.remainders import Remainders, measure_remainders
from steersman.local_linearity.result import LinearityReport
from steersman.local_linearity.spectra import Spectra, measure_spectra
from steersman.local_linearity.steps import Steps, steps
from steersman.local_linearity.texts import TEXTS

__all__ = [
    "SCALES",
    "TEXTS",
    "LinearityReport",
    "Prompts",
    "Remainders",
    "Spectra",
    "Steps",
    "linearity",
    "measure_remainders",
    "measure_spectra",
    "steps",
]
