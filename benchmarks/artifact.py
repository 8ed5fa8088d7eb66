"""How much of a steering is on disk, against the dense gains that the published code stores."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from parts import Cell, Parts
from synthetic import steering_of


def parts(config: dict[str, Any]) -> Parts:
    """Every shape of model; the tensors are random, because only their number counts."""
    return {
        f"n = {shape['n']}, {shape['blocks']} blocks": partial(_cells, **shape)
        for shape in config["models"]
    }


def _cells(n: int, blocks: int) -> list[Cell]:
    steering = steering_of(n, blocks, vocabulary=32000, model_type="llama")
    with tempfile.TemporaryDirectory() as folder:
        steering.save_pretrained(folder)
        files = {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}
    dense = blocks * n * n * torch.float32.itemsize
    return [
        {
            "n": n,
            "blocks": blocks,
            "files": files,
            "bytes": sum(files.values()),
            "dense_bytes": dense,
            "smaller_by": dense / sum(files.values()),
        }
    ]
