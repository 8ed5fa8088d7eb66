"""The one operation that a model of vLLM holds behind each of its blocks.

e = S[slot] - x H              where the row's mask is set, else 0
y = y + clamp(e G', +-most)    on open rows; all others keep every bit

Keys and values that are not finite would outlive their request: attention multiplies what an
earlier one left in a block of the cache by zero, and not a number times zero is not a number. So a
push is bounded far above any that means something, and far below where the next norm overflows.
"""

from typing import Any

import torch
from torch import Tensor


def most_of(dtype: torch.dtype) -> float:
    """The largest push along one coordinate of a model of some precision."""
    return 1e3 if dtype is torch.float16 else 1e15


def _steer(
    y: Tensor,
    x: Tensor,
    H: Tensor,
    G: Tensor,
    setpoints: Tensor,
    slot: Tensor,
    mask: Tensor,
    opened: Tensor,
    fired: Tensor,
) -> None:
    """Add the inputs of all laws to a block's output, in place.

    One operation for any number of requests and laws, so that a compiled or captured graph holds
    the same nodes whoever is steered: only the contents of the tensors change.

    Args:
        y: what comes out of the block, `(rows, n)`; changed in place.
        x: the residual stream that entered it, `(rows, n)`.
        H: what all laws observe at this block, `(n, columns)`, float32.
        G: what they do about it, `(columns, n)`, float32.
        setpoints: by slot, `(slots, columns)`, float32.
        slot: each row's slot, `(capacity,)`.
        mask: which laws act on each row, `(capacity, columns)`.
        opened: the rows on which any does, `(capacity,)`.
        fired: one number; set to 1.
    """
    fired.fill_(1)
    rows = y.shape[0]
    if rows > opened.shape[0]:
        raise RuntimeError(f"{rows} rows in one pass, and room was kept for {opened.shape[0]}.")
    here = opened[:rows]
    # Asking an accelerator for a value would wait for it, and a captured graph cannot.
    if y.device.type == "cpu" and not bool(here.any()):
        return
    errors = torch.addmm(setpoints[slot[:rows]], x.to(H.dtype), H, alpha=-1)
    most = most_of(y.dtype)
    u = torch.where(mask[:rows], errors, 0.0).mm(G).clamp_(-most, most).to(y.dtype)
    if y.device.type == "cpu" and bool(here.all()):
        y.add_(u)
    else:
        y.copy_(torch.where(here.unsqueeze(1), y + u, y))


def _fake(*tensors: Tensor) -> None:
    """Nothing new comes out of it."""


# Registered by hand: what the decorator puts around it takes as long as a block of a small model.
_LIBRARY: Any = torch.library.Library("steersman", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(
    "steer(Tensor(a!) y, Tensor x, Tensor H, Tensor G, Tensor setpoints, Tensor slot, Tensor mask, "
    "Tensor opened, Tensor(b!) fired) -> ()"
)
_LIBRARY.impl("steer", _steer, "CompositeExplicitAutograd")
torch.library.register_fake("steersman::steer", _fake, lib=_LIBRARY)
steer = torch.ops.steersman.steer.default
