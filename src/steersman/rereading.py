"""What a fit may ask the examples again: their states, bare or while something steers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods import Controller, Means, Method, Prompts, Sides
from steersman.plant import AllTokens, Positions, capture_states, special_ids
from steersman.provenance import Provenance
from steersman.reading import Examples
from steersman.steering import Steering


@dataclass(frozen=True, eq=False)
class Rereading:
    """Runs the examples again, the undesired ones while a schedule steers them.

        mean(x_t | desired),    mean(x_t | undesired, u_i at the output of every block i)

    The schedule is attached as the finished steering will be: at the same tokens, by the same
    engine. Nothing is run before it is asked for.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        examples: of each feature, and where they are read; of one that is steered alone, its own.
        features: what is steered.
        method: what is being fitted; it says which tokens are steered.
        provenance: where the steering comes from.
        batch_size: examples at a time.
        progress: show how far it is.
        known: states of the desired and the undesired examples as the model has them bare, where
            they have been read already; None reads them.
    """

    model: nn.Module
    tokenizer: Any
    examples: Mapping[str, Examples]
    features: Features
    method: Method
    provenance: Provenance
    batch_size: int = 16
    progress: bool = False
    known: Sides | None = None

    def __call__(self, inputs: Float[Tensor, "blocks n"] | None) -> Means:
        """The mean states of both sides, the undesired ones under these inputs.

        Raises:
            InputError: several features are steered, each by examples of its own.
            NumericalError: inputs or states that are not finite.
        """
        if inputs is None or not bool(inputs.any()):
            return self._bare
        schedule = Controller.schedule(inputs.to(self.features.contrast))
        steering = Steering(self.features, schedule, self.method, self.provenance)
        desired = self._bare.desired
        with steering.attach(self.model, 1.0, reference="relative", execution="plan", trace=False):
            return Means(desired, self._mean(1))

    def sides(self, controller: Controller) -> Sides:
        """The states of both sides, the undesired ones while the method's law acts at target 1.

        Args:
            controller: what the law is made of.

        Raises:
            InputError: several features are steered, each by examples of its own.
            NumericalError: states that are not finite.
        """
        steering = Steering(self.features, controller, self.method, self.provenance)
        desired = self._desired
        with steering.attach(self.model, 1.0, trace=False):
            return Sides(desired, self._states(1))

    def prompts(self) -> Prompts:
        """Whole examples of both sides: the means over their tokens, without special ones.

        Raises:
            InputError: several features are steered, each by examples of its own.
            NumericalError: states that are not finite.
        """
        desired, undesired = (self._states(side, AllTokens()) for side in (0, 1))
        return Prompts(Sides(desired, undesired), tuple(sorted(special_ids(self.tokenizer))))

    @cached_property
    def _desired(self) -> Float[Tensor, "examples states n"]:
        return self._states(0) if self.known is None else self.known.desired

    @cached_property
    def _bare(self) -> Means:
        if self.known is not None:
            return Means(*(side.mean(0, dtype=torch.float64) for side in self.known))
        return Means(self._mean(0), self._mean(1))

    def _mean(self, side: int) -> Float[Tensor, "states n"]:
        """Of the desired examples, 0, or the undesired ones, 1, as the model runs now."""
        return self._states(side).mean(0, dtype=torch.float64)

    def _states(
        self, side: int, positions: Positions | None = None
    ) -> Float[Tensor, "examples states n"]:
        """Of each example of a side, as the model runs now; read elsewhere where that is said."""
        if len(self.examples) > 1:
            raise InputError(f"there are {len(self.examples)} features to read; read one.")
        (one,) = self.examples.values()
        examples, openings = one.sides()[side]
        return capture_states(
            self.model,
            self.tokenizer,
            examples,
            positions or one.positions,
            batch_size=self.batch_size,
            prompts=openings,
            progress=self.progress,
        )
