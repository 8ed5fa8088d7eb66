"""Places inside a block where a tensor can be read and replaced, beside the residual stream."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from torch import Tensor, nn

from steersman.errors import ArchitectureError, InputError
from steersman.plant.bench import Bench
from steersman.plant.blocks import Blocks, locate, model_type, text_config
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, with_hidden, with_hidden_in
from steersman.plant.writers import Part, projections

Site = Literal["block", "heads", "attention", "mlp", "attention-norm", "mlp-norm"]
"""Where a law reads and acts:

- "block": the residual stream, at a block's input or output;
- "heads": what the attention heads put out, side by side, before the output projection mixes them;
- "attention", "mlp": what the attention's or the MLP's output projection puts out;
- "attention-norm", "mlp-norm": what the normalisation in front of the attention or the MLP puts
  out; where the two share one, they are the same place.
"""

_PARTS: dict[Site, Part] = {
    **dict.fromkeys(("heads", "attention", "attention-norm"), "attention"),
    **dict.fromkeys(("mlp", "mlp-norm"), "mlp"),
}


@dataclass(frozen=True)
class Sites:
    """One place in every block.

    Args:
        site: which.
        modules: of each block, the module whose input or output it is.
        side: whether it is that module's input or its output.
        width: how many numbers a token has there.
        heads: how many attention heads lie side by side there; 0 where there are none.
    """

    site: Site
    modules: tuple[nn.Module, ...]
    side: Literal["input", "output"]
    width: int
    heads: int = 0

    def look(self, hooks: HookSet, take: Callable[[int, Tensor], None]) -> None:
        """Have `take(block, tensor)` called with what every block holds at the site.

        Args:
            hooks: what the hooks belong to.
            take: only looks.
        """

        def before(t: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            take(t, hidden_in(args, kwargs))

        def after(t: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            take(t, hidden_out(output))

        for t, module in enumerate(self.modules):
            if self.side == "input":
                hooks.before(module, partial(before, t))
            else:
                hooks.after(module, partial(after, t))

    def change(self, hooks: HookSet, map_: Callable[[int, Tensor], Tensor | None]) -> None:
        """Have what every block holds at the site replaced by `map_(block, tensor)`.

        Args:
            hooks: what the hooks belong to.
            map_: a new tensor of the same shape; None leaves it as it is.
        """

        def before(
            t: int, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            new = map_(t, hidden_in(args, kwargs))
            return None if new is None else with_hidden_in(args, kwargs, new)

        def after(t: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            new = map_(t, hidden_out(output))
            return None if new is None else with_hidden(output, new)

        for t, module in enumerate(self.modules):
            if self.side == "input":
                hooks.before(module, partial(before, t))
            else:
                hooks.after(module, partial(after, t))


def site_named(name: str) -> Site:
    """The site of that name.

    Raises:
        InputError: there is none.
    """
    for site in get_args(Site):
        if name == site:
            return site  # type: ignore[no-any-return]
    raise InputError(f"the site is {name!r}; choose one of {', '.join(get_args(Site))}.")


def find_sites(model: nn.Module, site: Site) -> Sites:
    """Where a site of each block of a model is.

    Output projections are found as `writers` finds them, by the table or by shape and forwards; a
    normalisation by what flows: it is the module whose output, the very same numbers, is what the
    part with that projection takes in.

    Args:
        model: a transformers model in evaluation mode; only read.
        site: any but "block".

    Raises:
        ArchitectureError: a block has no such place, or several.
        InputError: the site is the residual stream, which has no module of its own.
    """
    blocks, site = locate(model), site_named(site)
    if site == "block":
        raise InputError("the residual stream is at every block: locate() finds it.")
    found = [_only(some, site, t, model) for t, some in enumerate(projections(model))]
    heads = int(getattr(text_config(model), "num_attention_heads", 0) or 0)
    if site in ("attention", "mlp"):
        return Sites(site, tuple(found), "output", blocks.n)
    if site == "heads":
        width = _width(model, blocks, found[0])
        if not heads or width % heads:
            raise ArchitectureError(
                f"{type(model).__name__} has {heads} heads by its configuration, and its attention "
                f"puts out {width} numbers a token, which cannot be told apart by head"
            )
        return Sites(site, tuple(found), "input", width, heads)
    return Sites(site, _norms(model, blocks, found, site), "output", blocks.n)


def _only(
    some: Sequence[tuple[Part, nn.Module]], site: Site, t: int, model: nn.Module
) -> nn.Module:
    modules = [module for part, module in some if part == _PARTS[site]]
    if modules and site.endswith("-norm"):
        return modules[0]  # any of several experts is in the part that the norm is in front of
    if len(modules) == 1 and not _of_experts(modules[0]):
        return modules[0]
    raise ArchitectureError(
        f"block {t} of {type(model).__name__} (model type {model_type(model)!r}) has "
        f"{len(modules) or 'no'} maps of the kind {_PARTS[site]!r}"
        f"{' for several experts' if len(modules) == 1 else ''}, so {site!r} is no single place "
        "there: steer the residual stream, or another site"
    )


def _of_experts(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return not isinstance(weight, Tensor)


def _width(model: nn.Module, blocks: Blocks, module: nn.Module) -> int:
    """How wide the input of a module is, by a forward."""
    seen: list[int] = []

    def look(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(hidden_in(args, kwargs).shape[-1])

    with HookSet() as hooks:
        hooks.before(module, look)
        Bench(model, blocks)
    if not seen:
        raise ArchitectureError(f"{type(module).__name__} was not called in a forward")
    return seen[0]


def _norms(
    model: nn.Module, blocks: Blocks, writing: Sequence[nn.Module], site: Site
) -> tuple[nn.Module, ...]:
    """Of each block the normalisation whose output the part with `writing[t]` takes in."""
    flow = [_Flow(block, writer) for block, writer in zip(blocks.modules, writing, strict=True)]
    with HookSet() as hooks:
        for one in flow:
            one.watch(hooks)
        Bench(model, blocks)
    found = [one.norm for one in flow]
    missing = [t for t, norm in enumerate(found) if norm is None]
    if missing:
        raise ArchitectureError(
            f"no normalisation in front of the {_PARTS[site]} was found in blocks {missing} of "
            f"{type(model).__name__} (model type {model_type(model)!r}), which may norm what its "
            "parts put out instead: steer another site"
        )
    return tuple(norm for norm in found if norm is not None)


class _Flow:
    """What the parts of one block hand to each other in a forward."""

    def __init__(self, block: nn.Module, writer: nn.Module) -> None:
        """The part that writes is the child of the block that holds the writer, or itself."""
        inside = list(block.modules())[1:]
        self._norms = [one for one in inside if _is_norm(one)]
        around = [one for one in block.children() if any(m is writer for m in one.modules())]
        # Where a block calls the maps of its MLP by itself, the first of them takes the norm's
        # output in, and what it is called is not known: any module that is no norm will do.
        bare = bool(around) and around[0] is writer
        self._parts = [m for m in inside if m not in self._norms] if bare else around
        self._writer = writer
        self._out: list[tuple[nn.Module, Tensor]] = []
        self._seen: nn.Module | None = None
        self.norm: nn.Module | None = None

    def watch(self, hooks: HookSet) -> None:
        """Look at what norms put out and what the parts take in."""
        for norm in self._norms:
            hooks.after(norm, partial(self._put_out, norm))
        for part in self._parts:
            hooks.before(part, self._taken_in)
        if self._parts != [self._writer]:
            hooks.before(self._writer, self._written)

    def _put_out(self, norm: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self._out.append((norm, hidden_out(output)))

    def _taken_in(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]
        for norm, output in self._out:
            if any(_same(output, one) for one in given):
                self._seen = norm

    def _written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # What was taken in last before the writer is called is what it writes about.
        self.norm = self._seen


def _is_norm(module: nn.Module) -> bool:
    """Whether a module has at most a scale and a shift for each number, and is called a norm."""
    parameters = list(module.parameters())
    return "norm" in type(module).__name__.lower() and all(one.ndim <= 1 for one in parameters)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers in memory, perhaps of another shape."""
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


def at_tokens(z: Tensor, batch: int, length: int) -> Tensor:
    """A tensor at a site as `(batch, length, width)`, however the model shapes it there.

    Raises:
        ArchitectureError: it does not hold a row for every token.
    """
    width = z.shape[-1]
    if z.numel() != batch * length * width:
        raise ArchitectureError(
            f"a site holds a tensor of shape {tuple(z.shape)} in a pass of {batch} rows of "
            f"{length} tokens: it has no row for every token, so it cannot be steered there"
        )
    return z if z.ndim == 3 else z.reshape(batch, length, width)
