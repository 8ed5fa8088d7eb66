"""Whether a bound held in one run: every row, state and token of its trace."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from steersman.bounding.attachment import Attachment
from steersman.bounding.band import Band, band_named
from steersman.engines import Trace
from steersman.errors import AttachedError, InputError, MismatchError
from steersman.plant import capture_sequence, locate, owners

_SAME = 1e-2


class CertificateRow(NamedTuple):
    """What a report says about one band.

    Attributes:
        name: of the band.
        holds: whether it held wherever it is promised.
        share: the share of (row, state, token) where it is promised at which it held.
        worst: the largest of error / bound there.
        beyond: the share at which it held at later tokens, of which it promises nothing; NaN where
            there are none.
    """

    name: str
    holds: bool
    share: float
    worst: float
    beyond: float


@dataclass(frozen=True, eq=False)
class Certificate:
    """The errors of one run against the bands.

    Args:
        error: `v_t' d_t` in natural units, the feature's move less the predicted one, `(rows,
            states, tokens)`; NaN at padding, and where the examples do not differ.
        bands: the bands.
        promised: where the bound says something: states that it counts, steered tokens up to those
            that it was calibrated for, `(rows, states, tokens)`.
        later: steered tokens behind those.
    """

    error: Float[Tensor, "rows states tokens"]
    bands: tuple[Band, ...]
    promised: Bool[Tensor, "rows states tokens"]
    later: Bool[Tensor, "rows states tokens"]

    def held(self, name: str) -> Bool[Tensor, "rows states tokens"]:
        """Where a band held, promised or not.

        Raises:
            UnknownNameError: there is no such band.
        """
        return self.error.abs() <= band_named(self.bands, name).radius[:, None]

    def holds(self, name: str) -> bool:
        """Whether a band held wherever it is promised.

        Raises:
            UnknownNameError: there is no such band.
        """
        return bool(self.held(name)[self.promised].all())

    def rows(self) -> list[CertificateRow]:
        """One row a band."""
        found = []
        for band in self.bands:
            held = self.held(band.name).double()
            ratio = (self.error.abs() / band.radius[:, None])[self.promised]
            found.append(
                CertificateRow(
                    band.name,
                    self.holds(band.name),
                    float(held[self.promised].mean()),
                    float(ratio.max()),
                    float(held[self.later].mean()),
                )
            )
        return found

    def table(self) -> str:
        """A few lines for a person."""
        lines = ["bound            held   of all     worst error / bound   of later tokens"]
        for row in self.rows():
            later = "-" if row.beyond != row.beyond else f"{100 * row.beyond:.1f} %"
            lines.append(
                f"{row.name:15}  {'yes' if row.holds else 'NO':4}  {100 * row.share:6.1f} %  "
                f"{row.worst:19.2f}   {later:>15}"
            )
        return "\n".join(lines)


def certificate_of(
    attachment: Attachment,
    bands: tuple[Band, ...],
    counted: Bool[Tensor, " states"],
    new_tokens: int,
    trace: Trace,
    nominal: Float[Tensor, "rows states tokens"],
    prompt_length: int | None = None,
) -> Certificate:
    """What a trace that `require_same` has passed says about the bands.

    Args:
        attachment: how the steering was attached.
        bands: of the bound.
        counted: the states that it counts.
        new_tokens: the tokens that it promises something of, from the prompt's last on.
        trace: of the run.
        nominal: the unsteered feature of the same tokens.
        prompt_length: columns of the prompt; None takes the first steered column of each row for
            the prompt's last.
    """
    assert trace.final is not None
    feature = torch.cat([trace.feature, trace.final[:, None]], dim=1).double()
    moved = (feature - nominal.double()) / attachment.unit[:, None]
    wanted = (attachment.vectors * attachment.predicted).sum(dim=1) / attachment.unit
    columns = torch.arange(trace.steered.shape[1])
    start = trace.steered.int().argmax(dim=1) if prompt_length is None else prompt_length - 1
    age = columns - torch.as_tensor(start).reshape(-1, 1)
    now = trace.steered & (age >= 0) & (age < new_tokens)
    later = trace.steered & (age >= new_tokens)
    error = moved - wanted[:, None]
    there = counted[:, None] & ~error.isnan()
    return Certificate(error, bands, now[:, None] & there, later[:, None] & there)


def bare_features(
    attachment: Attachment, model: nn.Module, trace: Trace
) -> Float[Tensor, "rows states tokens"]:
    """The feature of the unsteered model on the tokens of a trace, by one more pass a row.

    Raises:
        InputError: the tokens are not known.
        AttachedError: the model still carries a steering.
    """
    if any(owners(module) for module in locate(model).modules):
        raise AttachedError(
            "the model still carries a steering, so it is not the bare one: leave the `with` block "
            "before the run is certified."
        )
    if trace.ids is None:
        raise InputError("the trace holds no token ids, so the unsteered run cannot be made again.")
    rows, tokens = trace.ids.shape
    vectors = attachment.vectors
    found = torch.full((rows, len(vectors), tokens), torch.nan, dtype=torch.float64)
    for row, ids in enumerate(trace.ids):
        real = (~trace.feature[row, -1].isnan()).nonzero().flatten()
        states = capture_sequence(model, ids[real][None], range(len(real))).double()
        found[row, :, real] = torch.einsum("rsn,sn->sr", states, vectors)
    return found


def require_same(attachment: Attachment, trace: Trace) -> None:
    """Refuse a run that was visibly attached in another way.

    Raises:
        InputError: nothing was steered, or the trace does not go to the last block.
        MismatchError: the run was of another model, or not attached as the bound is.
    """
    blocks = attachment.law.blocks
    if trace.feature.shape[1] != blocks:
        raise MismatchError(
            f"the trace has {trace.feature.shape[1]} blocks; the bound is for {blocks}."
        )
    if trace.name != attachment.name:
        raise MismatchError(
            f"the trace is of the feature {trace.name!r}; the bound is of {attachment.name!r}. "
            "run.traces() has one for each feature."
        )
    if trace.final is None:
        raise InputError("the trace does not go to the last block's output.")
    if not bool(trace.steered.any()):
        raise InputError("no token of this run was steered: there is nothing to certify.")
    rows, tokens = trace.steered.nonzero(as_tuple=True)
    if attachment.planned:
        asked = attachment.inputs(attachment.predicted[None])[0]
        wanted = torch.linalg.vector_norm(asked, dim=1).expand(len(rows), -1)
        found = trace.effort[rows, :, tokens].double()
        what = "inputs"
    elif (
        trace.nominal is not None
        and attachment.own is not None
        and not bool(trace.setpoint[rows, :, tokens].isnan().any())
    ):
        wanted = attachment.shifts[:, attachment.own].expand(len(rows), -1)
        found = (trace.setpoint - trace.nominal[:, :-1])[rows, :, tokens].double()
        what = "setpoints"
    else:
        return
    if float((found - wanted).abs().max()) > _SAME * float(wanted.abs().max()):
        raise MismatchError(
            f"this run had other {what} than the bound is for: attach the same steering with "
            f"target={_said(attachment.target)} and "
            f"execution='{'plan' if attachment.planned else 'feedback'}'."
        )


def _said(target: float | Mapping[str, float]) -> str:
    return str(dict(target)) if isinstance(target, Mapping) else f"{target:g}"
