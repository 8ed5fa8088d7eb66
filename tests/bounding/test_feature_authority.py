"""Where in a model a feature can be moved, against pushes on the model itself."""

from typing import Any

import pytest
import torch

import steersman as sm
from steersman.control import Effort, LTVSystem
from steersman.errors import ShapeError
from steersman.plant import (
    HookSet,
    average,
    capture_sequence,
    hidden_out,
    jacobians,
    locate,
    tokenize,
    with_hidden,
)


def test_pushes_on_the_model_move_the_final_feature_as_it_says(tiny: Any) -> None:
    ids = torch.tensor([tokenize(tiny.tokenizer, tiny.prompts[:1])[0].ids])
    plant = LTVSystem(jacobians(tiny.model, ids).double())
    direction, last = tiny.a.direction, [ids.shape[1] - 1]
    found = sm.authority(direction, plant)
    v, unit, step = direction.vectors.double(), direction.norm.double(), 0.02
    bare = capture_sequence(tiny.model, ids, last)[0, -1].double()
    for block in range(plant.blocks):
        u = step * v[block + 1]

        def push(args: Any, kwargs: Any, output: Any, u: Any = u) -> Any:
            moved = hidden_out(output).clone()
            moved[:, -1] += u
            return with_hidden(output, moved)

        with HookSet() as hooks:
            hooks.after(locate(tiny.model).modules[block], push)
            after = capture_sequence(tiny.model, ids, last)[0, -1].double()
        gain = float(v[-1] @ (after - bare)) / step
        assert 1 / float(found.effort[block]) == pytest.approx(abs(gain), rel=0.02, abs=1e-3)
        survives = gain * float(unit[block + 1] / unit[-1])
        assert float(found.survives[block + 1]) == pytest.approx(survives, rel=0.02, abs=1e-3)


def test_a_steering_stands_for_its_direction_and_products_for_matrices(tiny: Any) -> None:
    prompts = tiny.prompts[:3]
    matrices = sm.identify(tiny.model, tiny.tokenizer, prompts, progress=False)
    products = average(tiny.model, tiny.tokenizer, prompts)
    first, second = sm.authority(tiny.a, products), sm.authority(tiny.a.direction, matrices)
    torch.testing.assert_close(first.effort, second.effort, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(
        first.survives, second.survives, rtol=1e-5, atol=1e-8, equal_nan=True
    )
    assert len(first.table().splitlines()) == 5


def test_free_actuators_never_need_more_effort(tiny: Any) -> None:
    unit = float(tiny.a.direction.norm[-1])
    along = sm.authority(tiny.a, tiny.plant)
    free = sm.authority(tiny.a, tiny.plant, Effort(unit**-2))
    assert bool((free.effort <= along.effort * (1 + 1e-9)).all())
    assert float(along.effort[-1]) == pytest.approx(1.0, rel=1e-6)


def test_a_plant_of_another_model_is_refused(tiny: Any, embedded: Any) -> None:
    with pytest.raises(ShapeError):
        sm.authority(tiny.a, embedded.plant)
