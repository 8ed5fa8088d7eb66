"""Load a model and its tokenizer by name, with errors that say what to do."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from steersman.errors import InputError, UnknownNameError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
AUTO = "auto"
"""The precision that the model was saved in."""


def load(
    name_or_path: str, dtype: str = AUTO, device_map: str | None = None
) -> tuple[PreTrainedModel, Any]:
    """A causal language model in evaluation mode, and its tokenizer.

    Code that comes with a model is never run.

    Args:
        name_or_path: a name on the Hugging Face hub or a folder.
        dtype: "auto" (as saved), "float32", "bfloat16", "float16" or "float64".
        device_map: where it goes: "auto" for all devices, or one such as "cuda"; None is the CPU.

    Returns:
        The model and the tokenizer.

    Raises:
        InputError: there is no such model, it is none that can be loaded, or a package that it
            needs is not installed; says which.
        UnknownNameError: no such dtype.
    """
    if dtype != AUTO and dtype not in DTYPES:
        raise UnknownNameError(f"there is no dtype {dtype!r}; choose auto or {', '.join(DTYPES)}.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        model = AutoModelForCausalLM.from_pretrained(
            name_or_path, dtype=DTYPES.get(dtype, AUTO), device_map=device_map
        )
    except ImportError as error:
        raise InputError(
            f"loading {name_or_path!r} needs a package that is not installed: {_first_line(error)}"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(_explain(name_or_path, error)) from error
    model.train(False)
    return model, tokenizer


def _explain(name_or_path: str, error: Exception) -> str:
    return (
        f"the model {name_or_path!r} cannot be loaded: {_first_line(error)}. Give the name of a "
        "causal language model on the Hugging Face hub, or a folder made by save_pretrained."
    )


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return next((line.rstrip(".") for line in lines if line), type(error).__name__)
