"""What a comparison is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from steersman.calibration import KL
from steersman.calibration.aims import Budget
from steersman.calibration.bisection import require_range
from steersman.errors import InputError
from steersman.methods import METHODS, Method, method_named

BASELINE = "activation-addition"
UNSTEERED = "unsteered"
TARGETS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
Methods = Mapping[str, Method]
"""Methods with their settings, by what each is called in the comparison."""


@dataclass(frozen=True)
class ComparisonSettings:
    """Everything that decides a comparison besides the model and the task.

    Args:
        methods: what is compared; the baseline is among them.
        baseline: what every other method is tested against.
        budget: the side effect that every method may have.
        targets: what is asked for to see what is obtained, natural units.
        seeds: for each, other examples to fit on, other prompts and other random numbers.
        count: test prompts of each seed.
        validation: validation prompts of each seed, to find strengths by.
        pairs: examples of each side to fit on, of each seed.
        positions: which tokens directions are read at, as in `fit`.
        batch_size: rows at a time.
        maximum: the largest strength that is tried.
        tolerance: how exactly a strength is found, as a share of it.
        evaluations: how many strengths are tried at most.
        repeats: how often a batch is timed; 0 measures no speed.

    Raises:
        InputError: settings that cannot be used.
    """

    methods: Methods
    baseline: str = BASELINE
    budget: Budget = field(default_factory=lambda: KL(0.1))
    targets: tuple[float, ...] = TARGETS
    seeds: tuple[int, ...] = (0, 1, 2)
    count: int = 200
    validation: int = 64
    pairs: int = 200
    positions: str | None = None
    batch_size: int = 16
    maximum: float = 8.0
    tolerance: float = 0.02
    evaluations: int = 16
    repeats: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        for name in ("count", "validation", "pairs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        require_range(self.maximum, self.tolerance, self.evaluations)
        if self.repeats < 0:
            raise InputError(f"repeats is {self.repeats}; it must be at least 0.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds are {list(self.seeds)}: give at least one, each once.")
        if not all(map(isfinite, self.targets)) or len(set(self.targets)) < len(self.targets):
            raise InputError(f"targets are {list(self.targets)}: give finite numbers, each once.")
        if UNSTEERED in self.methods:
            raise InputError(f"{UNSTEERED!r} is the bare model: call the method otherwise.")
        if self.baseline not in self.methods:
            known = ", ".join(self.methods)
            raise InputError(f"the baseline {self.baseline!r} is none of the methods {known}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, to be written down."""
        found = {name: value for name, value in vars(self).items() if name != "repeats"}
        return found | {
            "budget": {"of": self.budget.name, "limit": self.budget.limit},
            "methods": {
                label: {"name": one.name, **one.hyperparameters()}
                for label, one in self.methods.items()
            },
        }


def methods_of(asked: str | Mapping[str, str | Method] | tuple[str, ...], baseline: str) -> Methods:
    """Methods by their labels, with the baseline.

    Args:
        asked: "all", names, or methods by labels of your own; all are those that need nothing but
            their name.
        baseline: joins them where it is missing and the name of a method.

    Raises:
        UnknownNameError: no such method.
    """
    if isinstance(asked, str):
        every = tuple(name for name, kind in METHODS.items() if not kind.needs_autoencoder)
        asked = every if asked == "all" else (asked,)
    named = dict(asked) if isinstance(asked, Mapping) else {name: name for name in asked}
    if baseline not in named and baseline in METHODS:
        named = {baseline: baseline, **named}
    return {
        label: method_named(one)() if isinstance(one, str) else one for label, one in named.items()
    }
