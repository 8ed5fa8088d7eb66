"""CAA: one tensor a file, `vec_layer_LAYER_MODEL.pt`.

The tensor is added to the output of the 0-based decoder block LAYER, at the tokens behind the
instruction. The number is in the file's name and nowhere in the file.

Source:
    Steering Llama 2 via Contrastive Activation Addition (arXiv 2312.06681) and its repository,
    nrimsky/CAA: `generate_vectors.py`, `llama_wrapper.py`.
"""

import re
from pathlib import Path

from torch import Tensor

from steersman.errors import InputError
from steersman.exchange.torch_file import write_torch
from steersman.exchange.vectors import Vectors, listed_blocks

_LAYER = re.compile(r"layer_(\d+)(?!\d)")


def of_tensor(found: Tensor, path: Path, block: int | None = None) -> Vectors:
    """The vector in a tensor.

    Args:
        found: `(n,)`; leading axes of one are left out.
        path: the file, whose name may say the block.
        block: at whose output it acts; None takes it from the file's name.

    Raises:
        InputError: nothing says which block.
    """
    named = _LAYER.search(path.name)
    if block is None and named is None:
        raise InputError(
            f"{path.name} holds one vector and does not say of which block, as "
            "vec_layer_13_MODEL.pt does: give the block, blocks=13."
        )
    where = int(named[1]) if block is None and named else int(block or 0)
    vector = found.reshape(-1) if found.numel() == found.shape[-1:].numel() else found
    return Vectors.of({where: vector}, {"format": "CAA"})


def write(vectors: Vectors, path: Path) -> Path:
    """Write the vector of the only block that has one; the name of the file has to say which.

    Raises:
        InputError: there are several, or the file's name does not say the block.
    """
    if len(vectors.blocks) > 1:
        raise InputError(
            f"a CAA file holds one vector, and there are some for {listed_blocks(vectors.blocks)}: "
            "choose one, blocks=13, or write another format."
        )
    (block,) = vectors.blocks
    named = _LAYER.search(path.name)
    if named is None or int(named[1]) != block:
        raise InputError(
            f"the name of a CAA file says its block: call it vec_layer_{block}_MODEL.pt and not "
            f"{path.name}."
        )
    return write_torch(vectors.by_block[block], path)
