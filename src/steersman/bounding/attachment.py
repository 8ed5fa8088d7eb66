"""One steering attached in one way, and what a linear plant predicts of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.control import AffineLaw, ClosedLoop, LTVSystem, Plant, Relative, simulate
from steersman.control.checks import require_shape
from steersman.directions import Direction, listed
from steersman.engines import Run
from steersman.errors import InputError, MismatchError
from steersman.methods import ExecutionName
from steersman.plant import locate
from steersman.request import Request
from steersman.steering import Steering

TokensOfBound = Literal["last", "all"]


@dataclass(frozen=True, eq=False)
class Attachment:
    """A steering at one relative target, as a plan or with feedback, and the plant it is seen on.

        delta^lin_{t+1} = A_t delta^lin_t + u_t        delta^lin_0 = 0
        u_t = target plan_t     or     u_t = G_t (target shift_t - H_t' delta^lin_t)

    `delta` is the steered state less the unsteered one of the same token. The linear plant tells
    it before the model runs, for every prompt alike. Of several features one is looked at, while
    each has its own target.

    Args:
        steering: what is attached.
        plant: the blocks as a linear plant; None where what it tells is given.
        target: strength in natural units, not zero; of several features by name.
        execution: "plan" or "feedback"; None leaves it to the method.
        tokens: "last" from the prompt's last token on, or "all".
        feature: which of several features is looked at.
        foretold: `delta^lin` where there is no plant any more, `(states, n)`.

    Raises:
        InputError: no target but zeros, a law that is not affine, several features and none named,
            or an unknown choice.
        MismatchError: the plant has other blocks or another width.
        ShapeError: `foretold` has.
    """

    steering: Steering
    plant: Plant | None
    target: float | Mapping[str, float] = 1.0
    execution: ExecutionName | None = None
    tokens: TokensOfBound = "last"
    feature: str | None = None
    foretold: Float[Tensor, "states n"] | None = None

    def __post_init__(self) -> None:
        """Check that all of it goes together."""
        made, plant = self.steering.provenance, self.plant
        if plant is not None and (plant.blocks, plant.n) != (made.blocks, made.n):
            raise MismatchError(
                f"the plant has {plant.blocks} blocks of width {plant.n}; the steering "
                f"is for {made.blocks} of width {made.n}. Identify the plant of the same model."
            )
        if self.foretold is not None:
            require_shape("foretold", self.foretold, ("states", made.blocks + 1), ("n", made.n))
        _ = self.direction
        each = self.target.values() if isinstance(self.target, Mapping) else [self.target]
        if not all(map(isfinite, each)) or not any(each):
            raise InputError(f"target is {self.target}; a bound is of one that is not zero.")
        for name, allowed in (("execution", ("plan", "feedback", None)), ("tokens", _TOKENS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; choose one of {allowed}.")
        if self.steering.gate.condition is not None:
            raise InputError(
                "a bound is of a steering that acts on every prompt, and this one has a condition: "
                "bound steering.when(None), and give prompts that meet the condition."
            )
        if self.steering.gate.soft is not None:
            raise InputError(
                "a bound is of a linear law, and this steering has a soft gate: bound "
                "steering.softly(None)."
            )
        _ = self.law, self.targets

    @cached_property
    def name(self) -> str:
        """What the feature that is looked at is called.

        Raises:
            InputError: there are several and none was named, or none of that name.
        """
        names = self.steering.features.names
        if self.feature is None and len(names) > 1:
            raise InputError(
                f"a bound is of one feature, and this steering has {listed(names)}: name it, as in "
                f"feature={names[0]!r}, and bound the others likewise."
            )
        found = names[0] if self.feature is None else self.feature
        _ = self.steering.features.only(found)
        return found

    @property
    def direction(self) -> Direction:
        """The direction of that feature."""
        return self.steering.features.directions[self.name]

    @cached_property
    def targets(self) -> Float[Tensor, " features"]:
        """The target of every feature, in their order; one that is not named is held put.

        Raises:
            InputError: a plain number for several features, or a name that there is not.
        """
        return Request.of(self.target).targets(self.steering.features.names)[0]

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
        law, (reference, _) = method.law(controller), method.relative(1.0, controller)
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
            return self.targets.expand(self.law.blocks, -1)
        return self.steering.controller.shifts.double() @ self.targets

    @cached_property
    def predicted(self) -> Float[Tensor, "states n"]:
        """`delta^lin_0 .. delta^lin_T`, float64.

        Raises:
            InputError: neither a plant nor what it tells is known.
        """
        if self.foretold is not None:
            return self.foretold.double()
        return simulate(self.require_plant(), self.law, self.shifts).states

    def require_plant(self) -> Plant:
        """The plant.

        Raises:
            InputError: there is none any more.
        """
        if self.plant is None:
            raise InputError("the linear plant is not known any more: identify it again.")
        return self.plant

    @cached_property
    def loop(self) -> Plant:
        """What an error of the prediction goes through, `Phi_t = A_t - G_t H_t'`, by products."""
        plant = self.require_plant()
        return plant if self.law.is_schedule else ClosedLoop(plant, *self._acting())

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
    def asked(self) -> float:
        """The largest target of any feature, by its size."""
        return float(self.targets.abs().max())

    @property
    def own(self) -> int | None:
        """Which number that the law observes is the feature itself; None where none is."""
        controller, features = self.steering.controller, self.steering.features
        return features.names.index(self.name) if controller.observes(features) else None

    @property
    def vectors(self) -> Float[Tensor, "states n"]:
        """`v_0 .. v_T`, float64."""
        return self.direction.vectors.double()

    @property
    def unit(self) -> Float[Tensor, " states"]:
        """One natural unit of the feature at each state, float64; NaN where it has none."""
        norm = self.direction.norm.double()
        return norm.where(norm > 0, torch.nan)

    @property
    def scaled(self) -> Float[Tensor, "states n"]:
        """`v_t` over its unit: what reads the feature in natural units; zero where it has none."""
        return self.vectors / self.unit.nan_to_num(nan=1.0)[:, None]

    def _acting(self) -> tuple[Tensor, Tensor]:
        """`H` and `G`, zero at blocks where the law is not active."""
        acts = torch.tensor([self.law.is_active(t) for t in range(self.law.blocks)])
        G = self.law.G * acts[:, None, None]
        return self.law.H, G


_TOKENS = get_args(TokensOfBound)
