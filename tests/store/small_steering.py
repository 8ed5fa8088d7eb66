"""Small steerings made by the real parts, without a model."""

import torch

from steersman.artifact import Parts
from steersman.control import LTVSystem
from steersman.directions import ALONE, Direction, Features, contrast
from steersman.methods import ALQR, Evidence, Method, coupling
from steersman.provenance import Provenance

BLOCKS, WIDTH = 3, 32


def small_direction(examples: int = 6, seed: int = 1) -> Direction:
    """A direction read from random states, float32; the first state has no contrast."""
    seeded = torch.Generator().manual_seed(seed)
    states = torch.randn(2, examples, BLOCKS + 1, WIDTH, generator=seeded)
    states[0] += 0.5
    states[:, :, 0] = states[0, 0, 0]
    return contrast(states[0], states[1])


def small_plant() -> LTVSystem:
    """A stable random plant, float32."""
    seeded = torch.Generator().manual_seed(2)
    return LTVSystem(torch.randn(BLOCKS, WIDTH, WIDTH, generator=seeded) / WIDTH)


def small_parts(method: Method | None = None, examples: int = 6) -> Parts:
    """All that a steering of the tiny Llama is made of."""
    return several_parts(ALQR(q=0.3) if method is None else method, (ALONE,), examples)


def several_parts(method: Method, names: tuple[str, ...], examples: int = 6) -> Parts:
    """The same of one feature or several."""
    features = Features({name: small_direction(examples, 1 + i) for i, name in enumerate(names)})
    provenance = Provenance(
        model="tiny/llama",
        revision="1f2e",
        model_type="llama",
        blocks=BLOCKS,
        n=WIDTH,
        vocab_size=99,
        tokenizer_hash="a" * 64,
        pairs_hash={name: "b" * 64 for name in names},
        pairs={name: (examples, examples) for name in names},
        positions="last",
        jacobian_prompts=4,
    )
    evidence = Evidence(features, small_plant())
    controller = method.solve(evidence)
    pull = coupling(method, evidence, controller) if method.plant != "none" else None
    return Parts(evidence.features, controller, method, provenance, pull)
