"""A second way to steer: plain hooks that edit each block's output, and states read beside it."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import steersman as sm
from steersman.methods import Method
from steersman.plant import HookSet, capture_states, hidden_in, hidden_out, locate, with_hidden

Edit = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""Block, what enters it and what leaves it, `(tokens, n)`, float64 -> what shall leave it."""

IDS = torch.arange(6, 16)[None]


def examples(tokenizer: Any, count: int = 8) -> sm.ContrastivePairs:
    """Pairs that end in the same word."""
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 2 + count)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 2 + count)],
    )


def fitted(model: Any, tokenizer: Any, method: str | Method, **settings: Any) -> sm.Steering:
    """A steering of these pairs; random models separate badly and say so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pairs = settings.pop("pairs", None) or examples(tokenizer)
        return sm.fit(model, tokenizer, pairs, method=method, progress=False, **settings)


def sides(
    model: Any, tokenizer: Any, pairs: sm.ContrastivePairs | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """States of the desired and the undesired pairs, `(pairs, states, n)`, float64."""
    pairs = pairs or examples(tokenizer)
    found = [capture_states(model, tokenizer, side) for side in (pairs.desired, pairs.undesired)]
    return found[0].double().numpy(), found[1].double().numpy()


@torch.no_grad()
def hooked(model: Any, edit: Edit, ids: Tensor = IDS) -> Tensor:
    """Logits while every block's output is edited."""
    entered: dict[int, np.ndarray] = {}

    def after(block: int, args: Any, kwargs: Any, out: Any) -> Any:
        y = hidden_out(out)
        new = edit(block, entered[block], y[0].double().numpy())
        return with_hidden(out, torch.from_numpy(new).to(y)[None])

    with HookSet() as hooks:
        for block, module in enumerate(locate(model).modules):
            hooks.before(
                module,
                lambda a, k, t=block: entered.update({t: hidden_in(a, k)[0].double().numpy()}),
            )
            hooks.after(module, lambda a, k, out, t=block: after(t, a, k, out))
        return model(ids).logits


@torch.no_grad()
def steered(model: Any, steering: sm.Steering, target: float = 1.0, **settings: Any) -> Tensor:
    """Logits under a steering, at every token unless it is asked for otherwise."""
    settings = {"tokens": "all", "trace": False} | settings
    with steering.attach(model, target, **settings):
        return model(IDS).logits


def close(found: Tensor, expected: Tensor) -> None:
    """The same up to what float32 leaves after a few blocks."""
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert bool(found.isfinite().all())
