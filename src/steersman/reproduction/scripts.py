"""Settings in the scripts that came with the A-LQR paper, by model; ours where it had none."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from steersman.methods import ALQR, SPID
from steersman.reproduction.published import is_model

Task = Literal["toxicity", "truthfulness", "refusal", "concepts"]
SOURCE = "the scripts released with arXiv 2604.19018"


@dataclass(frozen=True)
class Regulator:
    """A-LQR in its paper's form: `s_t = lambda |c_t|`, absolute, at every generated token.

    Args:
        lambdas: strengths.
        q: weight of the error at each block input.
        r: weight of the input.
        qf: weight of the error after the last block.
    """

    lambdas: tuple[float, ...]
    q: float = ALQR.q
    r: float = ALQR.r
    qf: float = ALQR.qf


@dataclass(frozen=True)
class Gains:
    """S-PID in its paper's form.

    Args:
        lambdas: strengths.
        kp: gain of the error.
        ki: gain of its sum.
        kd: gain of its difference.
    """

    lambdas: tuple[float, ...]
    kp: float = SPID.kp
    ki: float = SPID.ki
    kd: float = SPID.kd


@dataclass(frozen=True)
class Flow:
    """ODESteer as a baseline of the paper.

    Args:
        block: where it acts.
        length: of the path, in the units of the state.
    """

    block: int
    length: float


@dataclass(frozen=True)
class Settings:
    """What one task is run with.

    Args:
        regulator: of A-LQR.
        gains: of S-PID.
        known: whether these are the paper's for this model and task.
        flow: of ODESteer; None where the paper has none.
    """

    regulator: Regulator
    gains: Gains
    known: bool
    flow: Flow | None = None

    def told(self, asked: bool) -> str:
        """Where the strengths are from.

        Args:
            asked: whether they were asked for.
        """
        if asked:
            return "The strengths of the paper's forms were asked for."
        if self.known:
            return f"Weights, gains and strengths of the paper's forms are those of {SOURCE}."
        return (
            "The paper has not this model: its forms have the library's weights and gains, and "
            "strengths that nobody chose by looking at scores."
        )


_TOXICITY: Mapping[str, tuple[Regulator, Gains]] = {
    # The published row is said to be of this one; the scripts have other weights and strengths.
    "Gemma-2-2B": (Regulator((3.5,), 0.1, 1.0, 0.1), Gains((0.5, 1.0), 0.7, 0.01, 0.1)),
    "Llama-3-8B": (Regulator((2.0, 2.5), 0.1, 10.0, 10.0), Gains((0.5, 1.0, 1.5), 0.1, 0.1, 0.0)),
    "Gemma-2-9B": (Regulator((2.0,), 0.1, 1.0, 0.1), Gains((0.5, 1.0), 0.7, 0.05, 0.0)),
    "Qwen2.5-14B": (Regulator((2.0, 2.5), 1.0, 1.0, 1.0), Gains((0.5, 1.0), 0.5, 0.01, 0.01)),
    "Qwen2.5-3B": (Regulator((3.0,), 0.1, 10.0, 1.0), Gains((0.5, 1.0), 0.3, 0.1, 0.0)),
    "Llama-3.2-1B": (Regulator((2.0, 2.5, 3.5), 0.1, 1.0, 1.0), Gains((1.0,), 0.5, 0.5, 0.1)),
    "Qwen2.5-32B": (Regulator((2.0, 2.5, 3.5), 1.0, 5.0, 0.1), Gains((1.0, 1.5), 0.7, 0.1, 0.0)),
}
_TRUTH: Mapping[str, tuple[Regulator, tuple[float, ...]]] = {
    "Gemma-2-2B": (Regulator((3.0,), 0.1, 1.0, 0.3), (0.5, 1.0, 1.5)),
    "Llama-3-8B": (Regulator((2.0, 2.5, 3.5), 0.1, 10.0, 10.0), (0.5, 1.0, 1.5)),
    "Gemma-2-9B": (Regulator((2.0, 2.5, 3.5), 0.1, 1.0, 0.1), (0.5, 1.0, 1.5)),
    "Qwen2.5-14B": (Regulator((3.0, 3.5), 0.1, 1.0, 0.3), (2.0,)),
    "Qwen2.5-3B": (Regulator((3.0, 3.5), 0.1, 1.0, 0.3), (0.5, 1.0, 1.5)),
    "Llama-3.2-1B": (Regulator((2.0, 2.5, 3.5), 0.1, 1.0, 1.0), (0.5, 1.0, 1.5)),
    "Qwen2.5-32B": (Regulator((2.0, 2.5, 3.5), 1.0, 5.0, 0.1), (1.5,)),
}
_FLOWS: Mapping[str, Flow] = {
    "Gemma-2-2B": Flow(15, 50.0),
    "Llama-3-8B": Flow(19, 25.0),
    "Gemma-2-9B": Flow(22, 100.0),
    "Qwen2.5-14B": Flow(24, 65.0),
    "Qwen2.5-3B": Flow(19, 25.0),
    "Llama-3.2-1B": Flow(9, 2.0),
}
"""The last ones that the scripts tried; whether for toxicity or truth alone is not known."""
_OURS = Settings(Regulator((1.0, 2.0)), Gains((1.0,)), known=False)
"""For a model that the paper has not: the library's weights and gains, at two strengths."""


def settings_of(task: Task, model: str, lambdas: tuple[float, ...] | None = None) -> Settings:
    """What the scripts run a task with on a model.

    Args:
        task: which task.
        model: the model's name.
        lambdas: strengths that were asked for in place of all others.
    """
    found = replace(_of_scripts(task, model), flow=_flow(model))
    if lambdas is None:
        return found
    weights = found.regulator
    return Settings(
        Regulator(lambdas, weights.q, weights.r, weights.qf),
        Gains(lambdas, found.gains.kp, found.gains.ki, found.gains.kd),
        known=False,
        flow=found.flow,
    )


def _of_scripts(task: Task, model: str) -> Settings:
    if task == "refusal":  # the same for all models; of several gains the largest
        return Settings(Regulator((1.0,), 0.2, 7.0, 0.2), Gains((1.0,), 0.1, 0.025, 0.025), True)
    if task == "concepts":
        return Settings(Regulator((1.5,), 0.1, 1.0, 0.1), Gains((1.5,)), True)
    for name, (regulator, gains) in _TOXICITY.items():
        if is_model(model, name):
            if task == "toxicity":
                return Settings(regulator, gains, True)
            weights, lambdas = _TRUTH[name]
            return Settings(weights, Gains(lambdas, gains.kp, gains.ki, gains.kd), True)
    return _OURS


def _flow(model: str) -> Flow | None:
    return next((flow for name, flow in _FLOWS.items() if is_model(model, name)), None)
