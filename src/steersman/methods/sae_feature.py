"""One feature of a sparse autoencoder: its direction added, or its value set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.autoencoders import SparseAutoencoder
from steersman.control import FeatureClamp
from steersman.diagnostics import Diagnostic
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.amount import Amount
from steersman.methods.base import Settled
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.sparse import SparseMethod, kept, parts, require_features
from steersman.methods.trained import placed

LISTED = 8
"""How many features the table of those that differ most lists."""


@dataclass(frozen=True)
class SAEFeature(SparseMethod):
    """`y <- y + target alpha d`, `d = W_dec[i] / |W_dec[i]|`, for one feature `i`.

    Nothing is encoded and decoded again, so that what the autoencoder does not explain stays as it
    is. A negative `alpha` suppresses.

    Args:
        autoencoder: as in `SparseMethod`, and so is `block`.
        block: see there.
        feature: its number; -1 takes the one whose mean activation differs most between desired and
            undesired examples, at the tokens at which they are read.
        alpha: the length of what target 1 adds, in the units of the state. None is as far as the
            two sides are apart on the feature, `(mean f | desired - mean f | undesired)` times
            `|W_dec[i]|`, whose sign points from the undesired ones to the desired ones.

    Source:
        Qwen-Scope (arXiv 2605.11887), as second-hand accounts have it: its strengths, layers and
        tokens are not known to us, and both defaults are ours.
    """

    name: ClassVar[str] = "sae-feature"
    about: ClassVar[About] = About(
        paper="Qwen-Scope, arXiv 2605.11887",
        direction="a feature's decoder row",
        setpoint="offset",
        controller="none",
        verified="the row added by a hook; moves the wind tunnel",
        site="block output",
    )

    feature: int = -1
    alpha: float | None = None

    def settled(self, evidence: Evidence) -> Settled:
        """With the feature and the length, and the table of features that differ most.

        Raises:
            InputError: a feature that does not exist, or on which the examples do not differ.
        """
        if self.feature >= 0 and self.alpha is not None:
            return Settled(self)
        found = _Contrast.of(self, evidence)
        feature = found.chosen(self.feature)
        apart = float(found.apart[feature]) * float(found.sae.W_dec[feature].norm())
        if self.alpha is None and apart == 0:
            raise InputError(
                f"feature {feature} is as active on desired examples as on undesired ones, so that "
                "there is no length to add: give alpha=."
            )
        alpha = apart if self.alpha is None else self.alpha
        return Settled(replace(self, feature=feature, alpha=alpha), (found.table(feature),))

    def solve(self, evidence: Evidence) -> Controller:
        """The row, as a schedule.

        Raises:
            InputError: as in `settled`, or no autoencoder that fits the model.
            ArtifactError: its files cannot be read.
        """
        if self.feature == -1 or self.alpha is None:
            return self.settled(evidence).solved(evidence)
        sae, block = self.opened(evidence)
        require_features([self.feature], sae)
        row = sae.W_dec[self.feature]
        if not bool(row.any()):
            raise InputError(f"the decoder row of feature {self.feature} is zero: choose another.")
        added = self.alpha * row / row.norm()
        return Controller.schedule(placed(added, block, evidence.direction.blocks))


@dataclass(frozen=True)
class SAEClamp(SparseMethod, Amount):
    """`y <- y + target (c - f_i(y)) W_dec[i]`: what of the state is feature `i`, set to `c`.

    Target 1 is the clamp, 0 the bare model, and between them it is brought so much of the way.
    Whatever else the autoencoder sees in the state, and what it does not explain, stays as it is.
    The encoder reads `c` there afterwards as far as it is linear and reads its own row as 1.

    Args:
        autoencoder: as in `SparseMethod`, and so is `block`.
        block: see there.
        feature: as in `SAEFeature`.
        value: `c`; None is the mean activation on the desired examples.

    Source:
        Qwen-Scope (arXiv 2605.11887) and common practice with sparse autoencoders; the default of
        `value` is ours.
    """

    name: ClassVar[str] = "sae-clamp"
    about: ClassVar[About] = About(
        paper="clamped features; Qwen-Scope, arXiv 2605.11887",
        direction="a feature's decoder row",
        setpoint="value of the feature",
        controller="exact where the encoder is linear",
        verified="closed form; moves the wind tunnel",
        site="block output",
    )

    feature: int = -1
    value: float | None = None

    def settled(self, evidence: Evidence) -> Settled:
        """With the feature and its value, and the table of features that differ most.

        Raises:
            InputError: a feature that does not exist.
        """
        if self.feature >= 0 and self.value is not None:
            return Settled(self)
        found = _Contrast.of(self, evidence)
        feature = found.chosen(self.feature)
        value = float(found.desired[feature]) if self.value is None else self.value
        return Settled(replace(self, feature=feature, value=value), (found.table(feature),))

    def solve(self, evidence: Evidence) -> Controller:
        """The encoder of the feature, its row and its value.

        Raises:
            InputError: as in `settled`, or no autoencoder that fits the model.
            ArtifactError: its files cannot be read.
        """
        if self.feature == -1 or self.value is None:
            return self.settled(evidence).solved(evidence)
        sae, block = self.opened(evidence)
        values = torch.tensor([self.value])
        own = kept(sae, (self.feature,), values, block)
        return Controller.of_own(evidence.direction.contrast[:-1], own)

    def law(self, controller: Controller) -> FeatureClamp:
        """The clamp."""
        return FeatureClamp(*parts(controller))


class _Contrast(NamedTuple):
    """The mean activations of both sides."""

    sae: SparseAutoencoder
    block: int
    desired: Float[Tensor, " features"]
    undesired: Float[Tensor, " features"]

    @classmethod
    def of(cls, method: SparseMethod, evidence: Evidence) -> "_Contrast":
        sae, block = method.opened(evidence)
        return cls(sae, block, *method.sides(evidence, sae, block))

    @property
    def apart(self) -> Float[Tensor, " features"]:
        return self.desired - self.undesired

    def chosen(self, feature: int) -> int:
        """The feature that was asked for; for -1 the one that differs most."""
        if feature == -1:
            return int(self.apart.abs().argmax())
        require_features([feature], self.sae)
        return feature

    def table(self, feature: int) -> Diagnostic:
        most = self.apart.abs().argsort(descending=True)[:LISTED].tolist()
        listed = most if feature in most else [feature, *most]
        columns: Mapping[str, Tensor] = {"desired": self.desired, "undesired": self.undesired}
        rows = tuple((i, *(float(side[i]) for side in columns.values())) for i in listed)
        return Diagnostic(
            name="Features that differ",
            headline=(
                f"feature {feature} behind block {self.block}: mean activation "
                f"{float(self.desired[feature]):.3g} on desired examples, "
                f"{float(self.undesired[feature]):.3g} on undesired ones"
            ),
            columns=("feature", *columns),
            rows=rows,
        )
