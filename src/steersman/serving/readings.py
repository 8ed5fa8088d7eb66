"""Where the features were in the state that a token was chosen from."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from steersman.engines import Last
from steersman.serving.recording import Named, asked_of, at_the_end, feature_called

Readings = tuple[Mapping[str, Any], ...]
"""One for each feature that a request gives a strength, as plain data."""


def readings_of(
    served: Named, strengths: Mapping[str, float], last: Last | None, row: int
) -> Iterator[dict[str, Any]]:
    """What one row shows of one steering, after the last block and in natural units.

        reached = (V' x_T - origin) / norm

    Args:
        served: the steering.
        strengths: what the row asks of each feature; of the others nothing is told.
        last: the token that the next one is chosen behind; None where it is not known.
        row: the answer's among those that the steering has.
    """
    steering = served.steering
    for name, strength in strengths.items():
        reached, unsteered = torch.full((2,), torch.nan)
        steered = None
        if last is not None:
            index, steered = steering.features.names.index(name), bool(last.steered[row])
            reached = at_the_end(steering, name, last.feature[row, index])
            if last.nominal is not None:
                unsteered = at_the_end(steering, name, last.nominal[row, index])
        setpoint = asked_of(served, unsteered, strength)
        yield {
            "feature": feature_called(served, name),
            "steered": steered,
            "setpoint": _number(setpoint) if steered else None,
            "reached": _number(reached),
            "unsteered": _number(unsteered),
        }


def _number(value: Tensor) -> float | None:
    found = float(value)
    return round(found, 4) if math.isfinite(found) else None
