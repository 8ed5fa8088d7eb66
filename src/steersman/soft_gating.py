"""From examples to a soft gate: how much a steering is to act at each token."""

from typing import Any

import torch
from torch import nn

from steersman.data import AlignedPairs, ContrastivePairs
from steersman.directions import fit_logistic, fold_numbers
from steersman.directions.probe import chosen_ridge
from steersman.gating import SoftGate
from steersman.plant import Positions
from steersman.reading import Examples, read_states


def fit_soft_gate(
    model: nn.Module,
    tokenizer: Any,
    pairs: ContrastivePairs | AlignedPairs,
    *,
    positions: str | Positions | None = None,
    ridge: float | None = None,
    name: str = "probe",
    batch_size: int = 16,
    progress: bool = True,
) -> SoftGate:
    """A logistic probe at every state, of examples that ask for the steering and some that do not.

        minimise  mean_i log(1 + exp(-y_i (w_t'x_i + b_t))) + ridge/2 s_t^2 |w_t|^2

    `s_t^2` is the mean square length of the states around their mean.

    Args:
        model: the loaded model, with nothing attached; it is not changed.
        tokenizer: its tokenizer.
        pairs: `desired` are examples at which to act, `undesired` others.
        positions: which tokens are read, as in `fit`; the probe judges tokens like these.
        ridge: above zero; None chooses at each state the one of least loss on examples left out.
        name: what the gate is called.
        batch_size: examples at a time.
        progress: show how far it is.

    Returns:
        The gate, for `Steering.softly`. A state at which nothing differs has the share of examples
        that are to fire.

    Raises:
        InputError: examples that cannot be read.
        NumericalError: states that are not finite.
    """
    examples = Examples.of(pairs, positions)
    sides = read_states(model, tokenizer, examples, batch_size=batch_size, progress=progress)
    x, fold = torch.cat(sides).double(), fold_numbers(*map(len, sides))
    y = torch.ones(len(x), dtype=x.dtype)
    y[len(sides.desired) :] = -1
    found = []
    for state in range(x.shape[1]):
        chosen = chosen_ridge(x[:, state], y, fold) if ridge is None else ridge
        v, b = fit_logistic(x[:, state], y, (chosen,))
        found.append((v[0], b[0]))
    w, b = (torch.stack(list(one)).float() for one in zip(*found, strict=True))
    return SoftGate(w, b, name)
