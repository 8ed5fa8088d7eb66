"""From a state to its features: the half of an autoencoder that a law has to run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Architecture = Literal["standard", "jumprelu", "topk", "gated"]

NEEDED: Mapping[str, tuple[str, ...]] = {
    "standard": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "topk": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
"""What each architecture needs beyond the weights and the decoder's bias."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """How strongly each feature is there.

        z = W_enc' (x - centre)
        a = max(z + b_enc, 0)                                        standard
        a = (z + b_enc) where that is above threshold, else 0        jumprelu, threshold >= 0
        a = the k largest of z + b_enc, those above 0                topk
        a = max(exp(r_mag) z + b_mag, 0) where z + b_gate > 0        gated

    Args:
        architecture: which of the four.
        W_enc: `(n, features)`.
        centre: what is taken off the state first, `(n,)`; zero where nothing is.
        others: `b_enc`, `threshold`, `b_gate`, `b_mag`, `r_mag`, each `(features,)`, as the
            architecture needs them.
        k: how many features there are at once; of topk.
        chosen: which of them are said, in this order; None is all. Only topk has to know the
            others.
    """

    architecture: Architecture
    W_enc: Float[Tensor, "n features"]
    centre: Float[Tensor, " n"]
    others: Mapping[str, Float[Tensor, " features"]]
    k: int | None = None
    chosen: Int[Tensor, " chosen"] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The precision it computes in."""
        return self.W_enc.dtype

    def __call__(self, x: Float[Tensor, "*rows n"]) -> Float[Tensor, "*rows said"]:
        """How strongly each feature is there, zero or above.

        Args:
            x: states.
        """
        z = (x.to(self.W_enc) - self.centre) @ self.W_enc
        a = _ENCODE[self.architecture](self, z)
        return a if self.chosen is None else a[..., self.chosen]

    def only(self, chosen: Sequence[int]) -> "Encoder":
        """One that says some features alone, exactly as this one does.

        Where a feature does not depend on the others, theirs are left out; in topk it does, and
        everything is kept.

        Args:
            chosen: their numbers.
        """
        numbers = torch.tensor(list(chosen), device=self.W_enc.device)
        if self.architecture == "topk":
            return replace(self, chosen=numbers)
        others = {name: tensor[numbers] for name, tensor in self.others.items()}
        return replace(self, W_enc=self.W_enc[:, numbers], others=others)

    def to(self, where: torch.device | str | torch.dtype) -> "Encoder":
        """The same on another device, or in another precision."""
        moved = {name: tensor.to(where) for name, tensor in self.others.items()}
        chosen = self.chosen if isinstance(where, torch.dtype) else _moved(self.chosen, where)
        W, centre = self.W_enc.to(where), self.centre.to(where)
        return replace(self, W_enc=W, centre=centre, others=moved, chosen=chosen)

    def tensors(self) -> dict[str, Float[Tensor, "..."]]:
        """Everything that it is made of, by name, as numbers."""
        found = {"W_enc": self.W_enc, "centre": self.centre, **self.others}
        if self.k is not None:
            found["k"] = torch.tensor(float(self.k))
        if self.chosen is not None:
            found["chosen"] = self.chosen.float()
        return found

    @classmethod
    def of(cls, tensors: Mapping[str, Float[Tensor, "..."]]) -> "Encoder":
        """The encoder that is made of these.

        Args:
            tensors: as `tensors` gave them; there may be others among them.
        """
        architecture = _architecture(tensors)
        others = {name: tensors[name] for name in NEEDED[architecture]}
        k, chosen = tensors.get("k"), tensors.get("chosen")
        return cls(
            architecture,
            *(tensors["W_enc"], tensors["centre"], others),
            k=None if k is None else int(k),
            chosen=None if chosen is None else chosen.long(),
        )


def _moved(tensor: Tensor | None, device: torch.device | str) -> Tensor | None:
    return None if tensor is None else tensor.to(device)


def _architecture(tensors: Mapping[str, Tensor]) -> Architecture:
    if "threshold" in tensors:
        return "jumprelu"
    if "r_mag" in tensors:
        return "gated"
    return "topk" if "k" in tensors else "standard"


def _standard(one: Encoder, z: Tensor) -> Tensor:
    return (z + one.others["b_enc"]).relu()


def _jumprelu(one: Encoder, z: Tensor) -> Tensor:
    z = z + one.others["b_enc"]
    return torch.where(z > one.others["threshold"], z.relu(), torch.zeros_like(z))


def _topk(one: Encoder, z: Tensor) -> Tensor:
    largest = (z + one.others["b_enc"]).topk(int(one.k or 0), dim=-1)
    return torch.zeros_like(z).scatter(-1, largest.indices, largest.values.relu())


def _gated(one: Encoder, z: Tensor) -> Tensor:
    size = (z * one.others["r_mag"].exp() + one.others["b_mag"]).relu()
    return torch.where(z + one.others["b_gate"] > 0, size, torch.zeros_like(size))


_ENCODE: Mapping[str, Callable[[Encoder, Tensor], Tensor]] = {
    "standard": _standard,
    "jumprelu": _jumprelu,
    "topk": _topk,
    "gated": _gated,
}
