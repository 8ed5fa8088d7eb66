"""What a model of vLLM holds behind each of its blocks, and once more behind the last.

e = S - x H'                   where the row's mask is set, else 0
y = y + clamp(e G, +-most)     on open rows; all others keep every bit

All of `e` stays where it was computed until the next pass, so that what the laws observed can be
told without computing it again: a column with S = 0 and G = 0 observes and does nothing else.

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
    S: Tensor,
    mask: Tensor,
    opened: Tensor,
    used: Tensor,
    fired: Tensor,
    seen: Tensor,
) -> None:
    """Add the inputs of all laws to a block's output, in place.

    One operation for any number of requests and laws, so that a compiled or captured graph holds
    the same nodes whoever is steered: only the contents of the tensors change.

    Args:
        y: what comes out of the block, `(rows, n)`; changed in place.
        x: the residual stream that entered it, `(rows, n)`.
        H: what all laws observe at this block, `(columns, n)`, float32.
        G: what they do about it, `(columns, n)`, float32.
        S: each row's setpoints, `(capacity, columns)`, float32.
        mask: which laws act on each row, `(capacity, columns)`.
        opened: the rows on which any does, `(capacity,)`.
        used: how many rows those are, and before which column all laws are that act on any.
        fired: one number; set to 1.
        seen: becomes `S - x H'` where any row is open, `(capacity, columns)`, float32.
    """
    fired.fill_(1)
    rows = y.shape[0]
    if rows > opened.shape[0]:
        raise RuntimeError(f"{rows} rows in one pass, and room was kept for {opened.shape[0]}.")
    # Asking an accelerator for a value would wait for it, and a captured graph cannot.
    known, columns = used.tolist() if y.device.type == "cpu" else (None, len(H))
    if known == 0:
        return
    errors = seen[:rows, :columns]
    torch.addmm(S[:rows, :columns], x.to(H.dtype), H[:columns].t(), alpha=-1, out=errors)
    acting = torch.where(mask[:rows, :columns], errors, 0.0)
    most = most_of(y.dtype)
    u = acting.mm(G[:columns]).clamp_(-most, most).to(y.dtype)
    if known == rows:
        y.add_(u)
    else:
        y.copy_(torch.where(opened[:rows].unsqueeze(1), y + u, y))


def _look(y: Tensor, rest: Tensor | None, H: Tensor, used: Tensor, seen: Tensor) -> None:
    """Keep what is observed of the last block's output, as `_steer` does of the inputs.

    Args:
        y: what comes out of the block, `(rows, n)`.
        rest: what is yet to be added to it; None where that is nothing.
        H: what is observed of their sum, `(columns, n)`, float32.
        used: of how many rows anything is, and before which column.
        seen: becomes `-(y + rest) H'` where any is, `(capacity, columns)`, float32.
    """
    known, columns = used.tolist() if y.device.type == "cpu" else (None, len(H))
    if known == 0:
        return
    here, observed = seen[: y.shape[0], :columns], H[:columns].t()
    here.addmm_(y.to(H.dtype), observed, beta=0, alpha=-1)
    if rest is not None:
        here.addmm_(rest.to(H.dtype), observed, alpha=-1)


def _fake(*tensors: Tensor | None) -> None:
    """Nothing new comes out of either."""


# Registered by hand: what the decorator puts around it takes as long as a block of a small model.
_LIBRARY: Any = torch.library.Library("steersman", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(
    "steer(Tensor(a!) y, Tensor x, Tensor H, Tensor G, Tensor S, Tensor mask, Tensor opened, "
    "Tensor used, Tensor(b!) fired, Tensor(c!) seen) -> ()"
)
_LIBRARY.define("look(Tensor y, Tensor? rest, Tensor H, Tensor used, Tensor(a!) seen) -> ()")
for _name, _kernel in (("steer", _steer), ("look", _look)):
    _LIBRARY.impl(_name, _kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"steersman::{_name}", _fake, lib=_LIBRARY)
steer = torch.ops.steersman.steer.default
look = torch.ops.steersman.look.default
