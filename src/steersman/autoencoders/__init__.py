"""Sparse autoencoders of a residual stream: what they are, and the files that they come in."""

from steersman.autoencoders.autoencoder import SparseAutoencoder
from steersman.autoencoders.encoder import NEEDED, Architecture, Encoder
from steersman.autoencoders.quality import Quality, quality
from steersman.autoencoders.sae_lens import read_sae, write_sae

__all__ = [
    "NEEDED",
    "Architecture",
    "Encoder",
    "Quality",
    "SparseAutoencoder",
    "quality",
    "read_sae",
    "write_sae",
]
