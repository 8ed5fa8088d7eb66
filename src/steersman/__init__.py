"""Steer language models in closed loop with optimal control.

A transformer's depth is read as time, its blocks as a linear time-varying plant, and a semantic
feature is brought to a setpoint by LQR feedback while the model generates:

    import steersman as sm

    pairs = sm.ContrastivePairs(desired=[...], undesired=[...])
    steering = sm.fit(model, tokenizer, pairs)
    with steering.attach(model, target=1.0) as run:
        model.generate(**inputs)
    run.trace.plot()
"""

from steersman.control import LTVSystem
from steersman.data import ContrastivePairs
from steersman.engines import Run, Trace
from steersman.errors import SteersmanError
from steersman.fitting import fit, identify
from steersman.methods import ALQR, METHODS, ActivationAddition, ALQRPlus
from steersman.steering import Steering, attach

__version__ = "0.1.0"

__all__ = [
    "ALQR",
    "METHODS",
    "ALQRPlus",
    "ActivationAddition",
    "ContrastivePairs",
    "LTVSystem",
    "Run",
    "Steering",
    "SteersmanError",
    "Trace",
    "attach",
    "fit",
    "identify",
]
