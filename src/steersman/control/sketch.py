"""The count sketch of a polynomial kernel, and the barrier that is linear in it."""

from dataclasses import dataclass, replace
from functools import cached_property, reduce

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.fft import irfft, rfft

from steersman.control.barrier import UnitBarrier
from steersman.control.checks import require_real, require_shape
from steersman.control.quadratic import QuadraticBarrier
from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class Sketch:
    """Few features whose products stand in for a polynomial kernel's.

        c_i(x)[m] = sum of factors_ik z_k over all k with places_ik = m,     z = (x, 1)
        phi(x) = c_1(x) * ... * c_p(x)                          circular convolution, by FFT
        E phi(x)'phi(y) = (gamma x'y + coef0)^p                 over places and signs

    A factor is a random sign times `sqrt(gamma)`, or `sqrt(coef0)` for the one that is appended.

    Args:
        places: which feature each coordinate goes to, `(degree, n + 1)`.
        factors: what it is multiplied by, `(degree, n + 1)`, float32 or float64.
        components: how many features there are.

    Raises:
        ShapeError: `places` and `factors` differ in shape.
        InputError: half precision, or a place that is none.

    Source:
        Pham and Pagh, Fast and Scalable Polynomial Kernels via Explicit Feature Maps (KDD 2013).
    """

    places: Int[Tensor, "degree coordinates"]
    factors: Float[Tensor, "degree coordinates"]
    components: int

    def __post_init__(self) -> None:
        """Check the tensors."""
        degree, n = self.places.shape
        require_shape("factors", self.factors, ("degree", degree), ("n + 1", n))
        require_real("factors", self.factors)
        if not 0 <= int(self.places.min()) <= int(self.places.max()) < self.components:
            raise InputError(f"places have to be from 0 to below {self.components}, as components.")

    @classmethod
    def drawn(
        cls, n: int, degree: int, components: int, gamma: float, coef0: float, seed: int
    ) -> "Sketch":
        """Random places and signs, float64.

        Args:
            n: width of the state.
            degree: of the polynomial.
            components: how many features.
            gamma: above zero.
            coef0: at least zero.
            seed: decides them.

        Raises:
            InputError: a number that cannot be.
        """
        for name, number, least in (("degree", degree, 1), ("components", components, 1)):
            if number < least:
                raise InputError(f"{name} is {number}; it must be at least {least}.")
        if not gamma > 0 or not coef0 >= 0:
            raise InputError(f"gamma is {gamma} and coef0 {coef0}; above zero and at least zero.")
        drawing = torch.Generator().manual_seed(seed)
        shape = (degree, n + 1)
        places = torch.randint(components, shape, generator=drawing)
        factors = 2.0 * torch.randint(2, shape, generator=drawing).double() - 1
        factors[:, :-1] *= gamma**0.5
        factors[:, -1] *= coef0**0.5
        return cls(places, factors, components)

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.places.shape[1] - 1

    @property
    def degree(self) -> int:
        """Of the polynomial."""
        return len(self.places)

    def to(self, target: torch.device | str | torch.dtype) -> "Sketch":
        """The same on another device or in another precision; places stay whole numbers."""
        factors = self.factors.to(target)
        return replace(self, places=self.places.to(factors.device), factors=factors)

    def __call__(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows components"]:
        """`phi(x)` of each row."""
        features: Tensor = irfft(reduce(torch.mul, self._spectra(x)), n=self.components)
        return features

    def pulled_back(
        self, x: Float[Tensor, "rows n"], spectrum: Complex[Tensor, " frequencies"]
    ) -> Float[Tensor, "rows n"]:
        """`(d phi / d x)' w` of each row: one correlation with all but one sketch for each of them.

        Args:
            x: where.
            spectrum: `rfft(w)`, of weights for the features.
        """
        spectra = self._spectra(x)
        found = torch.zeros_like(x)
        for i, (places, factors) in enumerate(zip(self.places, self.factors, strict=True)):
            others = (one for j, one in enumerate(spectra) if j != i)
            along = irfft(reduce(lambda w, F: w * F.conj(), others, spectrum), n=self.components)
            # A weight for each feature that this sketch's coordinates went to, and none of theirs.
            found = found + along[..., places[:-1]] * factors[:-1]
        return found

    def _spectra(self, x: Float[Tensor, "rows n"]) -> list[Complex[Tensor, "rows frequencies"]]:
        z = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        nothing = x.new_zeros(len(x), self.components)
        counts = [
            nothing.index_add(1, places, z * factors)
            for places, factors in zip(self.places, self.factors, strict=True)
        ]
        return list(rfft(torch.stack(counts)))


@dataclass(frozen=True, eq=False)
class SketchBarrier(UnitBarrier):
    """`g(a) = w'phi(a) + b` of the unit-norm state: a classifier of polynomials, for any width.

    Args:
        sketch: `phi`.
        w: a weight for each feature, `(components,)`, in the precision of the sketch.
        b: the constant, a tensor of no axes.

    Raises:
        ShapeError: the shapes do not belong together.
        InputError: half precision.
        NumericalError: NaN or infinity.

    Source:
        ODESteer (arXiv 2602.17560).
    """

    sketch: Sketch
    w: Float[Tensor, " components"]
    b: Float[Tensor, ""]

    def __post_init__(self) -> None:
        """Check the tensors."""
        require_shape("w", self.w, ("components", self.sketch.components))
        require_shape("b", self.b)
        require_real("w", self.w)
        require_real("b", self.b)

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.sketch.n

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the tensors."""
        return self.w.dtype

    @cached_property
    def _spectrum(self) -> Complex[Tensor, " frequencies"]:
        spectrum: Tensor = rfft(self.w)
        return spectrum

    def to(self, target: torch.device | str | torch.dtype) -> "SketchBarrier":
        """The same on another device or in another precision."""
        return SketchBarrier(self.sketch.to(target), self.w.to(target), self.b.to(target))

    def score(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`w'phi(a) + b`."""
        return self.sketch(a) @ self.w + self.b

    def slope(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`(d phi / d a)' w`."""
        return self.sketch.pulled_back(a, self._spectrum)

    def multiplied_out(self) -> QuadraticBarrier:
        """The same numbers at degree 2 from `n x n` weights, which is faster where `n` is small.

            w'phi(z) = sum_kl z_k z_l f_1k f_2l w[(p_1k + p_2l) mod components],    z = (a, 1)

        Raises:
            InputError: another degree.
        """
        if self.sketch.degree != 2:
            raise InputError(f"degree is {self.sketch.degree}; only degree 2 is a quadratic form.")
        (p, q), (f, g) = self.sketch.places, self.sketch.factors
        Q = torch.outer(f, g) * self.w[(p.unsqueeze(1) + q) % self.sketch.components]
        Q = (Q + Q.mT) / 2
        return QuadraticBarrier(Q[:-1, :-1].contiguous(), 2 * Q[:-1, -1], self.b + Q[-1, -1])
