"""What steerings did in one answer, gathered from the traces of the runs that it was part of."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.engines import Trace
from steersman.methods import ReferenceName
from steersman.steering import Steering


@runtime_checkable
class Named(Protocol):
    """A steering with the name that clients know it by, and what its strengths are against."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def steering(self) -> Steering:
        """The steering."""

    @property
    def reference(self) -> ReferenceName:
        """What a strength is against: what a token shows unsteered, or nothing."""


class _Piece(NamedTuple):
    """The steered tokens of one run: features and efforts `(blocks, tokens)`, the rest `(tokens,)`.

    Features are in natural units.
    """

    feature: Tensor
    setpoint: Tensor
    nominal: Tensor
    effort: Tensor
    final: Tensor
    unsteered: Tensor


class Recording:
    """The record of one answer, a piece for every run.

    Args:
        steerings: what steers it, with the strength of each feature.
    """

    def __init__(self, steerings: Mapping[Any, Mapping[str, float]]) -> None:
        """Nothing is known yet."""
        self._steerings = steerings
        self._pieces: dict[tuple[Any, str], list[_Piece]] = {}

    def add(self, served: Named, trace: Trace, row: int) -> None:
        """Keep what one run shows of one feature.

        Args:
            served: the steering.
            trace: of the feature.
            row: the answer's among those of the trace.
        """
        steered = trace.steered[row]
        missing = torch.full(trace.feature[row, 0].shape, torch.nan)

        def natural(values: Tensor | None) -> Tensor:
            return at_the_end(served.steering, trace.name, missing if values is None else values)

        piece = _Piece(
            trace.natural(trace.feature)[row],
            trace.natural(trace.setpoint)[row],
            _nominal(trace)[row],
            trace.effort[row],
            natural(None if trace.final is None else trace.final[row]),
            natural(None if trace.nominal is None else trace.nominal[row, -1]),
        )
        kept = _Piece(*(values[..., steered] for values in piece))
        self._pieces.setdefault((served, trace.name), []).append(kept)

    def report(self) -> list[dict[str, Any]]:
        """What each feature was asked for and what it did, as plain data."""
        return [
            self._feature(served, name, strength)
            for served, each in self._steerings.items()
            for name, strength in each.items()
        ]

    def _feature(self, served: Named, name: str, strength: float) -> dict[str, Any]:
        pieces = self._pieces.get((served, name), [])
        found = {
            "steering": served.name,
            "feature": feature_called(served, name),
            "strength": strength,
            "tokens": sum(piece.final.numel() for piece in pieces),
        }
        if not found["tokens"]:
            return found
        joined = _Piece(*(torch.cat(values, dim=-1) for values in zip(*pieces, strict=True)))
        asked = asked_of(served, joined.unsteered, strength)
        return found | {
            "setpoint": _mean(asked),
            "reached": _mean(joined.final),
            "unsteered": _mean(joined.unsteered),
            "rms_error": _mean((asked - joined.final).square(), root=True),
            "effort": _mean(joined.effort.square().sum(dim=0).sqrt()),
            "blocks": {
                "setpoint": _means(joined.setpoint),
                "reached": _means(joined.feature),
                "unsteered": _means(joined.nominal),
                "effort": _means(joined.effort),
            },
        }


def at_the_end(
    steering: Steering, name: str, projections: Float[Tensor, "*tokens"]
) -> Float[Tensor, "*tokens"]:
    """A feature after the last block in natural units: `(V' x_T - origin) / norm`.

    Args:
        steering: whose feature it is.
        name: of the feature.
        projections: `V' x_T`.
    """
    features = steering.features
    index = features.names.index(name)
    norm, origin = features.norm[-1, index].float(), features.origin[-1, index].float()
    return (projections - origin) / norm


def asked_of(
    served: Named, unsteered: Float[Tensor, "*tokens"], strength: float
) -> Float[Tensor, "*tokens"]:
    """Where tokens were wanted after the last block; NaN where the law states no value of it.

    Args:
        served: what steers.
        unsteered: where they would have been without it, in natural units; NaN where unknown.
        strength: what was asked for.
    """
    if not served.steering.method.in_units:
        return torch.full_like(unsteered, torch.nan)
    if served.reference == "absolute":
        return torch.full_like(unsteered, strength)
    return unsteered + strength


def feature_called(served: Named, name: str) -> str:
    """What clients call a feature: by its steering's name where that has no other."""
    alone = len(served.steering.features.names) == 1
    return served.name if alone else f"{served.name}.{name}"


def _nominal(trace: Trace) -> Float[Tensor, "rows blocks tokens"]:
    """The features of the unsteered run at the inputs of the blocks; NaN where there was none."""
    if trace.nominal is None:
        return torch.full_like(trace.feature, torch.nan)
    return trace.natural(trace.nominal[:, :-1])


def _mean(values: Tensor, *, root: bool = False) -> float | None:
    """The mean of what is known, None where nothing is."""
    found = float(values.nanmean())
    if not math.isfinite(found):
        return None
    return round(math.sqrt(found) if root else found, 6)


def _means(values: Float[Tensor, "blocks tokens"]) -> list[float | None]:
    return [_mean(row) for row in values]
