"""What a method finds: the tensors of a steering law."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions import Features


@dataclass(frozen=True, eq=False)
class Controller:
    """The tensors of a steering law, and the schedules that its closed loop amounts to.

    The law is linear, so what several targets `tau` ask for adds up: the plan is `plan_t tau`, and
    the reference moves by `shifts_t tau`.

    Args:
        H: what is observed at each block's input, `(blocks, n, k)`.
        G: what is added at its output for each unit of error, `(blocks, n, k)`.
        plan: the inputs that moving one feature by its whole unit `v_t'c_t`, and no other, asks
            for on the averaged plant, `(blocks, n, features)`; they reach it at the output of the
            last block.
        shifts: how far one unit of a feature's relative target moves the reference of each observed
            number from its nominal value, `(blocks, k, features)`; the prefilter is in it.
        own: by name, what a law of another form is made of, of any shape; saved with the rest.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    plan: Float[Tensor, "blocks n features"]
    shifts: Float[Tensor, "blocks k features"]
    own: Mapping[str, Float[Tensor, "..."]] = field(default_factory=dict)

    @classmethod
    def schedule(cls, inputs: Float[Tensor, "blocks n"]) -> "Controller":
        """One that observes nothing, and adds `target inputs_t` at the output of each block."""
        G = inputs.unsqueeze(-1)
        return cls(torch.zeros_like(G), G, G, inputs.new_ones(len(inputs), 1, 1))

    @classmethod
    def of_own(
        cls, like: Float[Tensor, "blocks n"], own: Mapping[str, Float[Tensor, "..."]]
    ) -> "Controller":
        """One of another form: its law is made of `own`, and it has no plan.

        Args:
            like: any tensor of the plant's blocks and width.
            own: what the law is made of.
        """
        nothing = torch.zeros_like(like, dtype=torch.float32).unsqueeze(-1)
        none = nothing.new_zeros(len(like), 1, 1)
        return cls(nothing, nothing, nothing, none, dict(own))

    def observes(self, features: Features) -> bool:
        """Whether what is observed are the features `V_t' x_t` themselves."""
        H, V = self.H.cpu(), features.vectors[:-1].cpu()
        return H.shape == V.shape and H.dtype == V.dtype and torch.equal(H, V)

    @property
    def active(self) -> tuple[int, ...]:
        """The blocks at which anything is ever added."""
        acts = self.G.flatten(1).any(dim=1) | self.plan.flatten(1).any(dim=1)
        return tuple(acts.nonzero().flatten().tolist())
