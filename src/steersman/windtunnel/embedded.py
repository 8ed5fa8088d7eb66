"""The embedded model: a small Llama that ships with the package."""

from importlib.resources import as_file, files
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from steersman.errors import ArtifactError


def load(
    folder: Path | None = None, *, dtype: torch.dtype = torch.float32
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The embedded model and its tokenizer.

    Args:
        folder: another folder with a model trained by `steersman.windtunnel.train`.
        dtype: precision to load in; the file holds float16.

    Raises:
        ArtifactError: the package was installed without its weights.
    """
    if folder is not None:
        return _load(folder, dtype)
    with as_file(files("steersman.windtunnel") / "weights") as found:
        return _load(found, dtype)


def _load(folder: Path, dtype: torch.dtype) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    if not (folder / "model.safetensors").exists():
        raise ArtifactError(
            f"{folder} holds no model.safetensors: install the package again, or train the model "
            "with python -m steersman.windtunnel.train --out DIR"
        )
    model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype)
    # The folder differs from machine to machine; the record of a fit should not.
    model.config._name_or_path = "steersman/windtunnel"
    # from_pretrained leaves the model in evaluation mode.
    return model, PreTrainedTokenizerFast.from_pretrained(folder)
