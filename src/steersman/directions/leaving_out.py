"""Leaving rows out so that what is learnt from the others has seen nothing of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steersman.errors import InputError


class Part(NamedTuple):
    """One part that is left out, and what may be learnt from meanwhile; `(rows,)` each."""

    train: Bool[Tensor, " rows"]
    test: Bool[Tensor, " rows"]


def parts(labels: Sequence[Int[Tensor, " rows"]], folds: int, *, seed: int = 0) -> list[Part]:
    """Parts that share no label of any kind with the rows that are learnt from.

    Rows that share a label, directly or through others, are left out together where that leaves
    enough to learn from. Where it does not, because every context comes with every continuation, a
    part has some labels of each kind, and the rows that have one of them but not all are put aside.

    Args:
        labels: one or more kinds of label for each row, such as its contexts and its continuation.
            A kind of which there are fewer than `folds` cannot be left out, and is not looked at.
        folds: how many parts.
        seed: of the parts.

    Returns:
        At most `folds` parts, none of them empty.

    Raises:
        InputError: there are fewer than `folds` labels of every kind, or the labels are so mixed
            that no part shares none with the rest.
    """
    kinds = [
        kind for kind in (_numbered(label) for label in labels) if int(kind.max()) + 1 >= folds
    ]
    if not kinds:
        count = len(set(labels[0].tolist()))
        raise InputError(f"{count} pairs cannot be left out in {folds} parts: give more.")
    together = kinds[0] if len(kinds) == 1 else _numbered(_joined(kinds))
    sizes = torch.bincount(together)
    if len(sizes) >= folds and (len(kinds) == 1 or 2 * int(sizes.max()) <= len(together)):
        kinds = [together]
    drawn = [_fold_of(kind, folds, seed) for kind in kinds]
    found = []
    for fold in range(folds):
        inside = torch.stack([numbers == fold for numbers in drawn])
        part = Part(~inside.any(0), inside.all(0))
        if bool(part.train.any()) and bool(part.test.any()):
            found.append(part)
    if not found:
        raise InputError(
            "contexts and continuations are so mixed that none can be left out without the others: "
            "give more of both."
        )
    return found


def _numbered(label: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
    """The same labels, counted from 0 in their order."""
    return torch.searchsorted(torch.tensor(sorted(set(label.tolist()))), label.contiguous())


def _fold_of(kind: Int[Tensor, " rows"], folds: int, seed: int) -> Int[Tensor, " rows"]:
    """The part of each row, drawn by its label; the numbers of labels differ by one at most."""
    count = int(kind.max()) + 1
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    part = torch.empty(count, dtype=torch.long)
    part[order] = torch.arange(count) % folds
    return part[kind]


def _joined(kinds: Sequence[Int[Tensor, " rows"]]) -> Int[Tensor, " rows"]:
    """A label that rows share which share any label, directly or through others."""
    found = torch.arange(len(kinds[0]))
    while True:
        before = found
        for kind in kinds:
            # Every label passes the smallest number among its rows on to all of them.
            least = torch.full((int(kind.max()) + 1,), len(found))
            found = least.scatter_reduce(0, kind, found, "amin")[kind]
        if torch.equal(found, before):
            return found
