"""How much of a steering is on disk, against the dense gains that the published code stores."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from synthetic import steering_of


def measure(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Every shape of model; the tensors are random, because only their number counts."""
    return [_cell(shape["n"], shape["blocks"]) for shape in config["models"]]


def _cell(n: int, blocks: int) -> dict[str, Any]:
    steering = steering_of(n, blocks, vocabulary=32000, model_type="llama")
    with tempfile.TemporaryDirectory() as folder:
        steering.save_pretrained(folder)
        files = {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}
    dense = blocks * n * n * torch.float32.itemsize
    return {
        "n": n,
        "blocks": blocks,
        "files": files,
        "bytes": sum(files.values()),
        "dense_bytes": dense,
        "smaller_by": dense / sum(files.values()),
    }
