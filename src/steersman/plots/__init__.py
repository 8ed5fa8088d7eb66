"""Figures of steered runs, fits and comparisons; arrays in, a matplotlib `Figure` out.

Importing this package without matplotlib raises `MissingExtraError`, whose message is the
`pip install` to run. Figures are made without pyplot, so nothing global is left behind.
"""

from steersman.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as missing:
    raise MissingExtraError("matplotlib", "plots", "Drawing figures") from missing

from steersman.pages import THEME, write_page
from steersman.plots.beside import beside_figure
from steersman.plots.bounds import authority_figure, bound_figure
from steersman.plots.calibration import calibration_figure
from steersman.plots.comparison import before_after_figure, separation_figure, strength_figure
from steersman.plots.divergence import divergence_figure
from steersman.plots.methods import Marked, methods_figure
from steersman.plots.page import figure_page, figure_svg
from steersman.plots.remainders import plants_figure, remainder_figure
from steersman.plots.setpoints import setpoint_figure
from steersman.plots.spectra import pairs_figure, similarity_figure, spectra_figure
from steersman.plots.trace import trace_figure

__all__ = [
    "spectra_figure",
    "similarity_figure",
    "remainder_figure",
    "plants_figure",
    "pairs_figure",
    "THEME",
    "Marked",
    "authority_figure",
    "before_after_figure",
    "beside_figure",
    "calibration_figure",
    "bound_figure",
    "divergence_figure",
    "figure_page",
    "figure_svg",
    "methods_figure",
    "separation_figure",
    "setpoint_figure",
    "strength_figure",
    "trace_figure",
    "write_page",
]
