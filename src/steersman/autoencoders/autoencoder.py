"""Sparse autoencoders of a residual stream: frozen, and only used."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.autoencoders.encoder import NEEDED, Architecture, Encoder
from steersman.errors import InputError, NumericalError, ShapeError


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """A state as a sum of few of many features: `x ~ b_dec + W_dec' a`.

        z = W_enc' (x - b_dec)         or W_enc' x, where the decoder's bias is not taken off
        a = max(z + b_enc, 0)                                        standard
        a = (z + b_enc) where that is above threshold, else 0        jumprelu, threshold >= 0
        a = the k largest of z + b_enc, those above 0                topk
        a = max(exp(r_mag) z + b_mag, 0) where z + b_gate > 0        gated

    Args:
        architecture: which of the four.
        W_enc: `(n, features)`.
        W_dec: `(features, n)`: what each feature adds to the state.
        b_dec: `(n,)`.
        others: `b_enc`, `threshold`, `b_gate`, `b_mag`, `r_mag`, each `(features,)`, as the
            architecture needs them.
        k: how many features are kept; of topk.
        centred: whether `b_dec` is taken off the state first.
        state: the state it was trained on, `t` of `x_t`; None where that is not known.
        said: what the file says of itself.

    Raises:
        InputError: no such architecture, something that it needs is missing, or an impossible k.
        ShapeError: shapes that do not belong together.
        NumericalError: NaN or infinity.

    Source:
        Gated: arXiv 2404.16014; JumpReLU: arXiv 2407.14435; TopK: arXiv 2406.04093.
    """

    architecture: Architecture
    W_enc: Float[Tensor, "n features"]
    W_dec: Float[Tensor, "features n"]
    b_dec: Float[Tensor, " n"]
    others: Mapping[str, Float[Tensor, " features"]]
    k: int | None = None
    centred: bool = True
    state: int | None = None
    said: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Check the parts against each other."""
        if self.architecture not in get_args(Architecture):
            raise InputError(
                f"the architecture is {self.architecture!r}; known are "
                f"{', '.join(get_args(Architecture))}."
            )
        lacking = [name for name in NEEDED[self.architecture] if name not in self.others]
        if lacking:
            raise InputError(f"a {self.architecture} autoencoder needs {', '.join(lacking)}.")
        self._require_shapes()
        if self.architecture == "topk" and not 1 <= (self.k or 0) <= self.features:
            raise InputError(f"k is {self.k}; expected 1 to {self.features}.")

    @property
    def n(self) -> int:
        """Width of the residual stream."""
        return self.W_enc.shape[0]

    @property
    def features(self) -> int:
        """How many there are."""
        return self.W_enc.shape[1]

    @cached_property
    def encoder(self) -> Encoder:
        """What reads the features."""
        centre = self.b_dec if self.centred else torch.zeros_like(self.b_dec)
        return Encoder(self.architecture, self.W_enc, centre, self.others, self.k)

    def encode(self, x: Float[Tensor, "*rows n"]) -> Float[Tensor, "*rows features"]:
        """How strongly each feature is there, zero or above.

        Args:
            x: states.
        """
        return self.encoder(x)

    def decode(self, a: Float[Tensor, "*rows features"]) -> Float[Tensor, "*rows n"]:
        """The state that these features make up.

        Args:
            a: how strongly each is there.
        """
        return a.to(self.W_dec) @ self.W_dec + self.b_dec

    def _require_shapes(self) -> None:
        n, features = self.W_enc.shape
        expected = {"W_enc": (n, features), "W_dec": (features, n), "b_dec": (n,)}
        tensors = {name: getattr(self, name) for name in expected} | dict(self.others)
        for name, tensor in tensors.items():
            wanted = expected.get(name, (features,))
            if tuple(tensor.shape) != wanted:
                raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; expected {wanted}.")
            if not bool(tensor.isfinite().all()):
                raise NumericalError(f"{name} of the autoencoder has NaN or infinite values.")
