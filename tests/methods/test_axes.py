"""Several axes by their principal components: signs, weights, blocks and the sum."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, examples, hooked, sides, steered
from scipy.stats import norm
from sklearn.decomposition import PCA
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions import Features, contrast
from steersman.errors import InputError
from steersman.methods import Evidence, ParametricAxes, Sides

Models = Callable[[str], PreTrainedModel]


def two_axes(tokenizer: Any) -> dict[str, sm.ContrastivePairs]:
    pairs = examples(tokenizer)
    return {
        "first": sm.ContrastivePairs(pairs.desired[:5], pairs.undesired[:5]),
        "second": sm.ContrastivePairs(pairs.undesired[3:], pairs.desired[3:]),
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("weighted", [True, False])
def test_the_best_blocks_add_the_components_each_by_its_own_target(
    weighted: bool, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, axes = tiny_model("llama"), two_axes(tiny_tokenizer)
    method = ParametricAxes(top=2, weighted=weighted)
    steering = sm.fit(model, tiny_tokenizer, axes, method=method, progress=False)
    targets = {"first": 0.7, "second": -2.0}
    inputs = np.zeros((3, steering.provenance.n))
    for name, pairs in axes.items():
        up, down = sides(model, tiny_tokenizer, pairs)
        d = steering.features.directions[name].separation[1:].numpy()
        right = norm.cdf(d / 2)
        for block in np.argsort(-right)[:2]:
            x = np.r_[up, down][:, block + 1]
            v = PCA(1).fit(x).components_[0]
            v = v * np.sign((up[:, block + 1].mean(0) - down[:, block + 1].mean(0)) @ v)
            weight = right[block] / right.max() if weighted else 1.0
            inputs[block] += targets[name] * weight * v
    expected = hooked(model, lambda block, x, y: y + inputs[block])
    close(steered(model, steering, targets), expected)  # type: ignore[arg-type]


def test_in_natural_units_all_blocks_together_add_the_distance_of_the_means() -> None:
    evidence = world(False)
    assert evidence.sides is not None
    up, down = (side[:, 1:].double().mean(0) for side in evidence.sides[0])
    for weighted in (True, False):
        method = ParametricAxes(top=2, weighted=weighted, unit="natural")
        plan = method.solve(evidence).plan[..., 0].double()
        acts = plan.any(dim=1)
        along = torch.nn.functional.normalize(plan[acts], dim=1)
        distance = ((up - down)[acts] * along).sum(dim=1)
        assert float((plan[acts].norm(dim=1) / distance).sum()) == pytest.approx(1.0, rel=1e-5)


def world(flip: bool) -> Evidence:
    """States that vary most along one coordinate, desired ones above or below."""
    seeded = torch.Generator().manual_seed(0)
    base = torch.randn(40, 4, 6, generator=seeded)
    base[..., 2] *= 5
    base[:20, ..., 2] += -6.0 if flip else 6.0
    some = Sides(base[:20], base[20:])
    return Evidence(Features.of(contrast(*some)), sides=(some,))


def test_the_sign_is_that_of_what_is_desired_and_not_of_the_mean_projection() -> None:
    for flip, sign in ((False, 1.0), (True, -1.0)):
        plan = ParametricAxes(top=3, weighted=False).solve(world(flip)).plan[..., 0]
        assert bool((sign * plan[:, 2] > 0.9).all())


def test_blocks_are_chosen_by_the_probe_because_unit_vectors_are_equally_long() -> None:
    evidence = world(False)
    made = ParametricAxes(top=1, weighted=False).solve(evidence)
    assert made.active == (int(evidence.direction.separation[1:].argmax()),)
    assert float(made.plan.norm()) == pytest.approx(1.0, rel=1e-5)


def test_what_it_cannot_do_without_is_said() -> None:
    with pytest.raises(InputError, match="at least one block"):
        ParametricAxes(top=0).solve(world(False))
    with pytest.raises(InputError, match="learns from the examples' states"):
        ParametricAxes().solve(Evidence(world(False).features))
