"""Fit a method and find the strength at which it uses a budget up, on one seed's material alone."""

import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from steersman.calibration import calibrate
from steersman.control import LTVSystem
from steersman.data import Example
from steersman.directions import worth_steering
from steersman.errors import SteersmanError, UnknownNameError
from steersman.evaluation.comparison.material import Material
from steersman.evaluation.comparison.settings import ComparisonSettings
from steersman.evaluation.folder import write_json
from steersman.fitting import fit
from steersman.gathering import DEFAULT_JACOBIAN_PROMPTS
from steersman.identifying import identify
from steersman.methods import Method
from steersman.plant import locate, tokenize
from steersman.steering import Steering

NO_ALIGNED = "it learns from aligned pairs, the same tokens behind two contexts; this task has none"


@dataclass(frozen=True, eq=False)
class Tuned:
    """A method fitted on one seed, at the strength that the budget allows.

    Args:
        steering: what was fitted; None where that failed.
        strength: natural units.
        met: whether the budget is kept there, on the validation prompts.
        calibration: every strength that was tried, as plain data.
        notes: what the fit and the calibration warned of.
        failure: why there is no strength; None where there is one.
        seconds: how long each part took.
    """

    steering: Steering | None
    strength: float = float("nan")
    met: bool = False
    calibration: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failure: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What is written down: all but the steering and the seconds."""
        names = ("strength", "met", "calibration", "notes", "failure")
        return {name: getattr(self, name) for name in names}


@dataclass(eq=False)
class Tuner:
    """Fits and tunes methods on one seed's material; their plant is identified once.

    Args:
        model: the model, with nothing attached.
        tokenizer: its tokenizer.
        material: examples and prompts.
        settings: the budget, and how it is searched.
        states: a folder that keeps the examples' states, which are read once for all methods; None
            reads them for each.
    """

    model: nn.Module
    tokenizer: Any
    material: Material
    settings: ComparisonSettings
    states: Path | None = None
    _plant: LTVSystem | None = None
    _plant_seconds: float = 0.0

    def unable(self, method: Method) -> str | None:
        """Why a method cannot be fitted here; None where it can."""
        return NO_ALIGNED if method.aligned and self.material.aligned is None else None

    def tuned(self, method: Method, keep: Path | None = None) -> Tuned:
        """The method at its strength; what went wrong is in the result.

        Args:
            method: which.
            keep: where the steering is saved; it is taken from there where it was saved before.
        """
        seconds: dict[str, float] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # they are among the notes
            steering: Steering | None = None
            try:
                steering = self._fitted(method, seconds, keep)
                prompts = self.prompts()
                started = time.perf_counter()
                found = calibrate(
                    steering,
                    self.model,
                    self.tokenizer,
                    prompts,
                    budget=self.settings.budget,
                    maximum=self.settings.maximum,
                    tolerance=self.settings.tolerance,
                    evaluations=self.settings.evaluations,
                    new_tokens=self.material.new_tokens,
                    seed=self.material.seed,
                    batch_size=self.settings.batch_size,
                    progress=False,
                )
                seconds["calibrate"] = time.perf_counter() - started
            except UnknownNameError:
                raise
            except SteersmanError as error:
                return Tuned(steering, failure=str(error), seconds=seconds)
        doubts = [
            why for one in steering.features.directions.values() for why in worth_steering(one)
        ]
        if too_long := len(self.material.prompts) - len(prompts):
            doubts.append(f"{too_long} validation prompts are too long for the model: left out.")
        return Tuned(
            steering=steering,
            strength=found.strength,
            met=found.met,
            calibration=found.to_json(),
            notes=tuple(dict.fromkeys([*doubts, *found.notes])),
            seconds=seconds,
        )

    def prompts(self) -> tuple[Example, ...]:
        """The validation prompts that leave room for what follows them."""
        limit = locate(self.model).context
        if limit is None:
            return self.material.prompts
        lengths = map(len, tokenize(self.tokenizer, self.material.prompts))
        room = limit - self.material.new_tokens
        return tuple(
            prompt
            for prompt, length in zip(self.material.prompts, lengths, strict=True)
            if length <= room
        )

    def _fitted(self, method: Method, seconds: dict[str, float], keep: Path | None) -> Steering:
        if keep is not None and keep.exists():
            seconds |= read_seconds(keep)
            return Steering.from_pretrained(keep)
        plant = self._matrices(seconds) if method.plant == "matrices" else None
        started = time.perf_counter()
        pairs = self.material.aligned if method.aligned else self.material.pairs
        assert pairs is not None
        steering = fit(
            self.model,
            self.tokenizer,
            pairs,
            method=method,
            jacobian_prompts=plant,
            positions=self.settings.positions,
            batch_size=self.settings.batch_size,
            cache=self.states,
            progress=False,
        )
        seconds["fit"] = time.perf_counter() - started
        if keep is None:
            return steering
        # What is attached is always what was saved: a run that goes on has nothing else.
        steering.save_pretrained(keep)
        write_json(dict(seconds), _beside(keep))
        return Steering.from_pretrained(keep)

    def _matrices(self, seconds: dict[str, float]) -> LTVSystem:
        """The plant that all methods of this seed share; each is charged for it."""
        if self._plant is None:
            started = time.perf_counter()
            prompts = self.material.pairs.desired[:DEFAULT_JACOBIAN_PROMPTS]
            self._plant = identify(self.model, self.tokenizer, prompts, progress=False)
            self._plant_seconds = time.perf_counter() - started
        seconds["identify"] = self._plant_seconds
        return self._plant


def read_seconds(keep: Path) -> dict[str, float]:
    """How long a saved fit took; empty where that is not known."""
    path = _beside(keep)
    found: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _beside(keep: Path) -> Path:
    return keep.with_name(f"{keep.name}.seconds.json")
