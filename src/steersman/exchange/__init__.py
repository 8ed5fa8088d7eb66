"""What other tools write, read as data, and what they read, written: one format a file."""

from steersman.autoencoders import SparseAutoencoder, read_sae
from steersman.exchange.crossing import export_vectors, import_vectors
from steersman.exchange.formats import FormatName, read_vectors, write_vectors
from steersman.exchange.vectors import Vectors

__all__ = [
    "FormatName",
    "SparseAutoencoder",
    "Vectors",
    "export_vectors",
    "import_vectors",
    "read_sae",
    "read_vectors",
    "write_vectors",
]
