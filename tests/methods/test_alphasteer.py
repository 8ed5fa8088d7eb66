"""A push that is zero on the desired states, against numpy's eigenvectors and least squares."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hooked import IDS, close, fitted, hooked, sides, steered
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import InputError
from steersman.methods import AlphaSteer
from steersman.methods.alphasteer import null_space

Models = Callable[[str], PreTrainedModel]


def test_it_is_the_ridge_regression_within_what_the_desired_states_leave_over(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, AlphaSteer(1, null=0.2, ridge=0.05))
    up, down = (one[:, 2] for one in sides(model, tiny_tokenizer))
    sizes, V = np.linalg.eigh(up.T @ up)
    P = V[:, np.cumsum(sizes.clip(min=0)) <= 0.2 * sizes.sum()]
    Z = down @ P
    rows = len(Z)
    penalty = math.sqrt(0.05 * (Z**2).mean() * rows) * np.eye(Z.shape[1])
    stacked = np.concatenate([Z, penalty]), np.concatenate([np.ones(rows), np.zeros(Z.shape[1])])
    w = P @ np.linalg.lstsq(*stacked, rcond=None)[0]
    r = (up - down).mean(0)
    expected = hooked(model, lambda b, x, y: y + 1.3 * np.outer(y @ w, r) if b == 1 else y)
    close(steered(model, made, 1.3), expected)
    assert (down @ w).mean() > 3 * np.abs(up @ w).mean()
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert torch.equal(steered(model, loaded, 0.7), steered(model, made, 0.7))
    with torch.no_grad():
        assert torch.equal(steered(model, made, 0.0), model(IDS).logits)


def test_where_the_desired_states_leave_axes_free_nothing_is_added_to_them() -> None:
    drawn = torch.Generator().manual_seed(0)
    desired = torch.randn(5, 9, generator=drawn).double()
    basis = null_space(desired, 1e-9)
    assert basis.shape == (9, 4)
    torch.testing.assert_close(desired @ basis, torch.zeros(5, 4).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(4).double())


@pytest.mark.parametrize("wrong", [{"null": 0.0}, {"null": 1.0}, {"ridge": 0.0}])
def test_shares_and_ridges_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="the first must be above 0"):
        AlphaSteer(**wrong)  # type: ignore[arg-type]
