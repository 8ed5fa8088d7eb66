"""The decoder blocks of a model of vLLM, and the operation behind each."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from steersman.errors import ArchitectureError
from steersman.vllm.op import look, steer
from steersman.vllm.table import LawTable

_BUFFERS = ("H", "G", "S", "mask", "opened", "used", "fired", "seen")
_LAST = ("last", "used", "seen_last")
_ELSEWHERE = ("vision", "visual", "audio", "encoder", "tower")


def find_blocks(model: nn.Module, count: int) -> dict[int, nn.Module]:
    """The decoder blocks that this process holds, by their numbers.

    Args:
        model: as vLLM loaded it; of a model that is spread over processes, this one's share.
        count: how many the whole model has.

    Raises:
        ArchitectureError: no list of that many blocks, or several.
    """
    lists = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and _decodes(path, module)
    }
    # A list of parts inside a block lies deeper than the list of the blocks.
    shallowest = min((path.count(".") for path in lists), default=0)
    found = [path for path in lists if path.count(".") == shallowest]
    if len(found) != 1:
        raise ArchitectureError(
            f"the {count} decoder blocks of this {type(model).__name__} were not found: "
            f"{len(found)} lists of that length ({', '.join(found) or 'none'}). It cannot be "
            "steered inside vLLM."
        )
    return {
        number: block
        for number, block in enumerate(lists[found[0]])
        if type(block).__name__ != "PPMissingLayer"
    }


def hook_blocks(blocks: Mapping[int, nn.Module], table: LawTable) -> None:
    """Let every block be followed by the operation; before the model is compiled.

    The tensors of the table become buffers of the block, which a compiled graph takes as inputs, so
    that it can be stored and loaded again.

    Args:
        blocks: by their numbers.
        table: the tensors.
    """
    for number, block in blocks.items():
        for name, tensor in zip(_BUFFERS, table.at(number), strict=True):
            block.register_buffer(f"steersman_{name}", tensor, persistent=False)
        ends = number + 1 == table.blocks
        if ends:
            for name, tensor in zip(_LAST, table.at_the_end, strict=True):
                block.register_buffer(f"steersman_{name}", tensor, persistent=False)
        block.forward = _Steered(block, table, ends)


class _Steered:
    """A block's forward pass with the operation behind it.

    Args:
        block: the block, whose own `forward` runs first.
        table: tells whether anything is steered at all.
        ends: whether it is the model's last, whose output is looked at, too.
    """

    def __init__(self, block: nn.Module, table: LawTable, ends: bool) -> None:
        self.block = block
        self.ends = ends
        self.inner = block.forward
        self.table = table

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the block gives, with the inputs of the laws added on steered rows.

        The stream is copied first: the norms of a block may write into its arguments.
        """
        # A graph is compiled once for all passes, and has to hold the operation.
        if not torch.compiler.is_compiling() and self.table.resting:
            return self.inner(*args, **kwargs)
        x = _stream(args, kwargs)
        output = self.inner(*args, **kwargs)
        y = output[0] if isinstance(output, tuple) else output
        block = self.block
        steer(
            y,
            x,
            block.steersman_H,
            block.steersman_G,
            block.steersman_S,
            block.steersman_mask,
            block.steersman_opened,
            block.steersman_used,
            block.steersman_fired,
            block.steersman_seen,
        )
        if self.ends:
            rest = _rest(output)
            look(y, rest, block.steersman_last, block.steersman_used, block.steersman_seen_last)
        return output


def _stream(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The residual stream that enters a block: what it is given, and what is yet to be added.

    Raises:
        ArchitectureError: the block takes something else.
    """
    hidden, residual = kwargs.get("hidden_states"), kwargs.get("residual")
    states = [one for one in args if isinstance(one, Tensor) and one.is_floating_point()]
    if hidden is None and states:
        hidden, states = states[0], states[1:]
    if residual is None and states and hidden is not None and states[0].shape == hidden.shape:
        residual = states[0]
    if hidden is None or hidden.ndim != 2:
        raise ArchitectureError(
            "a decoder block was called without a residual stream of shape (rows, width): this "
            "model cannot be steered inside vLLM."
        )
    return hidden.clone() if residual is None else torch.add(hidden, residual)


def _rest(output: Any) -> Tensor | None:
    """What a block gives beside its output to be added to it by the next norm, if anything."""
    if not isinstance(output, tuple) or len(output) < 2:
        return None
    y, rest = output[:2]
    return rest if isinstance(rest, Tensor) and rest.shape == y.shape else None


def _decodes(path: str, module: nn.ModuleList) -> bool:
    """Whether a list may be that of the decoder: its parts are blocks, and not of another part."""
    parts = path.lower().split(".")
    held = {type(block).__name__ for block in module}
    return not any(word in part for word in _ELSEWHERE for part in parts) and bool(
        held - {"PPMissingLayer", "Attention"}
    )
