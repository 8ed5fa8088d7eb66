"""Activation transport: sorted samples, least squares and re-reading, written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, examples, fitted, hooked, sides, steered
from hypothesis import given, settings
from hypothesis import strategies as st
from small_evidence import LinearWorld
from transformers import PreTrainedModel

from steersman.errors import InputError
from steersman.methods import Evidence, LinearAcT, MeanAcT, PIDSteering
from steersman.methods.transport import transport
from steersman.plant import capture_states

Models = Callable[[str], PreTrainedModel]
WORLD = LinearWorld.random()


def mapped(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares between the sorted samples, by numpy's polynomial fit."""
    x, y = np.sort(source, axis=0), np.sort(target, axis=0)
    lines = [np.polyfit(x[:, j], y[:, j], 1) for j in range(x.shape[1])]
    return np.array([line[0] for line in lines]), np.array([line[1] for line in lines])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(3, 20))
def test_a_map_is_the_least_squares_line_of_the_sorted_samples(seed, count):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(count, 4)), 2 * rng.normal(size=(count, 4)) + 1
    found = transport(torch.from_numpy(source), torch.from_numpy(target))
    omega, beta = mapped(source, target)
    np.testing.assert_allclose(found.omega.numpy(), omega, rtol=1e-8)
    np.testing.assert_allclose(found.beta.numpy(), beta, rtol=1e-8, atol=1e-10)
    shuffled = transport(torch.from_numpy(source), torch.from_numpy(target[::-1].copy()))
    torch.testing.assert_close(shuffled.omega, found.omega)


def test_an_affine_change_of_every_coordinate_is_found_exactly() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    omega, beta = torch.tensor([2.0, 0.5, 1.0]).double(), torch.tensor([1.0, -3.0, 0.0]).double()
    for target in (omega * x + beta, (omega * x + beta)[torch.randperm(50)]):
        found = transport(x, target)
        torch.testing.assert_close(found.omega, omega)
        torch.testing.assert_close(found.beta, beta)


def test_samples_of_different_size_are_matched_by_quantiles() -> None:
    x = torch.linspace(0, 1, 11).double()[:, None]
    found = transport(x, 3 * torch.linspace(0, 1, 41).double()[:, None] + 1)
    assert float(found.omega) == pytest.approx(3) and float(found.beta) == pytest.approx(1)


def test_a_coordinate_that_does_not_vary_is_shifted_and_not_divided_by_nothing() -> None:
    x = torch.full((6, 1), 2.0).double()
    found = transport(x, torch.linspace(0, 1, 6).double()[:, None])
    assert float(found.omega) == 1.0 and float(found.beta) == pytest.approx(-1.5)


@pytest.mark.parametrize("target", [1.0, 0.6])
@pytest.mark.parametrize("support", [(0.0, 1.0), (0.1, 0.9), None])
def test_states_inside_the_support_go_part_of_the_way_to_their_image(
    target: float, support: Any, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    desired, undesired = sides(model, tiny_tokenizer)

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block != 1:
            return y
        source = undesired[:, 2]
        omega, beta = mapped(source, desired[:, 2])
        new = target * (omega * y + beta) + (1 - target) * y
        if support is None:
            return new
        low, high = np.quantile(source, support, axis=0)
        return np.where((y > low) & (y < high), new, y)

    method = LinearAcT(blocks=(1,), support=support)
    close(steered(model, fitted(model, tiny_tokenizer, method), target), hooked(model, edit))


def test_each_map_is_fitted_to_what_the_maps_before_it_leave(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """Steered, the undesired examples' coordinates have the desired ones' means behind blocks."""
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    desired = sides(model, tiny_tokenizer)[0]

    def left(incremental: bool) -> np.ndarray:
        method = LinearAcT(incremental=incremental, support=None)
        steering = fitted(model, tiny_tokenizer, method)
        with steering.attach(model, 1.0, trace=False):
            got = capture_states(model, tiny_tokenizer, pairs.undesired).double().numpy()
        return np.abs(got.mean(0) - desired.mean(0))[1:].max(axis=1)

    again, once = left(True), left(False)
    assert again.max() < 1e-4
    assert once[0] < 1e-4 < 0.01 < once[-1]


def test_the_means_are_moved_block_after_block_and_not_twice() -> None:
    made = MeanAcT().solve(WORLD.evidence)
    left = WORLD.read(made.plan[..., 0]).contrast
    assert float(left[1:].abs().max()) < 1e-5
    same = PIDSteering(kp=1.0, ki=0.0, kd=0.0).solve(WORLD.evidence)
    torch.testing.assert_close(made.plan, same.plan.float(), rtol=1e-5, atol=1e-6)
    once = MeanAcT(incremental=False).solve(WORLD.evidence)
    torch.testing.assert_close(once.plan[..., 0], WORLD.direction.contrast[1:].float())
    assert float(WORLD.read(once.plan[..., 0]).contrast[-1].norm()) > 1


def test_only_the_chosen_blocks_act() -> None:
    assert MeanAcT(blocks=(3, 1)).solve(WORLD.evidence).active == (1, 3)


def test_what_it_cannot_do_without_is_said() -> None:
    bare = Evidence(WORLD.evidence.features)
    with pytest.raises(InputError, match="mean-act reads the examples' states"):
        MeanAcT().solve(bare)
    with pytest.raises(InputError, match="linear-act learns from the examples' states"):
        LinearAcT().solve(bare)
    with pytest.raises(InputError, match="give two quantiles"):
        LinearAcT(support=(0.9, 0.1)).solve(WORLD.evidence)
