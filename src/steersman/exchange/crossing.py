"""From the vectors of other tools to a steering, and from a steering to theirs."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from steersman.diagnostics import Diagnostic
from steersman.directions import ALONE
from steersman.errors import InputError
from steersman.exchange.formats import FormatName, read_vectors, write_vectors
from steersman.exchange.vectors import Vectors, listed_blocks
from steersman.methods import GivenVectors
from steersman.plant import locate
from steersman.provenance import Provenance
from steersman.schedules import inputs_of, scheduled
from steersman.steering import Steering

Blocks = int | Sequence[int] | None
"""One block, several, or whichever there are."""


def import_vectors(
    source: str | Path | Vectors | Mapping[int, Any],
    model: nn.Module,
    tokenizer: Any,
    *,
    blocks: Blocks = None,
    tokens: Literal["all", "last"] = "all",
) -> Steering:
    """A steering from the vectors that another tool made for a model.

        x_{t+1} = f_t(x_t) + target v_t          for every block t that has a vector

    It has seen no examples: its feature is how far a state lies along the vectors, a unit of it is
    one vector's length, and how well it separates anything is not known.

    Args:
        source: a file as `read_vectors` takes it; or vectors by 0-based block, such as the
            `directions` of repeng's `ControlVector`.
        model: the loaded model that they were made for.
        tokenizer: its tokenizer.
        blocks: which blocks act, of those that have a vector; None is all of them. Of a file that
            holds one vector and does not say of which block, that block.
        tokens: "all" acts at every token, as those tools do, "last" from the prompt's last one on.

    Returns:
        A steering of method `vectors`, saved and attached as any other.

    Raises:
        ArtifactError: the file is damaged, of no known format, or holds more than data.
        MismatchError: the model is too small for them, or of another width.
        InputError: a block that has none, or all of them zero.
        MissingExtraError: a package that reads the file is not installed.
    """
    vectors = _vectors(source, blocks)
    plant = locate(model)
    made = Provenance.of(
        model,
        tokenizer,
        pairs_hash={ALONE: ""},
        pairs={ALONE: (0, 0)},
        positions="nowhere",
        observer="mean",
        jacobian_prompts=0,
        decision_tokens=(),
    )
    inputs = vectors.schedule(len(plant), plant.n)
    method = GivenVectors(tokens=tokens)
    return Steering.of_parts(scheduled(inputs, made, _told(vectors), method))


def export_vectors(
    steering: Steering,
    path: str | Path,
    *,
    format: FormatName | None = None,
    blocks: Blocks = None,
) -> Path:
    """Write what a steering adds for target 1, for another tool.

        u_t = target p_t          p_t becomes the vector of block t

    Other tools add it to every token. A steering that acts at some tokens only does less than they
    will do with it, and a warning says so.

    Args:
        steering: one that runs as a plan.
        path: where to.
        format: "gguf", "svec", "steering-vectors" or "caa"; None takes it from the ending.
        blocks: which of the blocks that act; None is all of them.

    Returns:
        The path.

    Raises:
        InputError: what the steering adds depends on the state, it has several features, the format
            has no place for a block, or the file cannot be written.
        UnknownNameError: no such format.
        MissingExtraError: a package that writes it is not installed.
    """
    parts = steering.to_parts()
    said = {"model_type": parts.provenance.model_type}
    vectors = Vectors.of_schedule(inputs_of(parts), said)
    if blocks is not None:
        vectors = vectors.only(_several(blocks))
    if parts.matches or parts.method.tokens != "all":
        warnings.warn(
            f"{parts.method.name} acts at some tokens only, and other tools add a vector at every "
            "token: what they do with it is more, and was not calibrated.",
            stacklevel=2,
        )
    return write_vectors(vectors, path, format)


def _vectors(source: str | Path | Vectors | Mapping[int, Any], blocks: Blocks) -> Vectors:
    if isinstance(source, str | Path):
        # One block may be what the file does not say; of another file it is a choice.
        found = read_vectors(source, blocks if isinstance(blocks, int) else None)
    else:
        found = source if isinstance(source, Vectors) else Vectors.of(source)
    return found if blocks is None else found.only(_several(blocks))


def _several(blocks: int | Sequence[int]) -> tuple[int, ...]:
    several = (blocks,) if isinstance(blocks, int) else tuple(blocks)
    if not several:
        raise InputError("blocks names no block; leave it out for all of them.")
    return several


def _told(vectors: Vectors) -> Diagnostic:
    """Where the vectors come from, as the steering keeps it."""
    name = vectors.said.get("file", "memory")
    said = ((key, value) for key, value in vectors.said.items() if value)
    lengths = [(f"length, block {t}", float(vectors.by_block[t].norm())) for t in vectors.blocks]
    return Diagnostic(
        name="Imported vectors",
        headline=f"imported from {name}, {listed_blocks(vectors.blocks)}",
        columns=("what", "value"),
        rows=(*said, *lengths),
    )
