"""Other parameters for a while: a module's own are laid aside untouched, and put back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor, nn

from steersman.errors import MismatchError


@contextmanager
def swapped(model: nn.Module, values: Mapping[str, Float[Tensor, "..."]]) -> Iterator[None]:
    """Let `model` have these parameters inside a `with` block.

    The parameters it had are not written to: the very same objects are back afterwards, also after
    an exception. One that two modules share is swapped in the named one alone.

    Args:
        model: the model, wrappers taken off.
        values: by name, wholly worked out; a bias may be new where its module has none.

    Raises:
        MismatchError: the model has no place of that name; nothing was swapped.
    """
    places = {name: _place(model, name) for name in values}
    before = {name: owner._parameters[leaf] for name, (owner, leaf) in places.items()}
    try:
        for name, (owner, leaf) in places.items():
            owner._parameters[leaf] = nn.Parameter(values[name], requires_grad=False)
        yield
    finally:
        for name, (owner, leaf) in places.items():
            owner._parameters[leaf] = before[name]


def parameter_at(model: nn.Module, name: str) -> nn.Parameter | None:
    """The parameter of that name; None where there is a place for it and nothing in it.

    Raises:
        MismatchError: there is no such place.
    """
    owner, leaf = _place(model, name)
    return owner._parameters[leaf]


def _place(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    try:
        owner = model.get_submodule(path)
    except AttributeError:
        owner = None
    if owner is None or leaf not in owner._parameters:
        raise MismatchError(f"{type(model).__name__} has no parameter {name!r}.")
    return owner, leaf
