"""Sparse autoencoders read from files, against their formulas written out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from steersman.autoencoders import read_sae
from steersman.errors import ArtifactError, InputError, NumericalError, ShapeError

N, FEATURES, K = 5, 12, 3
OTHERS = {
    "standard": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "topk": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
}


def weights(architecture: str, seed: int = 0) -> dict[str, Tensor]:
    seeded = torch.Generator().manual_seed(seed)
    found = {
        "W_enc": torch.randn(N, FEATURES, generator=seeded),
        "W_dec": torch.randn(FEATURES, N, generator=seeded),
        "b_dec": torch.randn(N, generator=seeded),
    }
    for name in OTHERS[architecture]:
        found[name] = torch.randn(FEATURES, generator=seeded)
    if "threshold" in found:
        found["threshold"] = found["threshold"].abs()
    return found


def saved(
    folder: Path, named: str, tensors: dict[str, Tensor] | None = None, **config: Any
) -> Path:
    """A folder as SAELens saves it."""
    settings = {
        "architecture": named,
        "d_in": N,
        "d_sae": FEATURES,
        "dtype": "float32",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"hook_name": "blocks.2.hook_resid_post", "model_name": "gpt2"},
    }
    settings |= {"k": K} if named == "topk" else {}
    folder.mkdir(exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(settings | config))
    save_file(weights(named) if tensors is None else tensors, folder / "sae_weights.safetensors")
    return folder


def encoded(architecture: str, w: dict[str, Any], x: np.ndarray, centred: bool) -> np.ndarray:
    """One state's features, in numpy and float64, feature by feature."""
    w = {name: tensor.double().numpy() for name, tensor in w.items()}
    z = [float((x - centred * w["b_dec"]) @ w["W_enc"][:, i]) for i in range(FEATURES)]
    if architecture == "gated":
        return np.array(
            [
                max(np.exp(w["r_mag"][i]) * z[i] + w["b_mag"][i], 0.0) * (z[i] + w["b_gate"][i] > 0)
                for i in range(FEATURES)
            ]
        )
    pre = np.array(z) + w["b_enc"]
    if architecture == "jumprelu":
        return np.where(pre > w["threshold"], pre, 0.0)
    if architecture == "topk":
        kept = sorted(range(FEATURES), key=lambda i: pre[i])[-K:]
        return np.array([max(pre[i], 0.0) if i in kept else 0.0 for i in range(FEATURES)])
    return np.maximum(pre, 0.0)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("architecture", OTHERS)
def test_features_and_states_are_those_of_the_formulas(
    architecture: str, centred: bool, tmp_path: Path
) -> None:
    w = weights(architecture)
    sae = read_sae(saved(tmp_path / "sae", architecture, apply_b_dec_to_input=centred))
    x = torch.randn(2, 4, N, generator=torch.Generator().manual_seed(1))
    found = sae.encode(x)
    expected = np.array(
        [[encoded(architecture, w, one.double().numpy(), centred) for one in row] for row in x]
    )
    assert (expected > 0).any() and (expected == 0).any()
    assert np.allclose(found.numpy(), expected, atol=1e-5)
    back = expected @ w["W_dec"].double().numpy() + w["b_dec"].double().numpy()
    assert np.allclose(sae.decode(found).numpy(), back, atol=1e-4)


def test_older_files_say_the_activation_and_the_place_elsewhere(tmp_path: Path) -> None:
    folder = saved(
        tmp_path / "sae",
        "standard",
        activation_fn_str="topk",
        activation_fn_kwargs={"k": K},
        hook_name="blocks.2.hook_resid_pre",
        metadata=None,
    )
    sae = read_sae(folder)
    assert (sae.architecture, sae.k, sae.state) == ("topk", K, 2)
    assert int((sae.encode(torch.randn(7, N)) > 0).sum(-1).max()) <= K


def test_a_file_says_at_which_state_it_was_trained(tmp_path: Path) -> None:
    sae = read_sae(saved(tmp_path / "sae", "standard"))
    assert sae.state == 3  # the output of block 2 is x_3
    assert sae.said == {
        "model_name": "gpt2",
        "hook_name": "blocks.2.hook_resid_post",
        "dtype": "float32",
    }
    other = read_sae(saved(tmp_path / "sae", "standard", metadata={"hook_name": "x.hook_mlp_out"}))
    assert other.state is None


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "transcoder"}, "architecture is 'transcoder'"),
        ({"architecture": "topk", "k": 99}, "k is 99"),
        ({"architecture": "topk"}, "k is None"),
        ({"architecture": "gated"}, "needs b_gate, b_mag, r_mag"),
        ({"activation_fn_str": "tanh-relu"}, "'tanh-relu'"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations = 'layer_norm'"),
        ({"reshape_activations": "hook_z"}, "reshape_activations"),
    ],
)
def test_what_is_not_known_is_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_sae(saved(tmp_path / "sae", "standard", **config))


@pytest.mark.usefixtures("unchecked")
def test_weights_have_to_belong_together(tmp_path: Path) -> None:
    w = weights("standard")
    with pytest.raises(ShapeError, match="W_dec has shape"):
        read_sae(saved(tmp_path / "sae", "standard", w | {"W_dec": w["W_dec"].T.contiguous()}))
    with pytest.raises(NumericalError, match="b_enc"):
        read_sae(saved(tmp_path / "sae", "standard", w | {"b_enc": w["b_enc"] / 0 * 0}))
    with pytest.raises(ArtifactError, match="lacks W_enc"):
        read_sae(saved(tmp_path / "sae", "standard", {"b_dec": w["b_dec"]}))


def test_a_folder_without_the_two_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cfg\.json"):
        read_sae(tmp_path)
    (tmp_path / "cfg.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"cfg\.json"):
        read_sae(tmp_path)
    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(ArtifactError, match="sae_weights"):
        read_sae(tmp_path)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ArtifactError, match="sae_weights"):
        read_sae(tmp_path)
