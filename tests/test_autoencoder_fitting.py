"""A TopK autoencoder trained on a model's states: its loss written out, and what it comes to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.autoencoder_fitting import _folded, _Loss
from steersman.autoencoders import SparseAutoencoder, quality, read_sae
from steersman.errors import InputError
from steersman.plant import capture_tokens, positions_named

Models = Callable[[str], PreTrainedModel]


def texts(tokenizer: Any, count: int = 60) -> list[str]:
    w = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    drawn = np.random.default_rng(0)
    return [" ".join(drawn.choice(w, 6)) for _ in range(count)]


def made(model: Any, tokenizer: Any, **settings: Any) -> sm.FittedAutoencoder:
    settings = {"block": 1, "width": 64, "k": 4, "batch_size": 64, "progress": False} | settings
    return sm.fit_autoencoder(model, tokenizer, texts(tokenizer), **settings)


def parameters(seed: int = 0) -> dict[str, Tensor]:
    seeded = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (5, 12), "W_dec": (12, 5), "b_enc": (12,), "b_dec": (5,)}
    return {name: torch.randn(shape, generator=seeded).double() for name, shape in shapes.items()}


@pytest.mark.parametrize("sleeping", [0, 4])
def test_the_loss_is_what_is_not_explained_and_what_sleepers_miss_of_it(sleeping: int) -> None:
    p = parameters()
    p["W_enc"][:, :sleeping] *= 0.2
    p["b_enc"][:sleeping] = -0.3
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(1)).double()
    rows = torch.arange(3, 150)
    found = _Loss(x, 3)(p, rows, torch.Generator())
    w, X = {name: t.numpy() for name, t in p.items()}, x[rows].numpy()
    left, awake = np.zeros_like(X), set()
    z = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    for r, row in enumerate(z):
        kept = np.argsort(row)[-3:]
        left[r] = X[r] - w["b_dec"] - sum(max(row[i], 0) * w["W_dec"][i] for i in kept)
        awake |= {int(i) for i in kept if row[i] > 0}
    expected = (left**2).sum() / ((X - X.mean(0)) ** 2).sum()
    dead = sorted(set(range(12)) - awake)
    assert bool(dead) == bool(sleeping)
    if dead:  # one sixteenth of twelve is none, so that one is revived at a time
        again = np.zeros_like(X)
        for r, row in enumerate(z):
            i = max(dead, key=lambda j: row[j])
            again[r] = max(row[i], 0) * w["W_dec"][i]
        expected += ((left - again) ** 2).sum() / (left**2).sum() / 32
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_scale_of_the_states_is_folded_into_the_weights() -> None:
    p, scale = {name: t.float() for name, t in parameters().items()}, 7.0
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    scaled = SparseAutoencoder(
        *("topk", p["W_enc"], p["W_dec"], p["b_dec"], {"b_enc": p["b_enc"]}), k=3
    )
    found = _folded(p, scale, 3, 1)
    torch.testing.assert_close(found.encode(scale * x), scale * scaled.encode(x))
    back = scale * scaled.decode(scaled.encode(x))
    torch.testing.assert_close(found.decode(found.encode(scale * x)), back)


def test_it_explains_more_than_it_did_and_reads_back_equal(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    found = made(model, tiny_tokenizer, epochs=40, rate=3e-3)
    losses = [one.loss for one in found.history.epochs[1:]]
    assert losses[-1] < 0.6 * losses[0]
    torch.testing.assert_close(found.sae.W_dec.norm(dim=1), torch.ones(64))
    again = read_sae(found.save(tmp_path / "sae"))
    x = torch.randn(9, 32)
    assert torch.equal(again.encode(x), found.sae.encode(x))
    assert torch.equal(again.decode(again.encode(x)), found.sae.decode(found.sae.encode(x)))
    assert (again.state, again.k, again.features) == (2, 4, 64)


def test_its_quality_is_measured_on_every_tenth_text(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    found = made(model, tiny_tokenizer, epochs=2)
    held = texts(tiny_tokenizer)[::10]
    states = capture_tokens(model, tiny_tokenizer, held, positions_named("all")).states[:, 2]
    expected = quality(found.sae, states)
    assert found.quality.states == expected.states == 36
    assert found.quality.explained == pytest.approx(expected.explained, abs=1e-4)


def test_it_is_the_same_for_the_same_seed(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    one, same, other = (made(model, tiny_tokenizer, epochs=1, seed=s).sae for s in (0, 0, 1))
    assert torch.equal(one.W_enc, same.W_enc) and not torch.equal(one.W_enc, other.W_enc)


def test_what_cannot_be_is_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    for settings, message in (
        ({"k": 0}, "k is 0 and width 64"),
        ({"k": 65}, "k is 65 and width 64"),
        ({"block": 3}, "block is 3; the model has blocks 0 .. 2"),
    ):
        with pytest.raises(InputError, match=message):
            made(model, tiny_tokenizer, **settings)
    with pytest.raises(InputError, match="1 texts are too few"):
        sm.fit_autoencoder(
            model, tiny_tokenizer, texts(tiny_tokenizer)[:1], block=1, width=8, k=2, progress=False
        )
