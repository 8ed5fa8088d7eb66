"""What writes into the residual stream: found by the table or by shape, and proved by forwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from steersman.errors import ArchitectureError, AttachedError
from steersman.plant.bench import Bench
from steersman.plant.blocks import Blocks, locate, model_type, text_config, unwrap
from steersman.plant.forward import require_evaluation
from steersman.plant.hooks import hooked
from steersman.plant.outputs import OUTPUTS, Outputs
from steersman.plant.writer_proof import Reach, complete, embeddings_reach, reaches

Part = Literal["embedding", "attention", "mlp"]


@dataclass(frozen=True)
class Writer:
    """A linear map whose output is added to the residual stream.

        y = x + ... + gain W h

    Args:
        name: of its weight, as `model.named_parameters()` has it, wrappers taken off.
        part: the token or position embedding, attention, or MLP.
        block: the 0-based block; None for an embedding.
        module: what puts the map's output out.
        axis: the axis of the weight that runs along the residual stream, -2 or -1; an axis of
            experts may lie in front of the two.
        bias: the name that its bias has or would have; None where it can have none.
        bias_shape: of the bias; experts have one each.
        biased: whether there is a bias.
        reach: how its output reaches the block's output.
    """

    name: str
    part: Part
    block: int | None
    module: nn.Module
    axis: int
    bias: str | None
    bias_shape: tuple[int, ...]
    biased: bool
    reach: Reach


@dataclass(frozen=True)
class Writers:
    """All that writes into a model's residual stream.

        x_0 = sum of embeddings,    x_{t+1} = x_t + sum of the writers of block t

    Args:
        blocks: the decoder blocks.
        embeddings: what x_0 is the sum of.
        each: the writers of every block, in the order of the table or of the modules.
        source: "table", or "found" by shape.
        heads: how many attention heads an attention's projection takes in, side by side; 0 where
            the configuration does not say.
    """

    blocks: Blocks
    embeddings: tuple[Writer, ...]
    each: tuple[tuple[Writer, ...], ...]
    source: Literal["table", "found"]
    heads: int = 0

    @property
    def all(self) -> tuple[Writer, ...]:
        """Embeddings first, then block by block."""
        return (*self.embeddings, *(one for block in self.each for one in block))


def writers(model: nn.Module) -> Writers:
    """Find what writes into the residual stream of `model`, and prove that nothing else does.

    Proved by forwards over a few tokens: with every writer of a block silenced its output is its
    input, bit for bit; with every embedding silenced the first block's input is zero; and adding
    `d` to one writer, the others silent, moves the block's output by a multiple of `d`, the
    writer's gain. Where the last is not so, as behind a norm of the writer's output, it is said.

    Args:
        model: a transformers model in evaluation mode, bare or wrapped; only read.

    Returns:
        The writers.

    Raises:
        ArchitectureError: blocks or writers are not found, or something else writes as well.
        AttachedError: the model carries hooks of this package.
        InputError: the model is in training mode.
    """
    require_evaluation(model)
    blocks = locate(model)
    if any(hooked(module) for module in (unwrap(model), *blocks.modules)):
        raise AttachedError("this model carries a steering: leave its `with` block first")
    inner, table = unwrap(model), OUTPUTS.get(model_type(model))
    names = {id(parameter): name for name, parameter in inner.named_parameters()}
    places = None if table is None else _by_name(blocks, table)
    source: Literal["table", "found"] = "found" if places is None else "table"
    each = _by_shape(model, blocks) if places is None else places
    bench = Bench(model, blocks)
    found = complete(bench, [[place.module for place in some] for some in each])
    if found is not None:
        raise ArchitectureError(_explain(model, blocks, each, found, source))
    config = text_config(model)
    usual = (1.0, float(getattr(config, "residual_multiplier", 1.0)))
    gains = reaches(bench, [[place.module for place in some] for some in each], usual=usual)
    paired = [list(zip(some, reach, strict=True)) for some, reach in zip(each, gains, strict=True)]
    return Writers(
        blocks=blocks,
        embeddings=_embeddings(inner, blocks, bench),
        each=tuple(
            tuple(place.writer(t, names, reach) for place, reach in some)
            for t, some in enumerate(paired)
        ),
        source=source,
        heads=int(getattr(config, "num_attention_heads", 0) or 0),
    )


def projections(model: nn.Module) -> tuple[tuple[tuple[Part, nn.Module], ...], ...]:
    """Of every block, the modules whose outputs it adds to the residual stream, and their parts.

    By the table alone where the model is in it, without a forward; else as `writers` finds them.

    Args:
        model: a transformers model in evaluation mode; only read.

    Raises:
        ArchitectureError: they are not found.
    """
    table = OUTPUTS.get(model_type(model))
    places = None if table is None else _by_name(locate(model), table)
    if places is None:
        each = writers(model).each
        return tuple(tuple((w.part, w.module) for w in some) for some in each)
    return tuple(tuple((place.part, place.module) for place in some) for some in places)


@dataclass(frozen=True)
class _Place:
    """A map before anything is known of what it does."""

    path: str
    part: Part
    module: nn.Module
    weight: nn.Parameter
    axis: int
    bias: nn.Parameter | None
    may_be_biased: bool

    def writer(self, block: int, names: dict[int, str], reach: Reach) -> Writer:
        name = names.get(id(self.weight), "")
        bias = None
        if self.bias is not None:
            bias = names[id(self.bias)]
        elif self.may_be_biased:
            bias = f"{name.removesuffix('weight')}bias"
        shape = tuple(self.bias.shape) if self.bias is not None else (self.weight.shape[self.axis],)
        biased = self.bias is not None
        return Writer(name, self.part, block, self.module, self.axis, bias, shape, biased, reach)


def _by_name(blocks: Blocks, table: Outputs) -> list[list[_Place]] | None:
    """Every block's places by the table; None where a block has none of one kind."""
    found = []
    for module in blocks.modules:
        attention = _present(module, table.attention, "attention", table, blocks.n)
        mlp = _present(module, table.mlp, "mlp", table, blocks.n)
        if not attention or not mlp:
            return None
        found.append([*attention, *mlp])
    return found


def _present(
    block: nn.Module, paths: Sequence[str], part: Part, table: Outputs, n: int
) -> list[_Place]:
    places = (_place(block, path, part, table.transposed, n) for path in paths)
    return [place for place in places if place is not None]


def _place(block: nn.Module, path: str, part: Part, transposed: bool, n: int) -> _Place | None:
    above, _, leaf = path.rpartition(".")
    owner: Any = block
    for name in above.split(".") if above else ():
        owner = getattr(owner, name, None)
    found = getattr(owner, leaf, None)
    if isinstance(found, nn.Parameter):  # the maps of several experts in one parameter
        axis, bias = -1 if transposed else -2, getattr(owner, f"{leaf}_bias", None)
        fits = found.ndim > 1 and found.shape[axis] == n
        return _Place(path, part, owner, found, axis, bias, False) if fits else None
    weight = getattr(found, "weight", None)
    if not isinstance(found, nn.Module) or not isinstance(weight, nn.Parameter):
        return None
    axis = -1 if isinstance(found, Conv1D) else -2
    plain = isinstance(found, nn.Linear | Conv1D)
    if plain and weight.is_floating_point() and weight.shape[axis] != n:
        return None  # of another width: packed weights have shapes of their own
    return _Place(path, part, found, weight, axis, getattr(found, "bias", None), plain)


def _by_shape(model: nn.Module, blocks: Blocks) -> list[list[_Place]]:
    """The linear maps onto the width of the residual stream whose output reaches it unchanged."""
    paths = [
        path
        for path, module in blocks.modules[0].named_modules()
        if isinstance(module, nn.Linear | Conv1D) and _width(module) == blocks.n
    ]
    each = [
        [place for path in paths if (place := _place(block, path, "mlp", False, blocks.n))]
        for block in blocks.modules
    ]
    modules = [[place.module for place in some] for some in each]
    bench = Bench(model, blocks)
    chosen: list[list[_Place]] = [[] for _ in each]
    # What nothing else in its block reads comes first; silent, it lets what it reads be seen.
    parts: tuple[Part, Part] = ("mlp", "attention")
    for part in parts:
        silent = [[place.module for place in some] for some in chosen]
        for i in range(len(paths)):
            alone = [some[i : i + 1] for some in modules]
            for t, reach in enumerate(reaches(bench, alone, silent)):
                known = any(place.path == paths[i] for place in chosen[t])
                if reach and reach[0].gain is not None and not known:
                    chosen[t].append(replace(each[t][i], part=part))
    return chosen


def _width(module: nn.Module) -> int:
    weight: Any = module.weight
    return int(weight.shape[-1 if isinstance(module, Conv1D) else -2])


def _embeddings(model: nn.Module, blocks: Blocks, bench: Bench) -> tuple[Writer, ...]:
    """Every embedding outside the blocks without which the first block receives something else."""
    inside = {id(module) for block in blocks.modules for module in block.modules()}
    tables = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        and id(module) not in inside
        and module.embedding_dim == blocks.n
        and not torch.equal(bench.first_input({module: torch.zeros_like}), bench.inputs[0])
    ]
    reach = embeddings_reach(bench, [module for _, module in tables])
    return tuple(
        Writer(f"{name}.weight", "embedding", None, module, -1, None, (blocks.n,), False, reach)
        for name, module in tables
    )


def _explain(
    model: nn.Module,
    blocks: Blocks,
    each: Sequence[Sequence[_Place]],
    block: int,
    source: str,
) -> str:
    seen = ", ".join(place.path for place in each[block]) or "none"
    way = "by the table" if source == "table" else "by shape and a forward"
    return (
        f"{type(model).__name__} (model type {model_type(model)!r}): with the output projections "
        f"found {way} silenced ({seen}), block {block} of {blocks.path} still changes its input, "
        "so something else writes into the residual stream (a norm of the sum, an adapter, a "
        "quantised layer). Steer with attach() instead; a PEFT adapter is merged by "
        "merge_and_unload()."
    )
