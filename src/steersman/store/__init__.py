"""Saved steerings: tensors in safetensors, the rest in versioned JSON, nothing executable."""

from steersman.store.card import card_of
from steersman.store.document import read_document, write_document
from steersman.store.fields import read_fields
from steersman.store.folder import read_folder, save
from steersman.store.format import FILES, FORMAT_VERSION, MANIFEST, Artifact
from steersman.store.hub import load, push

__all__ = [
    "FILES",
    "FORMAT_VERSION",
    "MANIFEST",
    "Artifact",
    "card_of",
    "load",
    "push",
    "read_document",
    "read_fields",
    "read_folder",
    "save",
    "write_document",
]
