"""A saved steering as an engine holds it: its laws as tensors, and what requests are checked by."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.artifact import Parts, parts_of
from steersman.control import AffineLaw
from steersman.errors import InputError, MismatchError, SteersmanError
from steersman.methods import ExecutionName
from steersman.store.format import CARD, FILES, decode

Files = Mapping[str, bytes]
"""The files of a saved steering, by their names."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """One law as every block evaluates it; zero at blocks where it does not act.

    Args:
        H: what is observed, `(blocks, n, k)`, float32.
        G: what is done about it, `(blocks, n, k)`, float32.
        last: what is observed of the last block's output, `(n, k)`, float32; None is nothing.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    last: Float[Tensor, "n k"] | None = None

    @classmethod
    def of(cls, law: AffineLaw) -> "Matrices":
        """Those of a law."""
        acts = torch.tensor([law.is_active(block) for block in range(law.blocks)])[:, None, None]
        return cls(law.H.float() * acts, law.G.float() * acts)

    @classmethod
    def watching(cls, V: Float[Tensor, "states n features"]) -> "Matrices":
        """A law that observes features at every state of the stream, and does nothing."""
        return cls(V[:-1].float(), torch.zeros_like(V[:-1], dtype=torch.float32), V[-1].float())


@dataclass(frozen=True, eq=False)
class Served:
    """A steering under the name that requests use.

    Args:
        name: that name.
        fingerprint: SHA-256 of its files, so that two of one name are never taken for each other.
        parts: what it is made of.
        laws: by the execution that asks for it, plan or feedback; those that are low rank.
    """

    name: str
    fingerprint: str
    parts: Parts
    laws: Mapping[ExecutionName, Matrices]

    @classmethod
    def of_files(cls, name: str, files: Files) -> "Served":
        """From the bytes of its files.

        Raises:
            ArtifactError: it is no sound steering.
            InputError: it has no law that an engine of this kind can run.
        """
        parts = parts_of(decode(files, name))
        digest = hashlib.sha256()
        for file in sorted(set(files) - {CARD}):
            digest.update(files[file])
        laws = _laws(parts, name)
        return cls(name, digest.hexdigest(), parts, laws)

    @classmethod
    def of_folder(cls, name: str, folder: str | Path) -> "Served":
        """From the folder that `save_pretrained` wrote; raises as `of_files` does."""
        return cls.of_files(name, read_files(folder))

    def key(self, execution: ExecutionName) -> str:
        """What the law of an execution is called between the front end and the workers."""
        return f"{self.fingerprint}/{execution}"

    @property
    def keyed(self) -> dict[str, Matrices]:
        """The laws by those keys, and what tells where the features are."""
        laws = {self.key(execution): law for execution, law in self.laws.items()}
        watching = Matrices.watching(self.parts.features.vectors)
        return {**laws, watch_key(self.fingerprint): watching}

    def require_config(self, model_type: str, blocks: int, n: int, vocab_size: int) -> None:
        """Refuse a model that it was not made for.

        Raises:
            MismatchError: names what differs.
        """
        made = self.parts.provenance
        found = {"model_type": model_type, "blocks": blocks, "n": n, "vocab_size": vocab_size}
        wrong = [name for name, value in found.items() if getattr(made, name) != value]
        if wrong:
            details = ", ".join(f"{k}: {getattr(made, k)} there, {found[k]} here" for k in wrong)
            raise MismatchError(
                f"the steering {self.name!r} was made for {made.model or 'another model'} and does "
                f"not fit this one ({details}). Fit a steering on this model."
            )


def watch_key(key: str) -> str:
    """What the law is called that only observes the features.

    Args:
        key: of another law of the same steering, or its fingerprint.
    """
    return f"{key.partition('/')[0]}/watch"


def read_files(folder: str | Path) -> dict[str, bytes]:
    """The files of a saved steering as bytes, to be sent to where the engine runs.

    Raises:
        InputError: one cannot be read.
    """
    found = {}
    for name in FILES:
        try:
            found[name] = (Path(folder).expanduser() / name).read_bytes()
        except OSError as error:
            if name != CARD:
                raise InputError(
                    f"{name} in {folder} cannot be read: {error}. Give a folder that "
                    "Steering.save_pretrained wrote."
                ) from error
    return found


def config_of(model_config: Any) -> dict[str, Any]:
    """What `Served.require_config` asks of a model, by vLLM's record of it."""
    text = model_config.hf_text_config
    return {
        "model_type": str(getattr(model_config.hf_config, "model_type", "")),
        "blocks": int(text.num_hidden_layers),
        "n": int(model_config.get_hidden_size()),
        "vocab_size": int(getattr(text, "vocab_size", 0)),
    }


def _laws(parts: Parts, name: str) -> dict[ExecutionName, Matrices]:
    controller, method = parts.controller, parts.method
    if method.site != "block":
        raise InputError(
            f"the steering {name!r} acts at {method.site!r}, inside the blocks; only what acts on "
            "the residual stream between them can be served."
        )
    if parts.gate.condition is not None:
        raise InputError(
            f"the steering {name!r} acts under a condition on the prompt, which is not served; "
            "save steering.when(None) and decide beforehand which requests name it."
        )
    found: dict[ExecutionName, Matrices] = {}
    if bool(controller.plan.any()):
        schedule = AffineLaw.schedule(controller.plan, controller.active)
        found["plan"] = Matrices.of(schedule)
    law = _feedback(parts)
    if law is not None:
        found["feedback"] = Matrices.of(law)
    if not found:
        raise InputError(
            f"the law of {method.name} is not low rank, u = G (s - H'x), and it has no plan: serve "
            "it with the transformers engine."
        )
    return found


def _feedback(parts: Parts) -> AffineLaw | None:
    """The law with feedback, where it is low rank and observes anything."""
    try:
        law = parts.method.law(parts.controller)
    except SteersmanError:
        return None
    if not isinstance(law, AffineLaw) or law.is_schedule or law.reads != "input":
        return None
    return law
