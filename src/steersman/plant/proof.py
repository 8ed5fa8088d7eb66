"""Find a list of decoder blocks by shape, and prove it by one forward."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from steersman.errors import ArchitectureError
from steersman.plant.hooks import AfterHook, HookSet, hidden_in, hidden_out

_LENGTH = 5


def prove(model: nn.Module, vocabulary: int, device: torch.device) -> tuple[str, nn.ModuleList]:
    """Find the one list whose members carry the residual stream: x_{t+1} = f_t(x_t).

    One forward over a few tokens. A list is proved when each member is called once, in order, maps
    (1, L, n) to (1, L, n), and receives what the one before returned, bit for bit. A list inside
    another list does not count: it is a part of a block.

    Args:
        model: a language model that takes `input_ids`.
        vocabulary: token ids are drawn below this number.
        device: where the ids go.

    Returns:
        The name of the list and the list.

    Raises:
        ArchitectureError: none or several were proved, or the forward failed; says what was seen.
    """
    every = {name: m for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and m}
    lists = {name: m for name, m in every.items() if not _inside_another(name, every)}
    watches = {name: _Watch(modules) for name, modules in lists.items()}
    _run(model, watches, torch.arange(1, _LENGTH + 1, device=device).remainder(vocabulary))
    proved = [name for name, watch in watches.items() if watch.is_sequence()]
    if len(proved) != 1:
        raise ArchitectureError(_explain(model, watches, proved))
    return proved[0], lists[proved[0]]


def _inside_another(name: str, lists: Mapping[str, nn.ModuleList]) -> bool:
    return any(name.startswith(f"{other}.") for other in lists)


class _Watch:
    """What the members of one list received and returned during one forward."""

    def __init__(self, modules: nn.ModuleList) -> None:
        self.modules = tuple(modules)
        self.order: list[int] = []
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []

    def recorder(self, index: int) -> AfterHook:
        def record(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            try:
                state, following = hidden_in(args, kwargs), hidden_out(output)
            except ArchitectureError:
                return
            self.order.append(index)
            self.inputs.append(state.detach().clone())
            self.outputs.append(following.detach().clone())

        return record

    def is_sequence(self) -> bool:
        if self.order != list(range(len(self.modules))):
            return False
        shape = self.inputs[0].shape
        if len(shape) != 3 or shape[:2] != (1, _LENGTH):
            return False
        links = zip(self.outputs, self.inputs[1:], strict=False)
        return all(output.shape == shape for output in self.outputs) and all(
            torch.equal(output, following.to(output.device)) for output, following in links
        )

    def __str__(self) -> str:
        kinds = "/".join(sorted({type(module).__name__ for module in self.modules}))
        calls = f"called in the order {self.order}" if self.order else "never called with a tensor"
        return f"{len(self.modules)} x {kinds}, {calls}"


def _run(model: nn.Module, watches: Mapping[str, _Watch], tokens: Tensor) -> None:
    with HookSet() as hooks, torch.no_grad():
        for watch in watches.values():
            for index, module in enumerate(watch.modules):
                hooks.after(module, watch.recorder(index))
        try:
            model(input_ids=tokens[None])
        except Exception as error:
            raise ArchitectureError(
                f"{type(model).__name__} is not in the table of architectures, and a trial forward "
                f"over {len(tokens)} tokens failed with {type(error).__name__}: {error}"
            ) from error


def _explain(model: nn.Module, watches: Mapping[str, _Watch], proved: list[str]) -> str:
    problem = (
        f"more than one list of modules could be its blocks ({', '.join(proved)})"
        if proved
        else "no list of modules maps a residual stream of shape (1, length, n) to itself in order"
    )
    seen = "; ".join(f"{name}: {watch}" for name, watch in watches.items()) or "none"
    return (
        f"{type(model).__name__} is not in the table of architectures, and {problem}. "
        f"Lists of modules found: {seen}. Add its layout to the table in steersman.plant"
    )
