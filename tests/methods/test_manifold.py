"""A curve through class means, against scipy's spline and scikit-learn's components."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hooked import IDS, close, fitted, hooked, steered
from scipy.interpolate import CubicSpline
from sklearn.decomposition import PCA
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import InputError
from steersman.methods import Manifold
from steersman.plant import capture_states

Models = Callable[[str], PreTrainedModel]
NAMES = ("mon", "tue", "wed", "thu", "fri")


def classes(tokenizer: Any) -> dict[str, list[str]]:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return {
        name: [f"{words[4 * i + j]} {words[4 * i + j + 1]} {words[-1]}" for j in range(3)]
        for i, name in enumerate(NAMES)
    }


def along(model: Any, tokenizer: Any, method: Manifold) -> sm.Steering:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        given = classes(tokenizer)
        return sm.fit_classes(model, tokenizer, given, method=method, progress=False)


def centroids(model: Any, tokenizer: Any) -> np.ndarray:
    found = [
        capture_states(model, tokenizer, texts)[:, 2].double().mean(0).numpy()
        for texts in classes(tokenizer).values()
    ]
    return np.stack(found)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("target", [1.0, 2.4])
def test_absolute_the_subspace_holds_the_curves_point(
    periodic: bool, rank: int | None, target: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    C = centroids(model, tiny_tokenizer)
    U = PCA(rank or len(NAMES) - 1).fit(C).components_.T
    points, ends = C @ U, "periodic" if periodic else "natural"
    closed = np.r_[points, points[:1]] if periodic else points
    g = CubicSpline(np.arange(len(closed)), closed, bc_type=ends)(target)

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y + (g - y @ U) @ U.T if block == 1 else y

    steering = along(model, tiny_tokenizer, Manifold(1, rank, periodic))
    close(steered(model, steering, target, reference="absolute"), hooked(model, edit))
    assert steering.method.classes == NAMES  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", [2.0, -1.0])
def test_relative_the_state_goes_as_far_as_the_curve_does(
    target: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("gpt2")
    C = centroids(model, tiny_tokenizer)
    step = C[1 + int(target)] - C[1]
    expected = hooked(model, lambda block, x, y: y + step if block == 1 else y)
    steering = along(model, tiny_tokenizer, Manifold(1, start="tue"))
    close(steered(model, steering, target), expected)
    with torch.no_grad():
        assert torch.equal(steered(model, steering, 0.0), model(IDS).logits)


def test_from_pairs_the_curve_is_the_line_between_the_sides(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, Manifold(1))
    v = steering.direction.vectors[2].double().numpy()
    norm, origin = float(steering.direction.norm[2]), float(steering.direction.origin[2])

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y + np.outer(origin + 1.7 * norm - y @ v, v) if block == 1 else y

    close(steered(model, steering, 1.7, reference="absolute"), hooked(model, edit))
    assert steering.method.start == "undesired"  # type: ignore[attr-defined]


def test_it_is_the_same_after_a_round_trip(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    made = along(model, tiny_tokenizer, Manifold(periodic=True, start="fri"))
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.method == made.method
    assert torch.equal(steered(model, loaded, 3.0), steered(model, made, 3.0))


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (Manifold(start="sun"), "start is 'sun'; the classes are mon, tue, wed, thu, fri"),
        (Manifold(rank=5), "rank is 5; the class means span 4"),
        (Manifold(block=3), "block is 3"),
    ],
)
def test_what_cannot_be_is_refused(
    method: Manifold, says: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    with pytest.raises(InputError, match=says):
        along(tiny_model("llama"), tiny_tokenizer, method)


def test_too_few_classes_are_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, some = tiny_model("llama"), classes(tiny_tokenizer)
    two = {name: some[name] for name in NAMES[:2]}
    with pytest.raises(InputError, match="give at least 3"):
        sm.fit_classes(model, tiny_tokenizer, two, method=Manifold(periodic=True))
    with pytest.raises(InputError, match="1 of them without examples"):
        sm.fit_classes(model, tiny_tokenizer, two | {"wed": []})
