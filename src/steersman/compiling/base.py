"""Which model a change of weights belongs to."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.errors import MismatchError
from steersman.loading import DTYPES
from steersman.plant import fingerprint, model_type, unwrap
from steersman.plant.witness import differing, witness


@dataclass(frozen=True, eq=False)
class Base:
    """The record by which a model is known again.

    Args:
        name: name or path that it was loaded from.
        model_type: the architecture.
        fingerprint: hash of its configuration and of entries of its parameters.
        dtype: precision of most of its parameters, such as "float32".
        tied: names of the token embedding's weight and of the head's, where the two are one.
        witness: entries of every parameter, by name.
    """

    name: str
    model_type: str
    fingerprint: str
    dtype: str
    tied: tuple[str, str] | None = None
    witness: dict[str, Float[Tensor, " entries"]] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module) -> "Base":
        """The record of a loaded model."""
        inner = unwrap(model)
        return cls(
            name=str(getattr(getattr(inner, "config", None), "_name_or_path", "")),
            model_type=model_type(inner),
            fingerprint=fingerprint(inner),
            dtype=_dtype(inner),
            tied=_tied(inner),
            witness=witness(inner),
        )

    def require(self, model: nn.Module) -> None:
        """Refuse another model than this, in whatever precision it was loaded.

        Raises:
            MismatchError: says what differs.
        """
        inner = unwrap(model)
        if fingerprint(inner) == self.fingerprint:
            return
        called = self.name or "another model"
        if model_type(inner) != self.model_type:
            raise MismatchError(
                f"this change of weights is for {called} ({self.model_type}); this model is of "
                f"type {model_type(inner)!r}. Compile the steering on this model."
            )
        named = dict(inner.named_parameters(remove_duplicate=False))
        odd = sorted(set(named) ^ set(self.witness))
        other = odd[0] if odd else self.differing(named)
        if other is not None:
            raise MismatchError(
                f"this change of weights is for {called}, and {other} is not the same here. Load "
                "the model that it was compiled for, unchanged, or compile it on this one."
            )

    def differing(self, named: dict[str, Tensor] | dict[str, nn.Parameter]) -> str | None:
        """The first of these parameters that is not this model's; None where all are."""
        return differing(self.witness, DTYPES.get(self.dtype, torch.float32), named.items())


def _dtype(model: nn.Module) -> str:
    counts: dict[torch.dtype, int] = {}
    for parameter in model.parameters():
        counts[parameter.dtype] = counts.get(parameter.dtype, 0) + parameter.numel()
    most = max(counts, key=lambda dtype: counts[dtype], default=torch.float32)
    return str(most).removeprefix("torch.")


def _tied(model: nn.Module) -> tuple[str, str] | None:
    get_head, get_table = (
        getattr(model, name, None) for name in ("get_output_embeddings", "get_input_embeddings")
    )
    if not callable(get_head) or not callable(get_table):
        return None
    head, table = get_head(), get_table()
    if head is None or head is table or head.weight is not table.weight:
        return None
    names = {id(module): name for name, module in model.named_modules()}
    return f"{names[id(table)]}.weight", f"{names[id(head)]}.weight"
