"""Steer language models in closed loop with optimal control.

A transformer's depth is read as time, its blocks as a linear time-varying plant, and a semantic
feature is brought to a setpoint by LQR feedback while the model generates:

    import steersman as sm

    pairs = sm.ContrastivePairs(desired=[...], undesired=[...])
    model, tokenizer = sm.load("Qwen/Qwen2.5-0.5B-Instruct")  # or your own, already loaded
    steering = sm.fit(model, tokenizer, pairs)
    with steering.attach(model, target=1.0) as run:
        model.generate(**inputs)
    run.trace.plot()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steersman.errors import SteersmanError

if TYPE_CHECKING:
    from steersman.autoencoder_fitting import FittedAutoencoder, fit_autoencoder
    from steersman.batches import attach
    from steersman.bounding import TrackingBound, authority, bound
    from steersman.calibration import KL, Calibration, Effort, Perplexity, Score, calibrate
    from steersman.class_fitting import fit_classes
    from steersman.conditioning import fit_condition
    from steersman.control import LTVSystem
    from steersman.data import AlignedPairs, ContrastivePairs
    from steersman.engines import Run, Trace
    from steersman.evaluation import Evaluation, evaluate
    from steersman.evaluation.comparison import ComparisonReport, compare
    from steersman.exchange import export_vectors, import_vectors
    from steersman.faithful import Faithfulness, faithfulness
    from steersman.fitting import fit
    from steersman.gating import AllOf, AnyOf, Not, Resembles, SoftGate
    from steersman.identifying import identify
    from steersman.loading import load
    from steersman.local_linearity import LinearityReport, linearity
    from steersman.methods import (
        ALQR,
        METHODS,
        SPID,
        ActivationAddition,
        ALQRPlus,
        AngularSteering,
        Clamp,
        Counterfactual,
        FeatureLQR,
        ODESteer,
        OpenLoopLQR,
        PIDSteering,
        PIDSteeringOnce,
        ProportionalAddition,
        StepODESteer,
        Tracking,
    )
    from steersman.reproduction import Reproduction, reproduce
    from steersman.side_by_side import Together, together
    from steersman.soft_gating import fit_soft_gate
    from steersman.steering import Steering
    from steersman.tracking import track

__version__ = "0.1.0"

__all__ = [
    "ALQR",
    "KL",
    "METHODS",
    "SPID",
    "ALQRPlus",
    "ActivationAddition",
    "AlignedPairs",
    "AllOf",
    "AnyOf",
    "Calibration",
    "AngularSteering",
    "Clamp",
    "ComparisonReport",
    "ContrastivePairs",
    "Counterfactual",
    "Effort",
    "Evaluation",
    "Faithfulness",
    "FittedAutoencoder",
    "FeatureLQR",
    "LTVSystem",
    "LinearityReport",
    "Not",
    "Perplexity",
    "ODESteer",
    "OpenLoopLQR",
    "PIDSteering",
    "PIDSteeringOnce",
    "ProportionalAddition",
    "Reproduction",
    "Resembles",
    "Run",
    "Score",
    "SoftGate",
    "Steering",
    "StepODESteer",
    "SteersmanError",
    "Together",
    "Trace",
    "TrackingBound",
    "Tracking",
    "attach",
    "calibrate",
    "authority",
    "bound",
    "compare",
    "evaluate",
    "export_vectors",
    "faithfulness",
    "fit",
    "fit_autoencoder",
    "fit_condition",
    "fit_classes",
    "fit_soft_gate",
    "identify",
    "import_vectors",
    "linearity",
    "load",
    "reproduce",
    "together",
    "track",
]

# torch and transformers take seconds to import, so a name is fetched when it is first asked for.
_HOMES = {
    "autoencoder_fitting": ("FittedAutoencoder", "fit_autoencoder"),
    "calibration": ("KL", "Calibration", "Effort", "Perplexity", "Score", "calibrate"),
    "bounding": ("TrackingBound", "authority", "bound"),
    "conditioning": ("fit_condition",),
    "class_fitting": ("fit_classes",),
    "control": ("LTVSystem",),
    "data": ("AlignedPairs", "ContrastivePairs"),
    "engines": ("Run", "Trace"),
    "evaluation": ("Evaluation", "evaluate"),
    "evaluation.comparison": ("ComparisonReport", "compare"),
    "exchange": ("export_vectors", "import_vectors"),
    "faithful": ("Faithfulness", "faithfulness"),
    "fitting": ("fit",),
    "identifying": ("identify",),
    "gating": ("AllOf", "AnyOf", "Not", "Resembles", "SoftGate"),
    "loading": ("load",),
    "local_linearity": ("LinearityReport", "linearity"),
    "methods": (
        "ALQR",
        "METHODS",
        "SPID",
        "ALQRPlus",
        "ActivationAddition",
        "AngularSteering",
        "Clamp",
        "Counterfactual",
        "FeatureLQR",
        "ODESteer",
        "OpenLoopLQR",
        "PIDSteering",
        "PIDSteeringOnce",
        "ProportionalAddition",
        "StepODESteer",
        "Tracking",
    ),
    "reproduction": ("Reproduction", "reproduce"),
    "batches": ("attach",),
    "steering": ("Steering",),
    "side_by_side": ("Together", "together"),
    "soft_gating": ("fit_soft_gate",),
    "tracking": ("track",),
}
_PARTS = (
    *(home for home in _HOMES if "." not in home),
    "autoencoders",
    "compiling",
    "directions",
    "editing",
    "plant",
    "provenance",
    "store",
)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, or one of the package's parts."""
    if name in _HOME_OF:
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is here already, and what can be fetched."""
    return sorted({*globals(), *__all__, *_PARTS})
