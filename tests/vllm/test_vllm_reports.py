"""What the workers kept of a request, put together and told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import steersman as sm
from steersman.vllm.asking import law_of
from steersman.vllm.reports import Told, Watching
from steersman.vllm.served import Served

PLACES = 4


@pytest.fixture
def watching(
    tmp_path: Path,
    tiny_model: Callable[[str], Any],
    tiny_tokenizer: Any,
    vector_steering: Callable[..., sm.Steering],
) -> Watching:
    """Two steerings, with plans of different strengths."""
    model, found = tiny_model("llama"), []
    for seed, (name, target) in enumerate({"calm": 0.5, "warm": -2.0}.items()):
        folder = vector_steering(model, tiny_tokenizer, seed).save_pretrained(tmp_path / name)
        served, options = Served.of_folder(name, folder), {"target": target}
        found.append(Told.of(served, law_of(served, options, None), options))
    return Watching(tuple(found))


def answer(local: list[int], places: list[int], states: Tensor, acting: Tensor) -> list[Any]:
    """As a worker that holds some blocks tells it; of the others it knows nothing."""
    blocks = len(states) - 1
    known = torch.full_like(states, 7.0)
    mine = [*local, *([blocks] if blocks - 1 in local else [])]
    known[mine] = states[mine]
    seen = known[:, places].transpose(0, 1).contiguous().numpy().tobytes()
    return [local, places, seen, acting[places].numpy().tobytes()]


def test_workers_that_hold_different_blocks_tell_of_all_of_them(watching: Watching) -> None:
    blocks = len(watching.each[0].law.setpoints)
    seeded = torch.Generator().manual_seed(0)
    states = torch.randn(blocks + 1, PLACES, 4, generator=seeded)
    acting = torch.rand(PLACES, 2, generator=seeded) < 0.5
    every = list(range(PLACES))
    first, rest = list(range(1)), list(range(1, blocks))
    whole = watching.joined([answer([*first, *rest], every, states, acting)])
    # One of them has not seen the last token yet.
    apart = watching.joined(
        [answer(first, every, states, acting), answer(rest, every[:-1], states, acting)]
    )
    assert whole is not None and apart is not None
    assert whole.places == tuple(every) and apart.places == tuple(every[:-1])
    torch.testing.assert_close(whole.states, states)
    torch.testing.assert_close(apart.states, states[:, :-1])
    assert torch.equal(apart.acting, acting[:-1])
    assert watching.joined([answer(first, every, states, acting), []]) is None
    assert watching.joined([]) is None


def test_a_report_is_the_means_over_the_tokens_that_were_steered(watching: Watching) -> None:
    blocks = len(watching.each[0].law.setpoints)
    states = torch.randn(blocks + 1, PLACES, 4, generator=torch.Generator().manual_seed(1))
    acting = torch.tensor([[True, False], [False, False], [True, False], [True, False]])
    seen = watching.joined([answer(list(range(blocks)), list(range(PLACES)), states, acting)])
    assert seen is not None
    calm, warm = watching.report(seen)
    assert warm == {"steering": "warm", "feature": "warm", "strength": -2.0, "tokens": 0}
    assert (calm["strength"], calm["tokens"], calm["setpoint"]) == (0.5, 3, None)
    told = watching.each[0]
    features, z = told.served.parts.features, -states[-1, [0, 2, 3], 1].double()
    final = (z - features.origin[-1, 0]) / features.norm[-1, 0]
    assert calm["reached"] == pytest.approx(float(final.mean()), abs=1e-5)
    # A plan adds what it has for this strength, whatever the states are: e is the setpoint there.
    errors = states[:-1, [0, 2, 3], :1].double()
    G = told.served.laws["plan"].G.double()
    effort = torch.linalg.vector_norm(errors @ G.mT, dim=-1).mean(dim=1)
    assert calm["blocks"]["effort"] == pytest.approx(effort.tolist(), abs=1e-5)
    readings = watching.readings(seen)
    assert [one["steered"] for one in readings[1]] == [False, False]
    assert readings[2][0]["reached"] == pytest.approx(float(final[1]), abs=1e-4)
    assert np.isfinite(readings[3][1]["reached"])
