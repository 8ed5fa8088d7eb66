"""Autoencoders with random weights for the tiny models, and their features in numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steersman.autoencoders import NEEDED, SparseAutoencoder, read_sae, write_sae

N, FEATURES, BLOCK, K = 32, 48, 1, 6


def random_autoencoder(architecture: Any = "standard", seed: int = 0) -> SparseAutoencoder:
    """One of what leaves block 1; a few of its features are there at a token."""
    seeded = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=seeded)

    others = {name: 0.1 * randn(FEATURES).abs() for name in NEEDED[architecture]}
    return SparseAutoencoder(
        architecture,
        *(randn(N, FEATURES), randn(FEATURES, N), 0.05 * randn(N), others),
        k=K if architecture == "topk" else None,
        state=BLOCK + 1,
    )


def saved(folder: Path, architecture: Any = "standard", seed: int = 0) -> str:
    """The folder of one."""
    return str(write_sae(random_autoencoder(architecture, seed), folder / architecture))


def encoded(folder: str, x: np.ndarray) -> np.ndarray:
    """Its features, `(rows, features)`, float64, one formula an architecture."""
    sae = read_sae(folder)
    w = {name: tensor.double().numpy() for name, tensor in sae.others.items()}
    z = (x - sae.b_dec.double().numpy()) @ sae.W_enc.double().numpy()
    if sae.architecture == "gated":
        on = z + w["b_gate"] > 0
        return np.where(on, np.maximum(np.exp(w["r_mag"]) * z + w["b_mag"], 0), 0)
    pre = z + w["b_enc"]
    if sae.architecture == "jumprelu":
        return np.where(pre > w["threshold"], np.maximum(pre, 0), 0)
    if sae.architecture == "topk":
        least = np.sort(pre, axis=-1)[..., -K][..., None]
        return np.where(pre >= least, np.maximum(pre, 0), 0)
    return np.maximum(pre, 0)


def rows_of(folder: str) -> np.ndarray:
    """Its decoder rows, float64."""
    return read_sae(folder).W_dec.double().numpy()
