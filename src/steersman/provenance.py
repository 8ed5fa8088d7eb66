"""Where a steering comes from: enough to make it again and to refuse the wrong model."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn

from steersman.errors import MismatchError
from steersman.plant import Blocks, locate, unwrap

INDEX_CONVENTION = "block t is 0-based; state x_t is its input; x_T is the last block's output"
_LIBRARIES = ("steersman", "torch", "transformers", "safetensors", "numpy")


@dataclass(frozen=True)
class Provenance:
    """The record that is saved beside the tensors.

    Args:
        model: name or path that the model was loaded from.
        revision: its commit on the hub where known, else "".
        model_type: the architecture, as `config.model_type`.
        blocks: how many blocks the model has.
        n: width of the residual stream.
        vocab_size: size of its vocabulary; 0 where the config does not say.
        tokenizer_hash: SHA-256 of the vocabulary and the chat template.
        pairs_hash: SHA-256 of the contrastive pairs of each feature.
        pairs: how many examples of each feature were desired and undesired.
        positions: where the states were read.
        observer: along what the feature is observed.
        direction: along what it is pushed.
        decision_tokens: the token ids at which the states were read, where they are few: the
            tokens at which the examples say that the behaviour is decided.
        jacobian_prompts: over how many prompts the plant was averaged; 0 without a plant.
        libraries: versions of what made it.
        index_convention: how blocks and states are numbered.
    """

    model: str
    revision: str
    model_type: str
    blocks: int
    n: int
    vocab_size: int
    tokenizer_hash: str
    pairs_hash: dict[str, str]
    pairs: dict[str, tuple[int, int]]
    positions: str
    jacobian_prompts: int
    decision_tokens: tuple[int, ...] = ()
    observer: str = "mean"
    direction: str = "mean"
    libraries: dict[str, str] = field(default_factory=lambda: library_versions())
    index_convention: str = INDEX_CONVENTION

    @classmethod
    def of(
        cls,
        model: nn.Module,
        tokenizer: Any,
        *,
        pairs_hash: dict[str, str],
        pairs: dict[str, tuple[int, int]],
        positions: str,
        observer: str,
        jacobian_prompts: int,
        decision_tokens: tuple[int, ...],
        direction: str = "mean",
    ) -> "Provenance":
        """The record of a steering that is being made for a model.

        Args:
            model: the loaded model.
            tokenizer: its tokenizer.
            pairs_hash: as the field, and so are the others.
            pairs: see there.
            positions: see there.
            observer: see there.
            jacobian_prompts: see there.
            decision_tokens: see there.
            direction: see there.

        Raises:
            ArchitectureError: its decoder blocks are not found.
        """
        blocks, config = locate(model), getattr(unwrap(model), "config", None)
        return cls(
            model=_shareable_name(str(getattr(config, "_name_or_path", ""))),
            revision=str(getattr(config, "_commit_hash", None) or ""),
            model_type=str(getattr(config, "model_type", "")),
            blocks=len(blocks),
            n=blocks.n,
            vocab_size=vocabulary_size(config),
            tokenizer_hash=tokenizer_hash(tokenizer),
            pairs_hash=pairs_hash,
            pairs=pairs,
            positions=positions,
            observer=observer,
            jacobian_prompts=jacobian_prompts,
            decision_tokens=decision_tokens,
            direction=direction,
        )

    def require_model(self, model: nn.Module, blocks: Blocks) -> None:
        """Refuse a model that this steering was not made for.

        Raises:
            MismatchError: the architecture, depth, width or vocabulary differ; names what does.
        """
        config = getattr(unwrap(model), "config", None)
        found = {
            "model_type": str(getattr(config, "model_type", "")),
            "blocks": len(blocks),
            "n": blocks.n,
            "vocab_size": vocabulary_size(config),
        }
        made = {name: getattr(self, name) for name in found}
        wrong = {name: (made[name], found[name]) for name in found if made[name] != found[name]}
        if wrong:
            details = ", ".join(f"{k}: {was} there, {now} here" for k, (was, now) in wrong.items())
            raise MismatchError(
                f"this steering was made for {self.model or 'another model'} and does not fit this "
                f"one ({details}). Fit a steering on this model, or load the one it was made for."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def _shareable_name(name_or_path: str) -> str:
    """A model's name as it may be published: of a local folder, only its own name."""
    return Path(name_or_path).name if Path(name_or_path).is_dir() else name_or_path


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a fit computes."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def vocabulary_size(config: Any) -> int:
    """The vocabulary's size by the config of the model or of its text part."""
    get_text = getattr(config, "get_text_config", None)
    text = get_text() if callable(get_text) else config
    size = getattr(text, "vocab_size", 0)
    return size if isinstance(size, int) else 0


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of what decides how text becomes tokens: the vocabulary and the chat template."""
    parts = [sorted(tokenizer.get_vocab().items()), getattr(tokenizer, "chat_template", None)]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()
