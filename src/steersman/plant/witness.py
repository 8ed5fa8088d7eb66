"""A few entries of every parameter: enough to know a model again in another precision."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.plant.blocks import unwrap

ENTRIES = 8
_DIGITS = {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24, torch.float64: 53}


def witness(model: nn.Module) -> dict[str, Float[Tensor, " entries"]]:
    """Entries of every parameter, in float64 on the CPU; of one that is offloaded none.

    Args:
        model: only read; wrappers are taken off.
    """
    named = unwrap(model).named_parameters(remove_duplicate=False)
    return {name: entries(parameter.detach()) for name, parameter in named}


def entries(parameter: Tensor) -> Float[Tensor, " entries"]:
    """Entries at even distances, first and last included; none of what is not at hand."""
    if parameter.device.type == "meta" or not parameter.numel() or not _plain(parameter):
        return torch.empty(0, dtype=torch.float64)
    last = parameter.numel() - 1
    places = torch.tensor([i * last // (ENTRIES - 1) for i in range(ENTRIES)])
    return parameter.reshape(-1)[places.to(parameter.device)].to("cpu", torch.float64)


def differing(
    known: Mapping[str, Float[Tensor, " entries"]],
    dtype: torch.dtype,
    found: Iterable[tuple[str, Tensor]],
) -> str | None:
    """The first parameter that is not the known one, as far as the coarser precision tells.

    Args:
        known: entries by name; a parameter that is not among them does not count.
        dtype: precision of the model they were taken from.
        found: parameters by name.
    """
    for name, parameter in found:
        was = known.get(name)
        if was is None or not was.numel() or not _plain(parameter):
            continue
        now = entries(parameter.detach())
        coarse = min((dtype, parameter.dtype), key=lambda one: _DIGITS.get(one, 0))
        if now.numel() and not torch.equal(was.to(coarse), now.to(coarse)):
            return name
    return None


def _plain(parameter: Tensor) -> bool:
    return parameter.dtype in _DIGITS and not hasattr(parameter, "__tensor_flatten__")
