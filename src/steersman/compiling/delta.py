"""A change of weights: what a steering comes to where no hook runs."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steersman.compiling import checkpoint, saving
from steersman.compiling.base import Base
from steersman.compiling.change import Change, changed, weight_of
from steersman.compiling.places import require_places
from steersman.errors import AttachedError
from steersman.plant import hooked, unwrap
from steersman.plant.biased import switch_on
from steersman.plant.swapping import parameter_at, swapped


@dataclass(frozen=True, eq=False)
class WeightDelta:
    """What is added to the parameters of one model.

        W <- W + D        or        W <- W + L R

    Args:
        changes: by the name of the parameter; a bias may be new.
        base: the model that it is for.
        exact: whether the changed model is the steered one up to rounding.
        reason: what it amounts to, and why it is exact or not.
        method: what made it, such as "bias".
    """

    changes: Mapping[str, Change]
    base: Base
    exact: bool
    reason: str
    method: str

    @contextmanager
    def apply(self, model: nn.Module) -> Iterator[nn.Module]:
        """Let `model` have the changed weights inside a `with` block.

        Its own parameters are laid aside, not written to: the same objects are back afterwards,
        bit for bit, also after an exception. Only the changed ones take memory a second time.

        Args:
            model: the model that this was compiled for, in any precision.

        Raises:
            MismatchError: it is another model, changed already, quantised or offloaded.
            AttachedError: it carries a steering, which would act twice.
        """
        with swapped(unwrap(model), self.values(model)):
            yield model

    def merged(self, model: nn.Module) -> Any:
        """A copy of `model` that has the changed weights for good and saves as a checkpoint.

        Where biases are new the configuration is switched to have them, with zeros for those that
        come with the switch; where the embedding changes and is the output embedding too, the two
        are told apart, and the head stays as it was.

        Args:
            model: the model that this was compiled for; it is not changed.

        Returns:
            The copy, for `save_pretrained` or for use.

        Raises:
            MismatchError: as for `apply`.
            CompilationError: no configuration of the architecture has the new biases.
        """
        inner: Any = unwrap(model)
        places = require_places(inner.config, self.new(inner), type(inner))
        with swapped(inner, self.values(model)):
            other = copy.deepcopy(inner)
        for name, shape in places.extra.items():
            path, _, leaf = name.rpartition(".")
            owner = other.get_submodule(path)
            owner._parameters[leaf] = nn.Parameter(owner.weight.new_zeros(shape))
        switch_on(other.config, places.switch, untied=self.unties)
        if self.unties:
            other.all_tied_weights_keys = {}
        return other

    def merge_checkpoint(self, source: str | Path, target: str | Path) -> Path:
        """Write a checkpoint folder with the changed weights, file by file, loading no model.

        Args:
            source: a folder with `config.json` and safetensors files of the model.
            target: a folder that does not exist or is empty.

        Returns:
            The folder.

        Raises:
            ArtifactError: there is no such checkpoint, or the folder cannot be written; nothing is
                left half done.
            MismatchError: it is of another model, or stores its weights under other names.
            CompilationError: no configuration of the architecture has the new biases.
        """
        return checkpoint.merge(self, Path(source), Path(target))

    def save(self, path: str | Path) -> Path:
        """Write `delta.safetensors` and `delta.json` into the folder `path`.

        Raises:
            ArtifactError: the folder holds other things or cannot be written.
        """
        return saving.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "WeightDelta":
        """Read what `save` wrote; nothing is ever executed.

        Raises:
            ArtifactError: truncated, malformed, or of a newer format.
        """
        return cls(*saving.load(Path(path)))

    def values(self, model: nn.Module) -> dict[str, Tensor]:
        """The changed parameters of the model that this is for.

        Raises:
            MismatchError: it is another model, changed already, quantised or offloaded.
            AttachedError: it carries a steering, which would act twice.
        """
        inner = unwrap(model)
        if any(hooked(module) for module in inner.modules()):
            raise AttachedError("this model carries a steering: leave its `with` block first")
        self.base.require(inner)
        values = {}
        with torch.no_grad():
            for name, change in self.changes.items():
                old = parameter_at(inner, name)
                like = old if old is not None else parameter_at(inner, weight_of(name))
                values[name] = changed(name, old, change, like)
        return values

    @property
    def unties(self) -> bool:
        """Whether the embedding changes and the head, which is the same tensor, must not."""
        return self.base.tied is not None and self.base.tied[0] in self.changes

    def new(self, model: nn.Module) -> tuple[str, ...]:
        """The parameters that the model does not have yet."""
        inner = unwrap(model)
        return tuple(name for name in self.changes if parameter_at(inner, name) is None)
