"""A running mean of Jacobians that survives an interruption."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from steersman.errors import ArtifactError, MismatchError

_FORMAT = "steersman-identification-1"
_SHARE = 0.05  # of the time may go into writing


@dataclass(frozen=True)
class Job:
    """What is being averaged: two jobs that are equal may share a checkpoint.

    Args:
        model: fingerprint of the model.
        prompts: hash of the token ids of all prompts, in order.
    """

    model: str
    prompts: str


@dataclass
class RunningMean:
    """The mean over prompts of each block's Jacobian: M <- M + (A - M) / k.

    Args:
        A: the means so far, on the CPU.
        counts: how many prompts each block has seen.
        seconds: how long that took.
    """

    A: Float[Tensor, "blocks n n"]
    counts: list[int]
    seconds: float = 0.0

    def fold(self, block: int, jacobian: Float[Tensor, "n n"]) -> None:
        """Take one more prompt's Jacobian of one block into the mean."""
        weight = 1 / (self.counts[block] + 1)
        self.A[block].lerp_(jacobian.to(self.A), weight)
        self.counts[block] += 1


def fresh_mean(blocks: int, n: int, dtype: torch.dtype) -> RunningMean:
    """A mean of nothing."""
    return RunningMean(torch.zeros(blocks, n, n, dtype=dtype), [0] * blocks)


@dataclass
class Checkpoint:
    """A file that holds a running mean, replaced as a whole or not at all.

    Args:
        path: one safetensors file.
        job: what it belongs to.
    """

    path: Path
    job: Job
    _written: float = field(default=float("-inf"))
    _cost: float = field(default=0.0)

    def load(self) -> RunningMean | None:
        """The mean so far; None when there is no file yet.

        Raises:
            MismatchError: the file belongs to another model or to other prompts.
            ArtifactError: the file is truncated or is something else.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = dict(file.metadata() or {})
                self._require_ours(header)
                counts = [int(count) for count in json.loads(header["counts"])]
                return RunningMean(file.get_tensor("A"), counts, float(header["seconds"]))
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            if isinstance(error, ArtifactError | MismatchError):
                raise
            raise ArtifactError(
                f"{self.path} is no readable checkpoint of an identification ({error}): delete it "
                "to start afresh, or name another file"
            ) from error

    def due(self) -> bool:
        """Whether the last write is so long ago that another will not take over the time."""
        return time.monotonic() - self._written >= self._cost / _SHARE

    def save(self, mean: RunningMean, started: float) -> None:
        """Write the mean, then put it in the place of the old one in one step.

        Args:
            mean: what to write.
            started: since when on the monotonic clock the work is part of the writing.
        """
        header = {
            "format": _FORMAT,
            "model": self.job.model,
            "prompts": self.job.prompts,
            "counts": json.dumps(mean.counts),
            "seconds": repr(mean.seconds),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.partial")
        save_file({"A": mean.A}, partial, metadata=header)
        os.replace(partial, self.path)
        self._written = time.monotonic()
        self._cost = self._written - started

    def _require_ours(self, header: dict[str, str]) -> None:
        if header.get("format") != _FORMAT:
            raise ArtifactError(
                f"{self.path} is not a checkpoint of an identification (format "
                f"{header.get('format')!r}, expected {_FORMAT!r}): name another file"
            )
        others = [
            what
            for what, ours in (("model", self.job.model), ("prompts", self.job.prompts))
            if header.get(what) != ours
        ]
        if others:
            raise MismatchError(
                f"{self.path} was written for another job: not the same {' and '.join(others)}. "
                "Give the same ones to go on, or name another file to start afresh"
            )
