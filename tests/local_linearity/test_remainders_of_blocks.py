"""Remainders against whole forwards and dense Jacobians, and where they are known by theory."""

import copy
from collections.abc import Callable

import pytest
import torch
from small_domains import Answer
from tiny_models import tiny_model as fresh_model
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from steersman.local_linearity.prompts import Prepared, prepare
from steersman.local_linearity.remainders import PLANTS, Remainders, measure_remainders
from steersman.local_linearity.steps import Steps, checked_scales, steps
from steersman.plant import Linearization, jacobians, linearize, locate

SCALES = (0.003, 0.1, 0.7)


def ids_of(prepared: Prepared) -> list[Tensor]:
    return [torch.tensor([one.ids]) for one in prepared.tokens]


def runs_of(model: PreTrainedModel, prepared: Prepared) -> list[Linearization]:
    return [linearize(model, ids, chunk=7) for ids in ids_of(prepared)]


def steps_of(runs: list[Linearization], prepared: Prepared) -> Steps:
    states = torch.stack([run.states[:-1].double() for run in runs])
    return steps(states, prepared.partners(), None, seed=0)


def measured(
    model: PreTrainedModel, prepared: Prepared, scales: tuple[float, ...] = SCALES
) -> Remainders:
    runs = runs_of(model, prepared)
    return measure_remainders(
        runs,
        steps_of(runs, prepared),
        checked_scales(scales),
        by_domain=prepared.peers(prepared.domains),
        by_token=prepared.peers(prepared.last),
    )


@pytest.fixture(scope="module")
def found(smooth: PreTrainedModel, prepared: Prepared) -> Remainders:
    return measured(smooth, prepared)


def test_remainders_equal_those_of_whole_forwards_and_dense_jacobians(
    smooth: PreTrainedModel, prepared: Prepared, found: Remainders, answer: Answer
) -> None:
    runs = runs_of(smooth, prepared)
    chosen = steps_of(runs, prepared)
    A = torch.stack([jacobians(smooth, ids) for ids in ids_of(prepared)])
    # Of prompt 0 the domain's other prompts are 1 and 2, and prompt 5 ends in the same token.
    plants = {"own": A[0], "by_domain": A[1:3].mean(dim=0), "by_token": A[5]}
    ids = ids_of(prepared)[0]
    for block in range(len(locate(smooth))):
        for kind in range(2):
            d = 0.1 * runs[0].states[block].norm() * chosen.units[kind, 0, block]
            with torch.no_grad():
                change = answer(smooth, ids, block, d) - answer(smooth, ids, block, 0 * d)
            foretold = {name: plant[block] @ d for name, plant in plants.items()} | {"identity": d}
            for name in PLANTS:
                expected = (change - foretold[name]).norm() / change.norm()
                torch.testing.assert_close(getattr(found, name)[kind, 0, block, 1], expected)


def test_the_remainder_vanishes_in_proportion_to_the_step(
    smooth: PreTrainedModel, prepared: Prepared
) -> None:
    own = measured(smooth, prepared, (1e-5, 1e-4)).own
    known = own[~own.isnan().any(dim=-1)]
    torch.testing.assert_close(
        known[:, 1] / known[:, 0], torch.full((len(known),), 10.0).double(), rtol=0.05, atol=0
    )


def test_a_plant_of_other_prompts_keeps_a_remainder_however_short_the_step(
    smooth: PreTrainedModel, prepared: Prepared
) -> None:
    found = measured(smooth, prepared, (1e-5, 1e-4))
    for plant in (found.by_domain, found.identity):
        random = plant[0]
        torch.testing.assert_close(random[..., 0], random[..., 1], rtol=0.01, atol=0)
        assert float(random.min()) > 1e-3


def test_a_prompt_without_peers_has_no_mean_jacobian(found: Remainders) -> None:
    assert bool(found.by_token[:, 1].isnan().all())
    assert not bool(found.by_domain[0].isnan().any())


def test_of_what_the_block_adds_the_identity_foretells_nothing(found: Remainders) -> None:
    share = found.own_of_increment
    torch.testing.assert_close(share * found.identity, found.own, equal_nan=True)
    short, long = share[0, ..., 0], share[0, ..., -1]
    assert bool((short < 0.1).all())
    assert bool((long > short).all())


def test_blocks_that_add_nothing_are_linear(prepared: Prepared) -> None:
    model = copy.deepcopy(fresh_model("gpt2")).double()
    for block in locate(model).modules:
        for last in (block.attn.c_proj, block.mlp.c_proj):
            last.weight.data.zero_()
            last.bias.data.zero_()
    found = measured(model, prepared)
    for name in PLANTS:
        values = getattr(found, name)
        assert float(values[~values.isnan()].max()) < 1e-12


def test_where_two_prompts_share_their_state_nothing_is_measured(
    tiny_model: Callable[[str], PreTrainedModel], tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    # Without positions in the embedding, the same last word is the same x_0.
    model = tiny_model("llama")
    prompts = prepare(model, tiny_tokenizer, ["the cat sat", "a dog and a bird sat"])
    found = measured(model, prompts)
    assert bool(found.own[1, :, 0].isnan().all())
    assert not bool(found.own[1, :, 1:].isnan().any())
    assert not bool(found.own[0].isnan().any())
    assert found.reach[1, :, 0].tolist() == [0, 0]


def test_the_lengths_of_states_are_those_at_the_inputs(
    smooth: PreTrainedModel, prepared: Prepared, found: Remainders
) -> None:
    expected = torch.stack([run.states[:-1].norm(dim=-1) for run in runs_of(smooth, prepared)])
    torch.testing.assert_close(found.size, expected)
