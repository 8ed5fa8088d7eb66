"""What is compared: methods by the paper's names, each attached in one way."""

from dataclasses import dataclass
from typing import Any

from steersman.methods import (
    ALQR,
    SPID,
    ActivationAddition,
    ALQRPlus,
    Method,
    ODESteer,
    PIDSteering,
)
from steersman.reproduction.scripts import Settings
from steersman.request import Strength

ALQR_NAME, PLUS_NAME, SPID_NAME = "A-LQR", "A-LQR+", "S-PID"
ACTADD_NAME, PID_NAME, ODESTEER_NAME = "ActAdd", "PID-AcT", "ODESteer"
MISSING = ("ITI", "Mean-AcT", "Linear-AcT")
"""Baselines of the paper that this library does not have."""


@dataclass(frozen=True)
class Way:
    """A method, and how it is attached.

    Args:
        label: for people.
        method: with its settings.
        published: the paper's name of what this is; "" where it is ours.
        target: strength in natural units, of several features by name; None with `lambda_`.
        lambda_: strength as the paper has it.
    """

    label: str
    method: Method
    published: str = ""
    target: Strength | None = None
    lambda_: Strength | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        settings = self.method.hyperparameters()
        asked = {"target": self.target, "lambda": self.lambda_}
        return {"label": self.label, "method": self.method.name, **settings, **asked}


def compared(settings: Settings, pid: str = PID_NAME) -> tuple[Way, ...]:
    """The baselines that there are, A-LQR as the paper has it, and as this library runs it.

    Args:
        settings: weights, gains and strengths.
        pid: what the paper calls PID steering in this table.
    """
    return (
        Way("activation addition, best block", ActivationAddition(), ACTADD_NAME, 1.0),
        Way("PID steering", PIDSteering(), pid, 1.0),
        odesteer(settings),
        *spid(settings),
        *paper_form(settings),
        default(),
    )


def odesteer(settings: Settings) -> Way:
    """ODESteer where and as far as the settings say; by our own unit where they say nothing."""
    flow = settings.flow
    if flow is None:
        return Way("ODESteer, target 1", ODESteer(), ODESTEER_NAME, 1.0)
    method = ODESteer(block=flow.block, unit="state")
    return Way(f"ODESteer, T = {flow.length:g}", method, ODESTEER_NAME, flow.length)


def default(target: float = 1.0) -> Way:
    """A-LQR as this library runs it by default: a plan, relative to the token's own feature.

    Args:
        target: strength in natural units.
    """
    return Way(f"A-LQR, relative plan, target {target:g}", ALQR(), "", target)


def paper_form(settings: Settings) -> tuple[Way, ...]:
    """A-LQR with an absolute setpoint, at every strength of the settings."""
    one = settings.regulator
    method = ALQR(one.q, one.r, one.qf)
    return tuple(Way(_form("A-LQR", x), method, ALQR_NAME, lambda_=x) for x in one.lambdas)


def plus(settings: Settings) -> tuple[Way, ...]:
    """A-LQR+, the same at every token of the prompt too."""
    one = settings.regulator
    method = ALQRPlus(one.q, one.r, one.qf)
    return tuple(Way(_form("A-LQR+", x), method, PLUS_NAME, lambda_=x) for x in one.lambdas)


def spid(settings: Settings) -> tuple[Way, ...]:
    """S-PID with an absolute setpoint, at every strength of the settings."""
    one = settings.gains
    method = SPID(one.kp, one.ki, one.kd)
    return tuple(Way(_form("S-PID", x), method, SPID_NAME, lambda_=x) for x in one.lambdas)


def _form(name: str, strength: float) -> str:
    return f"{name}, paper's form, λ = {strength:g}"
