"""The loop: against AdamW by hand, with a part held out, and when things go wrong."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from steersman.errors import InputError, NumericalError
from steersman.training import Training, train

POINTS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
START = {"p": torch.zeros(3).double(), "q": torch.ones(2).double()}
PLAIN = Training(epochs=5, batch_size=12, rate=0.1, held_out=0.0)


def apart(parameters: Any, rows: Tensor, drawn: torch.Generator) -> Tensor:
    near = (parameters["p"] - POINTS[rows]).square().sum(1).mean()
    return near + 3 * parameters["q"].square().sum()


def by_hand(settings: Training, steps: int) -> dict[str, Tensor]:
    """AdamW, its schedule and its clip, written out for whole batches."""
    p = {name: t.clone() for name, t in START.items()}
    m = {name: torch.zeros_like(t) for name, t in START.items()}
    v = {name: torch.zeros_like(t) for name, t in START.items()}
    for step in range(steps):
        g = {"p": 2 * (p["p"] - POINTS.mean(0)), "q": 6 * p["q"]}
        clipped = settings.clipped or ("p", "q")
        if settings.clip is not None:
            length = math.sqrt(sum(float(g[name].square().sum()) for name in clipped))
            for name in clipped:
                g[name] = g[name] * min(1.0, settings.clip / (length + 1e-6))
        done = step / steps
        falls = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "none": 1.0}
        for name in p:
            rate = settings.rate if isinstance(settings.rate, float) else settings.rate[name]
            rate *= falls[settings.decay]
            p[name] = p[name] * (1 - rate * settings.weight_decay)
            m[name] = 0.9 * m[name] + 0.1 * g[name]
            v[name] = 0.999 * v[name] + 0.001 * g[name] ** 2
            right = (v[name] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            p[name] = p[name] - rate * m[name] / (1 - 0.9 ** (step + 1)) / right
    return p


@pytest.mark.parametrize(
    "settings",
    [
        PLAIN,
        Training(5, 12, 0.1, decay="linear", weight_decay=0.3, held_out=0.0),
        Training(5, 12, {"p": 0.2, "q": 0.01}, decay="none", held_out=0.0),
        Training(5, 12, 0.1, decay="none", clip=0.5, held_out=0.0),
        Training(5, 12, 0.1, decay="none", clip=0.5, clipped=("q",), held_out=0.0),
    ],
    ids=["cosine", "linear", "rates", "clip", "clipped"],
)
def test_it_is_adamw_with_its_schedule_and_its_clip(settings: Training) -> None:
    found = train(START, apart, 12, settings).parameters
    for name, expected in by_hand(settings, 5).items():
        torch.testing.assert_close(found[name], expected)
    assert not START["p"].any() and not any(t.requires_grad for t in found.values())


def test_long_enough_it_arrives_at_the_minimum() -> None:
    settings = Training(epochs=300, batch_size=12, rate=0.05, held_out=0.0)
    found = train(START, apart, 12, settings).parameters
    torch.testing.assert_close(found["p"], POINTS.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(found["q"], torch.zeros(2).double(), atol=1e-4, rtol=0)


def test_the_rate_rises_over_the_warm_up_and_no_longer_than_a_tenth() -> None:
    settings = Training(1, 1, 0.1, decay="none", warmup=100)
    shares = [settings.share(step, 50) for step in range(50)]
    assert shares[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0]) and shares[-1] == 1.0
    assert Training(1, 1, 0.1).share(25, 50) == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not() -> None:
    noisy = Training(epochs=3, batch_size=4, rate=0.1)

    def loss(parameters: Any, rows: Tensor, drawn: torch.Generator) -> Tensor:
        return apart(parameters, rows, drawn) * torch.rand((), generator=drawn)

    first, second = (train(START, loss, 12, noisy, progress=quiet) for quiet in (False, True))
    assert torch.equal(first.parameters["p"], second.parameters["p"])
    assert first.history.epochs == second.history.epochs
    other = train(START, loss, 12, Training(epochs=3, batch_size=4, rate=0.1, seed=1))
    assert not torch.equal(first.parameters["p"], other.parameters["p"])


def test_what_is_best_on_the_part_held_out_is_kept() -> None:
    held: set[int] = set()

    def loss(parameters: Any, rows: Tensor, drawn: torch.Generator) -> Tensor:
        if not torch.is_grad_enabled():
            held.update(rows.tolist())
        else:
            assert not held & set(rows.tolist())
        # The rest pulls on past what is best for those held out.
        goal = 0.5 if not torch.is_grad_enabled() else 3.0
        return (parameters["p"] - goal).square().sum()

    settings = Training(epochs=30, batch_size=4, rate=0.1, decay="none", held_out=0.25, patience=3)
    found = train({"p": torch.zeros(1)}, loss, 12, settings)
    history = found.history
    assert len(held) == 3
    assert float(found.parameters["p"]) == pytest.approx(0.5, abs=0.11)
    best = min(history.epochs[1:], key=lambda one: one.held_out or 0.0)
    assert history.kept == best.number and history.improved
    assert len(history.epochs) == 1 + history.kept + 3
    table = history.diagnostic()
    assert table.rows[0][:2] == (0, None) and str(history.kept) in table.headline


def test_a_projection_follows_every_step() -> None:
    def unit(parameters: Any, share: float) -> Any:
        return {"p": parameters["p"] / parameters["p"].norm(), "q": parameters["q"] * 0}

    start = {"p": torch.ones(3).double(), "q": torch.ones(2).double()}
    found = train(start, apart, 12, PLAIN, project=unit).parameters
    assert float(found["p"].norm()) == pytest.approx(1.0) and not found["q"].any()


def test_a_loss_that_is_not_finite_is_an_error_that_says_where() -> None:
    def loss(parameters: Any, rows: Tensor, drawn: torch.Generator) -> Tensor:
        return (1 / (parameters["p"] * 0)).sum()

    with pytest.raises(NumericalError, match="the loss of it is nan|inf at step 0"):
        train({"p": torch.ones(1)}, loss, 4, PLAIN, name="it")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"rate": 0.0},
        {"rate": math.nan},
        {"held_out": 1.0},
        {"clip": 0.0},
        {"decay": "steep"},
        {"patience": -1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(unchecked: None, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Training(**{"epochs": 1, "batch_size": 1, "rate": 0.1, **wrong})


def test_nothing_to_learn_from_is_refused_and_one_example_is_never_held_out() -> None:
    with pytest.raises(InputError, match="no example"):
        train(START, apart, 0, PLAIN)
    one = Training(epochs=1, batch_size=4, rate=0.1, held_out=0.5)
    assert train(START, apart, 1, one).history.epochs[1].held_out is None


def test_it_works_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        found = train(START, apart, 12, PLAIN).parameters
    torch.testing.assert_close(found["p"], by_hand(PLAIN, 5)["p"])
