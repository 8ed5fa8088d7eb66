"""Records what a steered run does, at little cost to the run."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steersman.control import Units
from steersman.engines.last import Last
from steersman.engines.trace import Trace
from steersman.errors import InputError

AT_ONCE = 2**22
"""Numbers that wait to be projected, of one pass or of many."""


class _Shown(NamedTuple):
    """What one block showed in a pass, of which nothing is computed yet."""

    block: int
    x: Float[Tensor, "rows new n"]
    setpoint: Float[Tensor, "rows new features"] | None
    u: Float[Tensor, "rows new n"] | None
    nominal: Float[Tensor, "rows new features"] | None


class _Kept(NamedTuple):
    """Some states of a pass, copied and not yet projected."""

    first: int
    x: Float[Tensor, "states rows new n"]
    setpoint: Float[Tensor, "states rows new features"] | None
    u: Float[Tensor, "states rows new n"] | None
    effort: Float[Tensor, "all_states rows_or_1 1"] | None
    nominal: Float[Tensor, "states rows new features"] | None


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
    kept: list[_Kept]
    parts: list[_Part]


class Recorder:
    """Collects a trace while the model runs: tensors stay on their device until it is read.

    States and inputs of a pass are copied, and projected later, many passes at a time: many small
    operations between those of the model would cost more than the steering itself.

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
        self._fired: Tensor | None = None
        self._kept = 0

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
        self._passes.append(_Pass(steered, valid, ids, [], []))
        self._waiting.clear()
        self._effort = effort

    def decided(self, fired: Bool[Tensor, " rows"], steered: Bool[Tensor, "rows new"]) -> None:
        """Which rows' prompts met the condition, found out while a pass was under way.

        Args:
            fired: which did.
            steered: which of the pass's tokens the gate lets through after all.
        """
        self._fired = fired
        self._passes[-1] = self._passes[-1]._replace(steered=steered)

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

    def settle(self) -> None:
        """Copy what was shown, as at the end of a pass: the model may use its tensors again."""
        if not self._waiting:
            return
        shown = tuple(self._waiting)
        self._waiting.clear()
        x, u = torch.stack([one.x for one in shown]).detach(), None
        if self._effort is None:
            # Inside a block an input may be of another width than the states are.
            nothing = torch.zeros_like(next((o.u for o in shown if o.u is not None), shown[0].x))
            u = torch.stack([nothing if one.u is None else one.u for one in shown])
        setpoint, nominal = (
            _with_gaps([one.setpoint for one in shown]),
            _with_gaps([one.nominal for one in shown]),
        )
        kept = _Kept(shown[0].block, x, setpoint, u, self._effort, nominal)
        self._passes[-1].kept.append(kept)
        self._kept += x.numel()
        if self._kept > AT_ONCE:
            self._project()

    @torch.no_grad()
    def _project(self) -> None:
        """Compute what was kept."""
        for one in self._passes:
            one.parts.extend(map(self._part, one.kept))
            one.kept.clear()
        self._kept = 0

    def _part(self, kept: _Kept) -> _Part:
        x = kept.x
        states = slice(kept.first, kept.first + len(x))
        v = self._watch[states].to(x.device)
        feature = (x.to(v.dtype).flatten(1, 2) @ v).view(*x.shape[:-1], v.shape[-1])
        if kept.effort is not None:
            effort = kept.effort[states].to(x.device).expand(x.shape[:-1])
        else:
            effort = torch.linalg.vector_norm(torch.as_tensor(kept.u), dim=-1)
        return _Part(feature, kept.setpoint, effort, kept.nominal)

    @torch.no_grad()
    def last(self) -> Last | None:
        """The last token of the last pass; None where nothing is watched after the last block.

        Only this one state is projected, and what is kept for the trace stays as it is.

        Raises:
            InputError: nothing has run yet.
        """
        if not self._passes:
            raise InputError("nothing was recorded: run the model inside the `with` block first.")
        if len(self._watch) == len(self._scale.norm):
            return None
        one = self._passes[-1]
        if one.kept:
            kept = one.kept[-1]
            x, v = kept.x[-1, :, -1], self._watch[-1].to(kept.x.device)
            feature, nominal = x.to(v.dtype) @ v, kept.nominal
        else:
            feature, nominal = one.parts[-1].feature[-1, :, -1], one.parts[-1].nominal
        here = None if nominal is None else nominal[-1, :, -1].cpu()
        return Last(feature.cpu(), here, one.steered[:, -1].cpu())

    def traces(self) -> tuple[Trace, ...]:
        """The record so far, a feature each; a pass that did not reach the last block is left out.

        Raises:
            InputError: nothing has run yet.
        """
        self._project()
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
                fired=None if self._fired is None else self._fired.cpu(),
            )
            for index, name in enumerate(self._names)
        )


def _states(part: _Part) -> int:
    return len(part.feature)


def _or_gap(part: _Part, index: int) -> Tensor:
    """One kind of value, NaN where there is none."""
    value = part[index]
    return torch.full_like(part.feature, torch.nan) if value is None else value


def _with_gaps(values: list[Tensor | None]) -> Tensor | None:
    """The values of every state, NaN where there are none; None where there are none at all."""
    known = next((one for one in values if one is not None), None)
    if known is None:
        return None
    unknown = torch.full_like(known, torch.nan)
    return torch.stack([unknown if one is None else one for one in values])


def _joined(
    passes: list[list[Tensor]], valid: Tensor
) -> Float[Tensor, "rows states tokens *features"]:
    """The parts of every pass, block after block, and the passes, token after token."""
    whole = [torch.cat([part.float().cpu() for part in parts]) for parts in passes]
    joined = torch.cat(whole, dim=2).transpose(0, 1)
    padding = ~valid[:, None].view(len(valid), 1, -1, *[1] * (joined.ndim - 3))
    return joined.masked_fill(padding, torch.nan)
