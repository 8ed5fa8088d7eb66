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

    Cheap (a few numbers a parameter) and made to tell models apart, not to resist forgery.

    Args:
        model: the model; only read. Entries of offloaded parameters do not count.

    Returns:
        SHA-256, in hexadecimal.
    """
    digest = hashlib.sha256(_configuration(unwrap(model)).encode())
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        digest.update(_entries(parameter.detach()))
    return digest.hexdigest()


def _configuration(model: nn.Module) -> str:
    to_dict = getattr(getattr(model, "config", None), "to_dict", None)
    values: dict[str, Any] = to_dict() if callable(to_dict) else {}
    kept = {key: value for key, value in values.items() if key not in _IGNORED}
    return json.dumps(kept, sort_keys=True, default=str)


def _entries(parameter: Tensor) -> bytes:
    if parameter.device.type == "meta" or parameter.numel() == 0:
        return b""
    places = torch.linspace(0, parameter.numel() - 1, _SAMPLES).long()
    values = parameter.reshape(-1)[places.to(parameter.device)]
    return values.to(device="cpu", dtype=torch.float32).numpy().tobytes()
