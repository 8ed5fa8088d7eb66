"""Measure how nearly linear a model is around the prompts it is given."""

import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from steersman.data import AlignedPairs, ContrastivePairs
from steersman.directions import Direction
from steersman.errors import InputError
from steersman.local_linearity.cost import foretell
from steersman.local_linearity.prompts import Prepared, Prompts, prepare
from steersman.local_linearity.remainders import measure_remainders
from steersman.local_linearity.result import LinearityReport
from steersman.local_linearity.spectra import DRAWS, default_rank, measure_spectra
from steersman.local_linearity.steps import Steps, checked_scales, steps
from steersman.plant import CHUNK, Linearization, linearize, locate, unwrap
from steersman.reading_directions import read_direction
from steersman.steering import Steering

SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""`|d| / |x|` of the steps, unless others are asked for."""

Feature = ContrastivePairs | AlignedPairs | Steering | Direction
"""What a feature direction is taken from."""

_ROUNDING = 0.01
"""The share of a step that rounding may make up before it is worth a warning."""


def linearity(
    model: nn.Module,
    tokenizer: Any,
    prompts: Prompts,
    *,
    feature: Feature | None = None,
    scales: Sequence[float] = SCALES,
    rank: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    chunk: int = CHUNK,
    progress: bool = True,
) -> LinearityReport:
    """Measure how nearly linear the blocks are, and how alike their Jacobians are.

        remainder    |f_t(x + d) - f_t(x) - A_t d| / |f_t(x + d) - f_t(x)|    over |d| / |x|
        spectra      singular values of A_t and of A_t - I
        similarity   | diag(s) U' V diag(t) |_* / (|s| |t|)     of two prompts' leading subspaces

    at the input of every block, at the last token of every prompt, its prefix held fixed. A step d
    is isotropic, along the feature, or toward the state of another prompt's last token. The
    remainder of `A_t` stands beside that of the mean Jacobian of other prompts, and of the
    identity: the residual connection by itself is linear.

    Args:
        model: the loaded model, in evaluation mode, with no steering attached; only read.
        tokenizer: its tokenizer; only read.
        prompts: at least two texts or conversations, all different; or several domains of them by
            name. A Jacobian is averaged over the prompts of a domain.
        feature: contrastive pairs, read at their last token, or a steering or direction fitted on
            this model; None leaves steps along a feature out.
        scales: `|d| / |x_t|`, rising.
        rank: how many leading singular vectors are compared; n / 20 when None.
        draws: random rotations that chance is drawn with.
        seed: of the random steps and of these rotations.
        chunk: rows of a Jacobian computed at a time; bounds the memory.
        progress: say beforehand how long it will take, and show how far it is.

    Returns:
        The measurement: `.summary()`, `.plot()`, `.to_html(path)`, `.to_json(path)`.

    Raises:
        InputError: fewer than two prompts, or two alike; scales that are not finite, above zero
            and rising; a rank that is not between 1 and n; a model in training mode.
        AttachedError: a steering is attached.
        MismatchError: the steering was made for another model.
        ShapeError: the direction is of a model of another size.
        NumericalError: a state or a Jacobian is not finite.

    Source:
        A-LQR (arXiv 2604.19018), section 5 and appendices C and D; the steps, the comparison with
        the identity and chance for real spectra are ours.
    """
    started = time.monotonic()
    given = checked_scales(scales)
    size = _checked_rank(model, rank)
    prepared = prepare(model, tokenizer, prompts)
    _doubt_precision(model, float(given[0]))
    runs = _linearized(model, prepared, min(chunk, 1 + 3 * len(given)), progress)
    chosen = _steps(runs, prepared, _direction(model, tokenizer, feature, progress), seed)
    by_domain, by_token = prepared.peers(prepared.domains), prepared.peers(prepared.last)
    if progress:
        columns = len(chosen.kinds) * (1 + max(map(len, by_domain)))
        cost = foretell(model, tokenizer, prepared.examples, runs, columns, size, chunk)
        sys.stderr.write(f"measuring local linearity: {cost}\n")
    jacobian, increment = measure_spectra(
        model, prepared.tokens, rank=size, draws=draws, seed=seed, chunk=chunk, progress=progress
    )
    remainders = measure_remainders(
        runs, chosen, given, by_domain=by_domain, by_token=by_token, progress=progress
    )
    return LinearityReport(
        model=_name(model),
        domains=prepared.domains,
        last=prepared.last,
        remainders=remainders,
        jacobian=jacobian,
        increment=increment,
        seconds=time.monotonic() - started,
    )


def _linearized(
    model: nn.Module, prompts: Prepared, rows: int, progress: bool
) -> list[Linearization]:
    bar = tqdm(prompts.tokens, desc="linearise", unit="prompt", disable=not progress)
    return [linearize(model, torch.tensor([one.ids]), chunk=rows) for one in bar]


def _steps(
    runs: Sequence[Linearization], prompts: Prepared, direction: Direction | None, seed: int
) -> Steps:
    states = torch.stack([run.states[:-1].double() for run in runs])
    return steps(states, prompts.partners(), direction, seed)


def _direction(
    model: nn.Module, tokenizer: Any, feature: Feature | None, progress: bool
) -> Direction | None:
    if isinstance(feature, Steering):
        feature.provenance.require_model(model, locate(model))
        return feature.direction
    if isinstance(feature, ContrastivePairs | AlignedPairs):
        return read_direction(model, tokenizer, feature, progress=progress)
    return feature


def _checked_rank(model: nn.Module, rank: int | None) -> int:
    n = locate(model).n
    size = default_rank(n) if rank is None else rank
    if not 1 <= size <= n:
        raise InputError(f"rank is {rank}; it must be between 1 and n = {n}.")
    return size


def _doubt_precision(model: nn.Module, smallest: float) -> None:
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    rounding = torch.finfo(dtype).eps / smallest
    if rounding > _ROUNDING:
        warnings.warn(
            f"in {dtype} rounding makes up about {rounding:.0%} of a step of {smallest:g} |x|: "
            "load the model in float32, or leave small scales out.",
            stacklevel=3,
        )


def _name(model: nn.Module) -> str:
    config = getattr(unwrap(model), "config", None)
    name = str(getattr(config, "_name_or_path", "") or getattr(config, "model_type", "model"))
    return Path(name).name if Path(name).is_dir() else name
