"""A steering as data, and back: which tensors are stored, and what is checked when it is loaded.

Stored are the directions (`contrast`, `vectors` `(blocks + 1, n, features)`; `norm`, `origin`,
`separation`, `separation_se` `(blocks + 1, features)`), the controller (`G` `(blocks, n, k)`,
`plan` `(blocks, n, features)`, `shifts` `(blocks, k, features)`) and, where it is known, the
coupling (`interaction`, `cosines` `(features, features)`; `effort`, `alone` `(features,)`).
`H` is stored only where it is neither the directions themselves nor zero, `natural`
`(blocks + 1, n, k)` only where the method keeps it, `conditions` `(conditions, n)` only where it
acts for some prompts, and `own.NAME` where a law of another form is made of tensors of its own.
"""

from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.diagnostics import Diagnostic
from steersman.directions import Direction, Features, Natural
from steersman.errors import ArtifactError
from steersman.gating import Gate
from steersman.methods import Controller, Coupling, Method, method_named
from steersman.provenance import Provenance
from steersman.saved_gate import gate_data, gate_tensors, read_gate
from steersman.store import Artifact, card_of, read_fields

_DIRECTION, _NOTHING, _STORED = "direction", "nothing", "H"
_OWN = "own."
_COUPLING = ("interaction", "cosines", "effort", "alone")


class Parts(NamedTuple):
    """What a steering is made of.

    Args:
        features: the features with their directions and natural units.
        controller: the law's tensors and the plan.
        method: the method and its hyper-parameters.
        provenance: where all of it comes from.
        coupling: how the features pull on each other; None where that is not known.
        natural: how states differ naturally, where the method has to know.
        diagnostics: what the method found out while it was fitted.
        gate: where it acts unless it is asked otherwise.
    """

    features: Features
    controller: Controller
    method: Method
    provenance: Provenance
    coupling: Coupling | None = None
    natural: Natural | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    gate: Gate = Gate()

    @property
    def matches(self) -> tuple[int, ...]:
        """The token ids at which it acts by default; empty where that goes by another rule."""
        return self.provenance.decision_tokens if self.method.matches else ()


@dataclass(frozen=True)
class _Head:
    """The manifest's own fields; the hyper-parameters and the provenance lie below them."""

    method: str
    observes: str
    features: tuple[str, ...]


def artifact_of(parts: Parts) -> Artifact:
    """The parts as tensors, plain data and a card.

    Raises:
        UnknownNameError: the method is not in `steersman.methods.METHODS`, so that nobody could
            load what it made.
    """
    features, controller, method, provenance, coupling = parts[:5]
    method_named(method.name)
    observes = _observes(features, controller)
    tensors = {
        **{field.name: features.stacked(field.name) for field in fields(Direction)},
        "G": controller.G,
        "plan": controller.plan,
        "shifts": controller.shifts,
        **{_OWN + name: tensor for name, tensor in controller.own.items()},
        **({"H": controller.H} if observes == _STORED else {}),
        **({} if parts.natural is None else {"natural": parts.natural.factors}),
        **({name: getattr(coupling, name) for name in _COUPLING} if coupling else {}),
        **gate_tensors(parts.gate),
    }
    manifest = {
        "features": list(features.names),
        "method": method.name,
        "hyperparameters": dict(vars(method)),
        "observes": observes,
        "provenance": provenance.to_json(),
        "diagnostics": [asdict(one) for one in parts.diagnostics],
        **gate_data(parts.gate),
    }
    return Artifact(tensors, manifest, card_of(manifest, tensors))


def parts_of(artifact: Artifact) -> Parts:
    """The parts in an artifact, bit for bit as they were saved; keys it does not know are left out.

    Raises:
        ArtifactError: a field or a tensor is missing or not what it should be; names it.
        UnknownNameError: a method that this version does not have.
    """
    manifest, tensors = artifact.manifest, artifact.tensors
    head = _Head(**read_fields(_Head, manifest, "steering.json"))
    kind = method_named(head.method)
    settings = read_fields(kind, manifest.get("hyperparameters"), f"hyperparameters of {kind.name}")
    provenance = Provenance(**read_fields(Provenance, manifest.get("provenance"), "provenance"))
    features = _features(head.features, tensors, provenance)
    method = kind(**settings)
    blocks, n, count = provenance.blocks, provenance.n, len(features)
    # Inside a block a law may be of another width than the residual stream.
    G = _tensor(tensors, "G", (blocks, n if method.site == "block" else None, None))
    controller = Controller(
        H=_observer(head.observes, features, G, tensors),
        G=G,
        plan=_tensor(tensors, "plan", (blocks, G.shape[1], count)),
        shifts=_tensor(tensors, "shifts", (blocks, G.shape[-1], count)),
        own={name.removeprefix(_OWN): t for name, t in tensors.items() if name.startswith(_OWN)},
    )
    coupling = _coupling(features.names, tensors) if _COUPLING[0] in tensors else None
    natural = None
    if "natural" in tensors:
        natural = Natural(_tensor(tensors, "natural", (blocks + 1, n, None)))
    found = _diagnostics(manifest.get("diagnostics", []))
    gate = read_gate(manifest, tensors, blocks, n)
    return Parts(features, controller, method, provenance, coupling, natural, found, gate)


def _diagnostics(data: object) -> tuple[Diagnostic, ...]:
    if not isinstance(data, list):
        raise ArtifactError("'diagnostics' of steering.json is no list. Save the steering again.")
    return tuple(Diagnostic(**read_fields(Diagnostic, one, "a diagnostic")) for one in data)


def _features(
    names: tuple[str, ...], tensors: dict[str, Float[Tensor, "..."]], provenance: Provenance
) -> Features:
    if not names or len(set(names)) != len(names):
        raise ArtifactError(
            f"'features' of steering.json is {list(names)}; expected one name for each feature. "
            "Save the steering again."
        )
    if set(provenance.pairs) != set(names):
        raise ArtifactError(
            f"'pairs' of provenance is of {sorted(provenance.pairs)}; expected the features, "
            f"{sorted(names)}. Save the steering again."
        )
    states, axis = provenance.blocks + 1, len(names)
    shapes = {name: (states, provenance.n, axis) for name in ("contrast", "vectors")}
    columns = {
        field.name: _tensor(tensors, field.name, shapes.get(field.name, (states, axis)))
        for field in fields(Direction)
    }
    return Features(
        {
            name: Direction(**{key: t[..., i].contiguous() for key, t in columns.items()})
            for i, name in enumerate(names)
        }
    )


def _coupling(names: tuple[str, ...], tensors: dict[str, Float[Tensor, "..."]]) -> Coupling:
    k = len(names)
    shapes = ((k, k), (k, k), (k,), (k,))
    found = zip(_COUPLING, shapes, strict=True)
    return Coupling(names, *(_tensor(tensors, name, shape) for name, shape in found))


def _observes(features: Features, controller: Controller) -> str:
    if not bool(controller.H.any()):
        return _NOTHING
    return _DIRECTION if controller.observes(features) else _STORED


def _observer(
    observes: str,
    features: Features,
    G: Float[Tensor, "blocks n k"],
    tensors: dict[str, Float[Tensor, "..."]],
) -> Float[Tensor, "blocks n k"]:
    if observes == _NOTHING:
        return torch.zeros_like(G)
    if observes == _STORED:
        return _tensor(tensors, "H", tuple(G.shape))
    if observes != _DIRECTION:
        raise ArtifactError(
            f"'observes' of steering.json is {observes!r}; expected {_DIRECTION!r}, {_NOTHING!r} "
            f"or {_STORED!r}. Save the steering again, or run: pip install -U steersman"
        )
    if G.shape[-1] != len(features):
        raise ArtifactError(
            f"'G' has shape {tuple(G.shape)} and acts on {G.shape[-1]} numbers, but only "
            f"{len(features)}, a direction a feature, are observed. Save the steering again."
        )
    return features.vectors[:-1]


def _tensor(
    tensors: dict[str, Float[Tensor, "..."]], name: str, shape: tuple[int | None, ...]
) -> Float[Tensor, "..."]:
    """The tensor of that name; a size of None may be any."""
    if name not in tensors:
        raise ArtifactError(f"the steering lacks the tensor {name!r}. Save it again.")
    found = tuple(tensors[name].shape)
    if len(found) != len(shape) or any(
        size is not None and size != other for size, other in zip(shape, found, strict=True)
    ):
        expected = str(shape).replace("None", "k")
        raise ArtifactError(
            f"the tensor {name!r} has shape {found}; expected {expected} by its provenance. Save "
            "the steering again."
        )
    return tensors[name]
