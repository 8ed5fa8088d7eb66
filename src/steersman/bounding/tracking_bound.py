"""How far from its prediction a steered feature can be: what calibration prompts say of others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.bounding.attachment import Attachment
from steersman.bounding.band import Band, band_named
from steersman.bounding.calibration import BudgetRow, Calibration
from steersman.bounding.certificate import (
    Certificate,
    bare_features,
    certificate_of,
    require_same,
)
from steersman.bounding.coverage import Coverage
from steersman.bounding.foresight import Foresight
from steersman.bounding.runs import fingerprint, paired_runs, read_prompts
from steersman.bounding.saving import read_bound, written_bound
from steersman.control import conformal_bound
from steersman.engines import Trace
from steersman.errors import InputError
from steersman.plant import Example
from steersman.steering import Steering

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class TrackingBound:
    """Bands around the predicted feature of a steering that is attached in one way.

        delta_{t+1} = A_t delta_t + u_t + w_t            what the steered token deviates by
        d = delta - delta^lin,  d_{t+1} = Phi_t d_t + w_t    what the prediction misses
        e_k = v_k' d_k / |c_k| = sum_{i<k} v_k' Phi(k, i+1) w_i / |c_k|

    Four bands, each with its own promise, from tight to safe:

    - *conformal*: the calibration prompts' own `|e_k|`, ranked, state by state. Free of any
      distribution.
    - *conformal, all*: one band for all states at once: the largest of `|e_k| / sigma_k`, ranked.
    - *blockwise*: `sum_i max_p |v_k' Phi(k, i+1) w_i|`: every block as wrong as it ever was, all in
      the same direction.
    - *norm*: `|v_k|_{P_k^-1} rho_k`, where `rho` bounds the whole state; blind to directions, and
      by far the loosest. Needs the plant's matrices.

    The last two are worst cases times a safety factor: they hold for certain where the remainder of
    a new run is no larger, block by block, than what was seen. No calibration prompt is beyond
    them, so that they also hold at each state with probability `N/(N+1)` or more.

    It is kept as a file by `to_json`, and read again by `from_json`.

    Args:
        attachment: the steering, and how it is attached.
        foresight: how far errors carry there.
        calibration: what the calibration prompts showed.
        new_tokens: the tokens that it is for, from the prompt's last on.
        level: of the conformal bands.
        safety: the factor on the worst of what was seen.
    """

    attachment: Attachment
    foresight: Foresight
    calibration: Calibration
    new_tokens: int
    level: float
    safety: float

    @property
    def predicted(self) -> Float[Tensor, " states"]:
        """The feature's move at `x_0 .. x_T` in natural units; NaN where it has no unit."""
        one = self.attachment
        return (one.vectors * one.predicted).sum(dim=1) / one.unit

    @property
    def state_radius(self) -> Float[Tensor, " states"] | None:
        """`rho_t >= |d_t|_{P_t}`; None where the plant has no matrices."""
        return self.foresight.state_radius

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """The bands, from tight to safe."""
        found = [self._conformal(), self._together(), self._blockwise()]
        if self.foresight.radius is not None:
            found.append(
                Band(
                    "norm",
                    self.foresight.radius,
                    f"at each state, with probability {self._most} or more likewise; for certain "
                    "where mismatch, curvature, disturbance and sector of each block, in the norm "
                    f"of the loop, are at most {self.safety:g} times the largest that was seen",
                )
            )
        return tuple(found)

    def band(self, name: str) -> Band:
        """The band of that name.

        Raises:
            UnknownNameError: there is none.
        """
        return band_named(self.bands, name)

    def at_level(self, level: float) -> "TrackingBound":
        """The same with another level of the conformal bands.

        Raises:
            InputError: more than so many prompts can give.
        """
        conformal_bound(self.calibration.errors, level)
        return replace(self, level=level)

    def coverage(
        self,
        model: nn.Module,
        tokenizer: Any,
        prompts: Sequence[Example],
        *,
        progress: bool = False,
    ) -> Coverage:
        """How often the bands hold on other prompts, and how tight they are there.

        Args:
            model: the model; it is not changed.
            tokenizer: its tokenizer.
            prompts: other prompts than the bound was made from.
            progress: show how far it is.

        Raises:
            InputError: no prompts, or some that the bound was made from.
            MismatchError: the model is another one.
        """
        attachment, norms = self.attachment, self.foresight.norms
        attachment.require_model(model)
        tokens = read_prompts(model, tokenizer, prompts, self.new_tokens)
        known = sum(fingerprint(one) in self.calibration.prompts for one in tokens)
        if known:
            raise InputError(
                f"{known} of {len(tokens)} prompts are among those that this bound was made from; "
                "coverage there says nothing. Give others."
            )
        runs = paired_runs(
            attachment, model, tokenizer, prompts, new_tokens=self.new_tokens, progress=progress
        )
        errors, sizes = [], []
        for run in runs:
            d = run.deviation - attachment.predicted
            found = torch.einsum("rsn,sn->rs", d, attachment.scaled)
            errors.append(found.abs().amax(dim=0))
            if norms is not None:
                sizes.append(norms.norms(d).amax(dim=0))
        return Coverage(
            bands=self.bands,
            errors=torch.stack(errors),
            counted=self.foresight.counted,
            state_radius=self.state_radius,
            state_errors=torch.stack(sizes) if sizes else None,
        )

    def certify(
        self,
        trace: Trace,
        *,
        model: nn.Module | None = None,
        prompt_length: int | None = None,
    ) -> Certificate:
        """Whether the bands held in one run, at every row, state and token.

        The error needs the unsteered run of the same tokens. Feedback with a relative reference
        makes it anyway. A plan runs once, and what its tokens would have been unsteered is not in
        its trace: give the model, and it is run once more over them, unsteered.

        Args:
            trace: of a run that was attached as this bound is.
            model: the bare model, for a trace without the unsteered run.
            prompt_length: columns of the prompt; None takes the first steered token of each row for
                the prompt's last.

        Raises:
            InputError: there is no unsteered run and no model to make it, or nothing was steered.
            MismatchError: the run was of another model, or not attached as the bound is.
            AttachedError: the model still carries a steering.
        """
        attachment, nominal = self.attachment, trace.nominal
        require_same(attachment, trace)
        if nominal is None and model is None:
            raise InputError(
                "this trace holds no unsteered run to compare with, as a plan makes none: pass "
                "model=, which is then run once more over the same tokens, unsteered, or attach "
                "with execution='feedback'."
            )
        if nominal is None and model is not None:
            attachment.require_model(model)
            nominal = bare_features(attachment, model, trace)
        assert nominal is not None
        return certificate_of(
            attachment,
            self.bands,
            self.foresight.counted,
            self.new_tokens,
            trace,
            nominal,
            prompt_length,
        )

    def table(self) -> str:
        """A few lines for a person: the prediction and every band, state by state."""
        names = [band.name for band in self.bands]
        head = "state   predicted" + "".join(f"   {'+- ' + name:>17}" for name in names)
        lines = [head]
        for state in self.foresight.counted.nonzero().flatten().tolist():
            radii = "".join(f"   {float(band.radius[state]):17.3g}" for band in self.bands)
            lines.append(f"{state:5d}   {float(self.predicted[state]):9.3f}{radii}")
        lines += [f"{band.name}: {band.guarantee}" for band in self.bands]
        return "\n".join(lines)

    def budget(self) -> list[BudgetRow]:
        """Where the error of the final feature comes from, block by block."""
        return self.calibration.budget()

    def plot(self) -> "Figure":
        """Every band's radius and the calibration prompts' errors, by state.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        made = self.calibration.errors
        return Coverage(self.bands, made, self.foresight.counted).plot()

    def to_json(self, path: str | Path) -> Path:
        """Write the bound as one JSON file, without the steering, which is saved on its own.

        Args:
            path: where to; folders that do not exist are made.

        Raises:
            InputError: it cannot be written there; what was there before is untouched.
        """
        head = {"new_tokens": self.new_tokens, "level": self.level, "safety": self.safety}
        return written_bound(self.attachment, self.foresight, self.calibration, head, Path(path))

    @classmethod
    def from_json(cls, path: str | Path, steering: Steering) -> "TrackingBound":
        """Read what `to_json` wrote; nothing is executed.

        It has the bands, judges other prompts and certifies runs. What it lost is the plant: no
        coverage of the whole state in the norms of the loop.

        Args:
            path: the file.
            steering: the steering that was bounded, such as `Steering.from_pretrained` gives it.

        Raises:
            ArtifactError: no such file, or one that holds something else.
            MismatchError: it is the bound of another steering.
        """
        attachment, foresight, calibration, head = read_bound(Path(path), steering)
        return cls(attachment, foresight, calibration, head.new_tokens, head.level, head.safety)

    @property
    def _count(self) -> int:
        return len(self.calibration.errors)

    @property
    def _most(self) -> str:
        """What any band has that no calibration prompt is beyond."""
        return f"{self._count}/{self._count + 1}"

    def _conformal(self) -> Band:
        return Band(
            "conformal",
            conformal_bound(self.calibration.errors, self.level),
            f"at each state, with probability {self.level:g} or more over the {self._count} "
            "calibration prompts and a new one, if these are exchangeable",
        )

    def _together(self) -> Band:
        scale, counted = self.foresight.scale, self.foresight.counted
        score = (self.calibration.errors[:, counted] / scale[counted]).amax(dim=1)
        return Band(
            "conformal, all",
            conformal_bound(score, self.level) * scale,
            f"at all states together, with probability {self.level:g} or more over the "
            f"{self._count} calibration prompts and a new one, if these are exchangeable",
        )

    def _blockwise(self) -> Band:
        return Band(
            "blockwise",
            self.safety * self.calibration.work.amax(dim=0).sum(dim=0),
            f"at each state, with probability {self._most} or more likewise; for certain where "
            f"what each block does to the feature is at most {self.safety:g} times the largest "
            "that was seen",
        )
