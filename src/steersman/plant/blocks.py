"""The one place that names decoder blocks: a table, and a fallback that is proved by a forward."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from steersman.errors import ArchitectureError
from steersman.plant.architectures import ARCHITECTURES
from steersman.plant.proof import prove

_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")


@dataclass(frozen=True)
class Blocks:
    """The decoder blocks of a model, in the order they run: the plant's time axis.

    Args:
        modules: block t maps state x_t to x_{t+1}, t = 0 .. T-1.
        path: the name of their list in the model, such as "model.layers".
        n: width of the residual stream.
        source: "table", or "found" by shape and proved by a forward.
        context: the longest sequence the model takes, in tokens; None when it names no limit.
        embed: the token embedding.
        final_norm: the norm applied to x_T; None when there is none or its place is not known.
    """

    modules: tuple[nn.Module, ...]
    path: str
    n: int
    source: Literal["table", "found"]
    context: int | None
    embed: nn.Module
    final_norm: nn.Module | None

    def __len__(self) -> int:
        """The number of blocks, T."""
        return len(self.modules)


def locate(model: nn.Module) -> Blocks:
    """Find the decoder blocks of `model`: x_{t+1} = f_t(x_t), t = 0 .. T-1.

    A model type of the table is located by name. Any other is searched for the one list of modules
    that carries the residual stream, proved by a forward over a few tokens. The model is only
    read: never moved, wrapped or re-typed, so quantised and sharded ones work. Inside a PEFT or
    a DistributedDataParallel wrapper the base model is located.

    Args:
        model: a transformers model: bare, with a head, or wrapped.

    Returns:
        The blocks.

    Raises:
        ArchitectureError: no list of blocks could be proved, or several could; says what was seen.
    """
    inner = unwrap(model)
    return _by_name(inner) or _by_proof(inner)


def unwrap(model: nn.Module) -> nn.Module:
    """The transformers model inside a data-parallel or a PEFT wrapper, or `model` itself."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    get_base = getattr(inner, "get_base_model", None)
    base = get_base() if callable(get_base) else inner
    return base if isinstance(base, nn.Module) else inner


def text_config(model: nn.Module) -> Any:
    """The configuration of the language part of `model`; None when it has no configuration."""
    config = getattr(unwrap(model), "config", None)
    get_text = getattr(config, "get_text_config", None)
    return get_text() if callable(get_text) else config


def model_type(model: nn.Module) -> str:
    """The model type its configuration names, such as "llama"; empty without one."""
    return str(getattr(getattr(unwrap(model), "config", None), "model_type", ""))


def _by_name(model: nn.Module) -> Blocks | None:
    layout = ARCHITECTURES.get(model_type(model))
    if layout is None:
        return None
    base = getattr(model, "base_model", model)
    modules, embed = _at(base, layout.blocks), _at(base, layout.embed)
    width = getattr(text_config(model), "hidden_size", None)
    if not isinstance(modules, nn.ModuleList) or embed is None or not isinstance(width, int):
        return None  # laid out in another way than its model type says: search instead
    return Blocks(
        modules=tuple(modules),
        path=_name_of(model, modules),
        n=width,
        source="table",
        context=_context(model),
        embed=embed,
        final_norm=_at(base, layout.final_norm) if layout.final_norm else None,
    )


def _by_proof(model: nn.Module) -> Blocks:
    embed = _embedding(model)
    weight = embed.weight
    path, modules = prove(model, vocabulary=weight.shape[0], device=weight.device)
    return Blocks(
        modules=tuple(modules),
        path=path,
        n=weight.shape[1],
        source="found",
        context=_context(model),
        embed=embed,
        final_norm=None,
    )


def _context(model: nn.Module) -> int | None:
    config = text_config(model)
    found = (getattr(config, name, None) for name in _CONTEXT_NAMES)
    return next((value for value in found if isinstance(value, int) and value > 0), None)


def _embedding(model: nn.Module) -> nn.Embedding:
    found = next((m for m in model.modules() if isinstance(m, nn.Embedding)), None)
    if found is None:
        kinds = sorted({type(module).__name__ for module in model.modules()})
        raise ArchitectureError(
            f"{type(model).__name__} (model type {model_type(model)!r}) is not in the table of "
            "architectures and has no token embedding to try it on, only "
            f"{', '.join(kinds[:12])}: is it a language model?"
        )
    return found


def _at(root: nn.Module, path: str) -> nn.Module | None:
    found: Any = root
    for name in path.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, nn.Module) else None


def _name_of(model: nn.Module, module: nn.Module) -> str:
    return next((name for name, found in model.named_modules() if found is module), "")
