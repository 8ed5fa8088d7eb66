"""Methods by sparse autoencoders against their formulas written out in numpy behind plain hooks."""

import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hooked import IDS, close, examples, fitted, hooked, sides, steered
from saved_autoencoders import BLOCK, FEATURES, encoded, random_autoencoder, rows_of, saved
from transformers import PreTrainedModel

import steersman as sm
from steersman.autoencoders import write_sae
from steersman.errors import ArtifactError, InputError
from steersman.methods import (
    LangFIR,
    LangFIRAblation,
    LFSteering,
    Method,
    SAEClamp,
    SAEFeature,
)
from steersman.plant import capture_tokens, positions_named

Models = Callable[[str], PreTrainedModel]
KINDS: dict[str, Callable[[str], Method]] = {
    "sae-feature": lambda folder: SAEFeature(folder),
    "sae-clamp": lambda folder: SAEClamp(folder),
    "lf-steering": lambda folder: LFSteering(folder, m=4),
    "langfir": lambda folder: LangFIR(folder, consistent=0.5, random=0.95),
    "langfir-ablation": lambda folder: LangFIRAblation(folder, consistent=0.5, random=0.95),
}
EACH = pytest.mark.parametrize("name", list(KINDS))
ARCHITECTURES = pytest.mark.parametrize("architecture", ["standard", "jumprelu", "topk", "gated"])


def contrast(folder: str, model: Any, tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """The mean activation of every feature on both sides; examples are read at one token."""
    both = sides(model, tokenizer)
    desired, undesired = (encoded(folder, side[:, BLOCK + 1]).mean(0) for side in both)
    return desired, undesired


@EACH
def test_target_zero_is_the_bare_model_bit_for_bit(
    name: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("gemma2")
    steering = fitted(model, tiny_tokenizer, KINDS[name](saved(tmp_path, "topk")))
    with torch.no_grad():
        bare = model(IDS).logits
    assert torch.equal(steered(model, steering, 0.0), bare)
    assert not torch.equal(steered(model, steering, 1.0), bare)


@EACH
@pytest.mark.parametrize("architecture", ["jumprelu", "topk", "gated"])
def test_a_saved_steering_needs_no_autoencoder(
    name: str, architecture: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path, architecture)
    made = fitted(model, tiny_tokenizer, KINDS[name](folder))
    kept = made.save_pretrained(tmp_path / "s")
    shutil.rmtree(folder)
    loaded = sm.Steering.from_pretrained(kept)
    assert loaded.method == made.method and loaded.diagnostics == made.diagnostics
    assert torch.equal(steered(model, loaded, 0.7), steered(model, made, 0.7))


@EACH
def test_a_row_of_a_padded_batch_is_steered_as_it_is_alone(
    name: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, KINDS[name](saved(tmp_path)))
    ids = torch.stack([IDS[0], torch.cat([torch.zeros(4, dtype=torch.long), IDS[0, :6]])])
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    with torch.no_grad(), steering.attach(model, 1.0, tokens="all", trace=False):
        together = model(ids, attention_mask=mask).logits
    with torch.no_grad(), steering.attach(model, 1.0, tokens="all", trace=False):
        alone = model(IDS[:, :6]).logits
    torch.testing.assert_close(together[1, 4:], alone[0], rtol=1e-3, atol=1e-4)


@ARCHITECTURES
def test_the_feature_that_differs_most_is_added_by_as_much_as_it_differs(
    architecture: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path, architecture)
    desired, undesired = contrast(folder, model, tiny_tokenizer)
    i = int(np.abs(desired - undesired).argmax())
    added = (desired - undesired)[i] * rows_of(folder)[i]
    steering = fitted(model, tiny_tokenizer, SAEFeature(folder))
    assert steering.method.feature == i
    expected = hooked(model, lambda block, x, y: y + 0.5 * added * (block == BLOCK))
    close(steered(model, steering, 0.5), expected)


def test_a_feature_of_choice_is_added_with_a_length_of_choice(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path)
    row = rows_of(folder)[7]
    steering = fitted(model, tiny_tokenizer, SAEFeature(folder, feature=7, alpha=-0.3, block=0))
    added = -0.3 * row / np.linalg.norm(row)
    close(steered(model, steering), hooked(model, lambda b, x, y: y + added * (b == 0)))
    assert float(steering.plan[0].norm()) == pytest.approx(0.3, rel=1e-5)


@ARCHITECTURES
@pytest.mark.parametrize("target", [1.0, 0.4])
def test_a_clamp_sets_the_part_of_the_state_that_is_the_feature(
    architecture: str, target: float, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path, architecture)
    desired, undesired = contrast(folder, model, tiny_tokenizer)
    i = int(np.abs(desired - undesired).argmax())

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block != BLOCK:
            return y
        f = encoded(folder, y)[:, i]
        return y + target * (desired[i] - f)[:, None] * rows_of(folder)[i]

    steering = fitted(model, tiny_tokenizer, SAEClamp(folder))
    assert steering.method.value == pytest.approx(desired[i], rel=1e-4)
    close(steered(model, steering, target), hooked(model, edit))


@ARCHITECTURES
@pytest.mark.parametrize("target", [1.0, -0.5])
def test_a_bias_is_put_on_the_features_that_are_active(
    architecture: str, target: float, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path, architecture)
    desired, undesired = contrast(folder, model, tiny_tokenizer)
    delta = desired - undesired
    chosen = np.argsort(-np.abs(delta), kind="stable")[:5]
    masked: list[float] = []

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block != BLOCK:
            return y
        on = encoded(folder, y)[:, chosen] > 0
        masked.append(float(on.mean()))
        return y + target * 3.0 * (delta[chosen] * on) @ rows_of(folder)[chosen]

    steering = fitted(model, tiny_tokenizer, LFSteering(folder, m=5, alpha=3.0))
    close(steered(model, steering, target), hooked(model, edit))
    assert 0 < masked[0] < 1


@pytest.mark.parametrize("positions", ["all", "last"])
def test_activations_are_those_of_every_token_and_not_of_their_mean_state(
    positions: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path)
    means = []
    for side in (examples(tiny_tokenizer).desired, examples(tiny_tokenizer).undesired):
        found = capture_tokens(model, tiny_tokenizer, side, positions_named(positions))
        f = encoded(folder, found.states[:, BLOCK + 1].double().numpy())
        rows = found.example.numpy()
        means.append(np.mean([f[rows == i].mean(0) for i in range(len(side))], axis=0))
    method = LFSteering(folder, m=FEATURES)
    steering = fitted(model, tiny_tokenizer, method, positions=positions)
    delta = means[0] - means[1]
    order = [i for i in np.argsort(-np.abs(delta), kind="stable") if delta[i] != 0]
    np.testing.assert_allclose(
        steering.controller.own["values"].numpy(), delta[order], rtol=1e-3, atol=1e-6
    )


def test_how_examples_are_batched_does_not_matter(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path)
    for name, kind in KINDS.items():
        made = [
            fitted(model, tiny_tokenizer, kind(folder), batch_size=size).controller
            for size in (1, 5)
        ]
        for one, other in zip(*([c.plan, *c.own.values()] for c in made), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=name)


def test_what_cannot_be_is_refused(tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path)

    def refused(method: Method, message: str) -> None:
        with pytest.raises(InputError, match=message):
            fitted(model, tiny_tokenizer, method)

    refused(SAEFeature(), "needs a sparse autoencoder")
    refused(SAEFeature(folder, feature=48), "no feature 48; there are 0 .. 47")
    refused(SAEClamp(folder, feature=99, value=1.0), "no feature 99")
    refused(LFSteering(folder, m=49), "m is 49; there are 48 features")
    refused(SAEFeature(folder, block=3), "block is 3")
    with pytest.raises(ArtifactError, match="cannot be read"):
        fitted(model, tiny_tokenizer, SAEFeature(str(tmp_path / "nowhere")))


def test_an_autoencoder_of_another_place_or_width_is_refused(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    sae, model = random_autoencoder(), tiny_model("llama")
    for state, message in ((None, "does not say where"), (0, "block is -1")):
        folder = str(write_sae(replace(sae, state=state), tmp_path / str(state)))
        with pytest.raises(InputError, match=message):
            fitted(model, tiny_tokenizer, SAEFeature(folder))
    narrow = replace(sae, W_enc=sae.W_enc[:8], W_dec=sae.W_dec[:, :8], b_dec=sae.b_dec[:8])
    folder = str(write_sae(narrow, tmp_path / "narrow"))
    with pytest.raises(InputError, match="width 8, and the model's are 32"):
        fitted(model, tiny_tokenizer, SAEFeature(folder))


def test_an_added_feature_is_exported_and_summed_as_any_vector(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path)
    made = fitted(model, tiny_tokenizer, SAEFeature(folder, feature=3, alpha=0.2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sm.export_vectors(made, tmp_path / "one.svec")
        again = sm.import_vectors(tmp_path / "one.svec", model, tiny_tokenizer)
    torch.testing.assert_close(again.plan, made.plan)
