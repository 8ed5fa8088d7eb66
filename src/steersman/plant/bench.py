"""A model whose blocks are held at the inputs of one clean run, so that edits show one by one."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from steersman.errors import ArchitectureError
from steersman.plant.blocks import Blocks
from steersman.plant.forward import forward_arguments, input_device
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, with_hidden, with_hidden_in
from steersman.plant.tokens import Encoded

Edit = Callable[[Tensor], Tensor]
"""What becomes of a module's output."""
_LENGTH = 5


class Bench:
    """Runs blocks at fixed inputs: `y_t = f_t(x_t)` `x_t` of the clean run, whatever is edited.

    Args:
        model: a transformers model in evaluation mode; only read.
        blocks: its blocks.

    Raises:
        ArchitectureError: a forward over a few tokens fails.
    """

    def __init__(self, model: nn.Module, blocks: Blocks) -> None:
        """Run the clean forward."""
        self._model, self._blocks = model, blocks
        vocabulary = getattr(blocks.embed, "num_embeddings", _LENGTH + 1)
        ids = torch.arange(1, _LENGTH + 1, device=input_device(blocks)).remainder(vocabulary)[None]
        self._given = forward_arguments(model, Encoded(ids, torch.ones_like(ids)))
        self.inputs: list[Tensor] = []
        with HookSet() as hooks:
            for module in blocks.modules:
                hooks.before(module, self._keep_input)
            self.outputs = self._run(hooks)

    def run(self, edits: Mapping[nn.Module, Edit]) -> list[Tensor]:
        """The blocks' outputs with the outputs of some modules edited; no edit reaches the next.

        Args:
            edits: by module; one that no forward calls is never edited.
        """
        with HookSet() as hooks:
            for t, module in enumerate(self._blocks.modules):
                hooks.before(module, partial(self._hold, t))
            for module, edit in edits.items():
                hooks.after(module, partial(_edited, edit))
            return self._run(hooks)

    def first_input(self, edits: Mapping[nn.Module, Edit]) -> Tensor:
        """What reaches the first block with the outputs of some modules edited."""
        seen: list[Tensor] = []

        def look(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(hidden_in(args, kwargs).detach().clone())

        with HookSet() as hooks:
            hooks.before(self._blocks.modules[0], look)
            for module, edit in edits.items():
                hooks.after(module, partial(_edited, edit))
            self._run(hooks)
        return seen[0]

    def _run(self, hooks: HookSet) -> list[Tensor]:
        outputs: list[Tensor] = []

        def look(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            outputs.append(hidden_out(output).detach().clone())

        for module in self._blocks.modules:
            hooks.after(module, look)
        try:
            with torch.no_grad():
                self._model(**self._given)
        except Exception as error:
            raise ArchitectureError(
                f"a forward of {type(self._model).__name__} over {_LENGTH} tokens failed with "
                f"{type(error).__name__}: {error}"
            ) from error
        if len(outputs) != len(self._blocks):
            raise ArchitectureError(
                f"{len(outputs)} of {len(self._blocks)} blocks ran in a forward: this model does "
                "not run its blocks once each"
            )
        return outputs

    def _keep_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.inputs.append(hidden_in(args, kwargs).detach().clone())

    def _hold(
        self, t: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return with_hidden_in(args, kwargs, self.inputs[t])


def _edited(edit: Edit, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    return with_hidden(output, edit(hidden_out(output)))
