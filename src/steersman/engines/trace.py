"""What a steered run did: feature, setpoint, error and effort by block and token."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steersman.control import Units
from steersman.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_ONCE = 2**22
"""Numbers of a pass that wait for the last block; a long prompt is recorded in parts."""


@dataclass(frozen=True, eq=False)
class Trace:
    """The record of a feature in one sequence of tokens, `(rows, blocks, tokens)`, NaN at padding.

    Features and setpoints are projections on the unit direction of each block; `natural` gives
    them in natural units.

    Args:
        feature: `v_t' x_t` at the input of each block.
        setpoint: where the law wanted it; NaN for a plan, which has no reference at run time.
        effort: `|u_t|`, the length of what was added at the output of each block, for all features
            of the steering together.
        steered: which tokens the gate let through, `(rows, tokens)`.
        ids: token ids where known, `(rows, tokens)`.
        norm: one natural unit of each block, `(blocks,)`.
        origin: the feature at target 0, `(blocks,)`.
        name: what the feature is called.
        final: the feature after the last block, with everything added to it, `(rows, tokens)`; None
            where it was not watched.
        nominal: the feature of the unsteered run of the same tokens at `x_0 .. x_T`, `(rows,
            states, tokens)`, of which the last row is NaN where `final` is None; None where there
            was no unsteered run, as for a plan.
    """

    feature: Float[Tensor, "rows blocks tokens"]
    setpoint: Float[Tensor, "rows blocks tokens"]
    effort: Float[Tensor, "rows blocks tokens"]
    steered: Bool[Tensor, "rows tokens"]
    ids: Int[Tensor, "rows tokens"] | None
    norm: Float[Tensor, " blocks"]
    origin: Float[Tensor, " blocks"]
    name: str = "feature"
    final: Float[Tensor, "rows tokens"] | None = None
    nominal: Float[Tensor, "rows states tokens"] | None = None

    @property
    def error(self) -> Float[Tensor, "rows blocks tokens"]:
        """Setpoint minus feature."""
        return self.setpoint - self.feature

    def natural(
        self, values: Float[Tensor, "rows blocks tokens"]
    ) -> Float[Tensor, "rows blocks tokens"]:
        """Projections in natural units: 0 where undesired examples sit, 1 where desired ones do.

        NaN at a block where the examples do not differ at all, which has no unit.
        """
        unit = self.norm.where(self.norm > 0, torch.nan)
        return (values - self.origin[:, None]) / unit[:, None]

    def plot(self, row: int = 0) -> "Figure":
        """Feature against setpoint by block, and error and effort by block and token.

        Args:
            row: which row of the batch.

        Raises:
            MissingExtraError: matplotlib is not installed.
            InputError: there is no such row.
        """
        from steersman.plots import trace_figure

        if not 0 <= row < len(self.feature):
            raise InputError(f"row {row} does not exist; the trace has {len(self.feature)} rows.")
        setpoint = self.natural(self.setpoint)[row]
        feature = self.natural(self.feature)[row]
        return trace_figure(feature, setpoint, self.effort[row], self.steered[row])

    def to_html(self, path: str | Path, row: int = 0) -> Path:
        """Write the figure of `plot` as one self-contained page.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from steersman.plots import figure_page

        return figure_page(self.plot(row), Path(path), "A steered run")


class _Shown(NamedTuple):
    """What one block showed in a pass, of which nothing is computed yet."""

    block: int
    x: Float[Tensor, "rows new n"]
    setpoint: Float[Tensor, "rows new features"] | None
    u: Float[Tensor, "rows new n"] | None
    nominal: Float[Tensor, "rows new features"] | None


class _Part(NamedTuple):
    """Some states of a pass: features `(states, rows, new, features)`, and efforts."""

    feature: Tensor
    setpoint: Tensor | None
    effort: Tensor
    nominal: Tensor | None


class _Pass(NamedTuple):
    """The tokens of a pass, `(rows, new)`, and what its blocks showed."""

    steered: Tensor
    valid: Tensor
    ids: Tensor | None
    parts: list[_Part]


class Recorder:
    """Collects a trace while the model runs: tensors stay on their device until it is read.

    States and inputs of a pass are kept as they are, and projected for all blocks at once: many
    small operations would cost a small model more than the steering itself.

    Args:
        watch: the directions whose projections are shown, of every block's input and perhaps of the
            last one's output.
        scale: natural units of the projections at the inputs.
        names: what the features are called.
    """

    def __init__(
        self, watch: Float[Tensor, "watched n features"], scale: Units, names: tuple[str, ...]
    ) -> None:
        """Start empty."""
        self._watch, self._scale, self._names = watch, scale, names
        self._passes: list[_Pass] = []
        self._waiting: list[_Shown] = []
        self._effort: Tensor | None = None

    def tokens(
        self,
        steered: Bool[Tensor, "rows new"],
        valid: Bool[Tensor, "rows new"],
        ids: Int[Tensor, "rows new"] | None,
        effort: Float[Tensor, "states rows_or_1 1"] | None = None,
    ) -> None:
        """A pass begins.

        Args:
            steered: which of its tokens the gate lets through.
            valid: which are no padding.
            ids: token ids where known.
            effort: what every block is given, where that is known beforehand, and 0 after the last;
                what blocks then show needs no input.
        """
        self._passes.append(_Pass(steered, valid, ids, []))
        self._waiting.clear()
        self._effort = effort

    def block(
        self,
        block: int,
        x: Float[Tensor, "rows length n"],
        setpoint: Float[Tensor, "rows length features"] | None,
        u: Float[Tensor, "rows length n"] | None,
        skip: int = 0,
        nominal: Float[Tensor, "rows length features"] | None = None,
    ) -> None:
        """What one block showed for the tokens of a pass.

        The input is what the law would add at every token; the gate is applied on reading.

        Args:
            block: which; one more than the last is what comes out of that.
            x: states at its input.
            setpoint: where the features were wanted; None for a plan, which has no setpoint.
            u: what the law adds; None where it adds nothing to any token.
            skip: columns at the front that an earlier pass has recorded.
            nominal: the feature of the unsteered run; None where there is none.
        """
        if self._waiting and self._waiting[0].x.device != x.device:
            self.settle()
        if skip:
            x = x[:, skip:]
            setpoint = None if setpoint is None else setpoint[:, skip:]
            u = None if u is None else u[:, skip:]
            nominal = None if nominal is None else nominal[:, skip:]
        self._waiting.append(_Shown(block, x, setpoint, u, nominal))
        if len(self._waiting) * x.numel() > AT_ONCE:
            self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Compute what was kept, as at the end of a pass."""
        if not self._waiting:
            return
        shown = tuple(self._waiting)
        self._waiting.clear()
        x = torch.stack([one.x for one in shown])
        states = slice(shown[0].block, shown[-1].block + 1)
        v = self._watch[states].to(x.device)
        feature = (x.to(v.dtype).flatten(1, 2) @ v).view(*x.shape[:-1], v.shape[-1])
        setpoint = _with_gaps([one.setpoint for one in shown], feature)
        nominal = _with_gaps([one.nominal for one in shown], feature)
        if self._effort is not None:
            effort = self._effort[states].to(x.device).expand(x.shape[:-1])
        else:
            inputs = [x.new_zeros(1).expand_as(one.x) if one.u is None else one.u for one in shown]
            effort = torch.linalg.vector_norm(torch.stack(inputs), dim=-1)
        self._passes[-1].parts.append(_Part(feature, setpoint, effort, nominal))

    def traces(self) -> tuple[Trace, ...]:
        """The record so far, a feature each; a pass that did not reach the last block is left out.

        Raises:
            InputError: nothing has run yet.
        """
        blocks, watched = len(self._scale.norm), len(self._watch)
        whole = [one for one in self._passes if sum(map(_states, one.parts)) == watched]
        if not whole:
            raise InputError("nothing was recorded: run the model inside the `with` block first.")
        valid = torch.cat([one.valid for one in whole], dim=1).cpu()
        steered = torch.cat([one.steered for one in whole], dim=1).cpu()
        ids = [one.ids for one in whole if one.ids is not None]
        features, setpoints, effort, nominal = (
            _joined([[_or_gap(part, index) for part in one.parts] for one in whole], valid)
            for index in range(4)
        )
        gaps = (len(valid), blocks + 1 - watched, *features.shape[2:])
        nominal = torch.cat([nominal, nominal.new_full(gaps, torch.nan)], dim=1)
        norm, origin = (t.cpu().view(blocks, -1) for t in (self._scale.norm, self._scale.origin))
        return tuple(
            Trace(
                feature=features[:, :blocks, :, index],
                setpoint=setpoints[:, :blocks, :, index],
                effort=effort[:, :blocks].where(steered[:, None] | ~valid[:, None], 0.0),
                steered=steered,
                ids=torch.cat(ids, dim=1).cpu() if len(ids) == len(whole) else None,
                norm=norm[:, index],
                origin=origin[:, index],
                name=name,
                final=features[:, blocks, :, index] if watched > blocks else None,
                nominal=None if nominal.isnan().all() else nominal[..., index],
            )
            for index, name in enumerate(self._names)
        )


def _states(part: _Part) -> int:
    return len(part.feature)


def _or_gap(part: _Part, index: int) -> Tensor:
    """One kind of value, NaN where there is none."""
    value = part[index]
    return torch.full_like(part.feature, torch.nan) if value is None else value


def _with_gaps(
    values: list[Tensor | None], like: Float[Tensor, "states rows new features"]
) -> Tensor | None:
    """The values of every state, NaN where there are none; None where there are none at all."""
    if all(one is None for one in values):
        return None
    unknown = like.new_full(like.shape[1:], torch.nan)
    return torch.stack([unknown if one is None else one for one in values])


def _joined(
    passes: list[list[Tensor]], valid: Tensor
) -> Float[Tensor, "rows states tokens *features"]:
    """The parts of every pass, block after block, and the passes, token after token."""
    whole = [torch.cat([part.float().cpu() for part in parts]) for parts in passes]
    joined = torch.cat(whole, dim=2).transpose(0, 1)
    padding = ~valid[:, None].view(len(valid), 1, -1, *[1] * (joined.ndim - 3))
    return joined.masked_fill(padding, torch.nan)
