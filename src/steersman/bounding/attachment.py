"""One steering attached in one way, and what a linear plant predicts of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.control import AffineLaw, ClosedLoop, LTVSystem, Plant, Relative, simulate
from steersman.engines import Run
from steersman.errors import InputError, MismatchError
from steersman.methods import ExecutionName
from steersman.plant import locate
from steersman.steering import Steering

TokensOfBound = Literal["last", "all"]


@dataclass(frozen=True, eq=False)
class Attachment:
    """A steering at one relative target, as a plan or with feedback, and the plant it is seen on.

        delta^lin_{t+1} = A_t delta^lin_t + u_t        delta^lin_0 = 0
        u_t = target plan_t     or     u_t = G_t (target shift_t - H_t' delta^lin_t)

    `delta` is the steered state less the unsteered one of the same token. The linear plant tells
    it before the model runs, for every prompt alike.

    Args:
        steering: what is attached.
        plant: the blocks as a linear plant.
        target: strength in natural units, not zero.
        execution: "plan" or "feedback"; None leaves it to the method.
        tokens: "last" from the prompt's last token on, or "all".

    Raises:
        InputError: a target of zero, a law that is not affine, or an unknown choice.
        MismatchError: the plant has other blocks or another width.
    """

    steering: Steering
    plant: Plant
    target: float = 1.0
    execution: ExecutionName | None = None
    tokens: TokensOfBound = "last"

    def __post_init__(self) -> None:
        """Check that all of it goes together."""
        made = self.steering.provenance
        _ = self.steering.direction  # a bound is of one feature
        if (self.plant.blocks, self.plant.n) != (made.blocks, made.n):
            raise MismatchError(
                f"the plant has {self.plant.blocks} blocks of width {self.plant.n}; the steering "
                f"is for {made.blocks} of width {made.n}. Identify the plant of the same model."
            )
        if not (self.target and torch.isfinite(torch.tensor(self.target))):
            raise InputError(f"target is {self.target}; a bound is of one that is not zero.")
        for name, allowed in (("execution", ("plan", "feedback", None)), ("tokens", _TOKENS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; choose one of {allowed}.")
        _ = self.law

    @property
    def planned(self) -> bool:
        """Whether it runs as a plan."""
        return (self.execution or self.steering.method.execution) == "plan"

    @cached_property
    def law(self) -> AffineLaw:
        """The law in float64; a plan is a law that observes nothing."""
        controller = self.steering.controller
        if self.planned:
            return AffineLaw.schedule(controller.plan.double(), controller.active)
        method = self.steering.method
        law, (reference, _) = method.law(controller), method.relative(self.target, controller)
        shifted = type(reference) is Relative  # by as much for every token
        if not isinstance(law, AffineLaw) or law.is_schedule or not shifted:
            raise InputError(
                f"the loop of {method.name} with feedback is not that of an affine "
                "law of the deviation, so its errors cannot be followed; use execution='plan'."
            )
        return AffineLaw(law.H.double(), law.G.double(), law.active)

    @cached_property
    def shifts(self) -> Float[Tensor, "blocks k"]:
        """How far the law wants what it observes to be from its nominal value."""
        if self.planned:
            return torch.full((self.law.blocks, 1), self.target, dtype=torch.float64)
        return self.target * self.steering.controller.shifts[..., 0].double()

    @cached_property
    def predicted(self) -> Float[Tensor, "states n"]:
        """`delta^lin_0 .. delta^lin_T`, float64."""
        return simulate(self.plant, self.law, self.shifts).states

    @cached_property
    def loop(self) -> Plant:
        """What an error of the prediction goes through, `Phi_t = A_t - G_t H_t'`, by products."""
        if self.law.is_schedule:
            return self.plant
        return ClosedLoop(self.plant, *self._acting())

    @cached_property
    def matrices(self) -> LTVSystem | None:
        """The same by its matrices, in float64; None where the plant has none."""
        if not isinstance(self.plant, LTVSystem):
            return None
        system = self.plant.to(torch.float64)
        return system if self.law.is_schedule else system.closed_loop(*self._acting())

    def inputs(self, delta: Float[Tensor, "rows states n"]) -> Float[Tensor, "rows blocks n"]:
        """What the law adds at every block where the deviations are `delta`."""
        rows = len(delta)
        given = []
        for block in range(self.law.blocks):
            wanted = self.shifts[block].expand(rows, -1)
            given.append(self.law.step(None, delta[:, block], wanted, block)[1])
        return torch.stack(given, dim=1)

    def attach(self, model: nn.Module, prompt_length: int | None = None) -> Run:
        """The steering attached this way, without a trace.

        Raises:
            MismatchError: the model is another one.
        """
        return self.steering.attach(
            model,
            self.target,
            tokens=self.tokens,
            reference="relative",
            execution="plan" if self.planned else "feedback",
            prompt_length=prompt_length,
            trace=False,
        )

    def require_model(self, model: nn.Module) -> None:
        """Refuse a model that the steering was not made for.

        Raises:
            MismatchError: it differs.
        """
        self.steering.provenance.require_model(model, locate(model))

    @property
    def vectors(self) -> Float[Tensor, "states n"]:
        """`v_0 .. v_T`, float64."""
        return self.steering.direction.vectors.double()

    @property
    def unit(self) -> Float[Tensor, " states"]:
        """One natural unit of the feature at each state, float64; NaN where it has none."""
        norm = self.steering.direction.norm.double()
        return norm.where(norm > 0, torch.nan)

    def _acting(self) -> tuple[Tensor, Tensor]:
        """`H` and `G`, zero at blocks where the law is not active."""
        acts = torch.tensor([self.law.is_active(t) for t in range(self.law.blocks)])
        G = self.law.G * acts[:, None, None]
        return self.law.H, G


_TOKENS = get_args(TokensOfBound)
