"""Singular values of the blocks' Jacobians, and how alike their leading subspaces are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from steersman.control import Leading, drawn_similarity, leading, random_corners, similarities
from steersman.errors import InputError, NumericalError
from steersman.plant import CHUNK, Tokens, each_jacobian, locate

SHARE = 20
"""The rank of the subspaces is n over this."""
DRAWS = 64
"""Random rotations that chance is drawn with."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """The spectra of one matrix a block and prompt: of `A_t`, or of `A_t - I`.

    Args:
        rank: `r`, dimension of the subspaces that are compared.
        values: singular values, falling, their mean over prompts.
        values_sd: their standard deviation over prompts.
        radius: spectral radius of every prompt's matrix, the largest modulus of an eigenvalue.
        norm: spectral norm of every prompt's matrix, the largest singular value.
        similarity: spectral similarity of the leading left subspaces of every two prompts.
        chance: the same for subspaces with these singular values turned at random, by draws.
        chance_se: its standard error over the draws.
    """

    rank: int
    values: Float[Tensor, "blocks n"]
    values_sd: Float[Tensor, "blocks n"]
    radius: Float[Tensor, "prompts blocks"]
    norm: Float[Tensor, "prompts blocks"]
    similarity: Float[Tensor, "blocks prompts prompts"]
    chance: Float[Tensor, " blocks"]
    chance_se: Float[Tensor, " blocks"]


def default_rank(n: int) -> int:
    """A twentieth of the width, one at least."""
    return max(1, n // SHARE)


def measure_spectra(
    model: nn.Module,
    tokens: Sequence[Tokens],
    *,
    rank: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    chunk: int = CHUNK,
    progress: bool = False,
) -> tuple[Spectra, Spectra]:
    """Take every block's Jacobian at the last token of every prompt, and keep what is compared.

    A Jacobian is decomposed as soon as its block has run, and then dropped: one matrix at a time.
    What stays is n singular values and 2 r vectors a block and prompt.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        tokens: at least two prompts.
        rank: `r`, how many leading singular vectors are compared; n / 20 when None.
        draws: random rotations that the baseline is drawn with.
        seed: of these draws.
        chunk: rows of a Jacobian computed at a time; bounds the memory.
        progress: show a progress bar.

    Returns:
        Spectra of `A_t`, and of `A_t - I`: what the block adds to the residual stream.

    Raises:
        InputError: fewer than two prompts, a rank that is not between 1 and n, no draw, or a model
            in training mode.
        AttachedError: a steering is attached.
        NumericalError: a Jacobian is not finite; the message names prompt and block.
    """
    if len(tokens) < 2:
        raise InputError(f"{len(tokens)} prompt was given; two at least are compared.")
    blocks = locate(model)
    size = default_rank(blocks.n) if rank is None else rank
    generator = torch.Generator().manual_seed(seed)
    corners = random_corners(blocks.n, size, draws, generator)
    whole, added = _Gathered.empty(len(blocks)), _Gathered.empty(len(blocks))
    total = len(tokens) * len(blocks)
    with tqdm(total=total, desc="jacobians", unit="block", disable=not progress) as bar:

        def take(block: int, matrix: Float[Tensor, "n n"]) -> None:
            eigenvalues = torch.linalg.eigvals(matrix).cpu()
            whole.add(block, leading(matrix, size), eigenvalues)
            unit = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
            added.add(block, leading(matrix - unit, size), eigenvalues - 1)
            bar.update()

        for index, one in enumerate(tokens):
            try:
                each_jacobian(model, torch.tensor([one.ids]), take, chunk=chunk)
            except NumericalError as error:
                raise NumericalError(f"prompt {index} ({one.text[:60]!r}): {error}") from error
    pairs = _random_pairs(len(tokens), draws, generator)
    return whole.spectra(corners, pairs), added.spectra(corners, pairs)


@dataclass(frozen=True, eq=False)
class _Gathered:
    """What is kept of the matrices, a list of prompts for every block."""

    leads: list[list[Leading]]
    radius: list[list[float]]

    @classmethod
    def empty(cls, blocks: int) -> "_Gathered":
        return cls([[] for _ in range(blocks)], [[] for _ in range(blocks)])

    def add(self, block: int, lead: Leading, eigenvalues: Tensor) -> None:
        self.leads[block].append(Leading(lead.values.cpu().double(), lead.subspace.cpu()))
        self.radius[block].append(float(eigenvalues.abs().max()))

    def spectra(self, corners: Tensor, pairs: Int[Tensor, "two draws"]) -> Spectra:
        values = torch.stack([torch.stack([one.values for one in row]) for row in self.leads])
        alike = [similarities(torch.stack([one.subspace for one in row])) for row in self.leads]
        rank = corners.shape[-1]
        drawn = torch.stack(
            [
                drawn_similarity(row[pairs[0], :rank], row[pairs[1], :rank], corners)
                for row in values
            ]
        )
        return Spectra(
            rank=rank,
            values=values.mean(dim=1),
            values_sd=values.std(dim=1),
            radius=torch.tensor(self.radius, dtype=torch.float64).T,
            norm=values[:, :, 0].T,
            similarity=torch.stack(alike).double(),
            chance=drawn.mean(dim=1),
            chance_se=drawn.std(dim=1) / drawn.shape[1] ** 0.5,
        )


def _random_pairs(prompts: int, draws: int, generator: torch.Generator) -> Int[Tensor, "two draws"]:
    """Two different prompts for every draw, whose singular values it takes."""
    first = torch.randint(prompts, (draws,), generator=generator)
    step = torch.randint(1, prompts, (draws,), generator=generator)
    return torch.stack([first, (first + step) % prompts])
