"""What makes a model this model: a hash that any other architecture or training run changes."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from steersman.plant.blocks import unwrap

_SAMPLES = 8
# Where a model came from, how it is run and what saving it notes do not change what it computes.
_IGNORED = (
    *("_name_or_path", "transformers_version", "_attn_implementation", "use_cache"),
    *("architectures", "dtype", "torch_dtype"),
)


def fingerprint(model: nn.Module) -> str:
    """Hash of the configuration, and of name, shape, dtype and a few entries of every parameter.

    So are buffers of whole numbers, in which some quantised models keep their weights.

    Cheap (a few numbers a parameter) and made to tell models apart, not to resist forgery.

    Args:
        model: the model; only read. Entries of offloaded parameters do not count, and of a
            parameter that is spread over processes those of this process do.

    Returns:
        SHA-256, in hexadecimal.
    """
    digest = hashlib.sha256(_configuration(unwrap(model)).encode())
    whole = [(name, b) for name, b in model.named_buffers() if not b.is_floating_point()]
    for name, parameter in [*model.named_parameters(), *whole]:
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        to_local = getattr(parameter, "to_local", None)
        digest.update(_entries((to_local() if to_local else parameter).detach()))
    return digest.hexdigest()


def _configuration(model: nn.Module) -> str:
    to_dict = getattr(getattr(model, "config", None), "to_dict", None)
    values: dict[str, Any] = to_dict() if callable(to_dict) else {}
    kept = {key: value for key, value in values.items() if key not in _IGNORED}
    return json.dumps(kept, sort_keys=True, default=str)


def _entries(parameter: Tensor) -> bytes:
    if parameter.device.type == "meta" or parameter.numel() == 0:
        return b""
    flatten = getattr(parameter, "__tensor_flatten__", None)
    if flatten is not None:  # a quantised weight: several tensors that pass for one
        return b"".join(_entries(getattr(parameter, name)) for name in flatten()[0])
    last = parameter.numel() - 1  # beyond what float32 counts, so not by torch.linspace
    places = torch.tensor([i * last // (_SAMPLES - 1) for i in range(_SAMPLES)])
    values = parameter.reshape(-1)[places.to(parameter.device)]
    return values.to(device="cpu", dtype=torch.float32).numpy().tobytes()
