"""Under what a model runs: bare, or with a steering attached in one way, as often as needed."""

import hashlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import nn

from steersman.engines import Tokens
from steersman.methods import ExecutionName, ReferenceName
from steersman.request import RelinearizeName, Request, Strength
from steersman.saved_gate import gate_data
from steersman.side_by_side import Together
from steersman.steering import Steering
from steersman.store.format import TENSORS, encode


@dataclass(frozen=True, eq=False)
class Condition:
    """A steering and how it is attached; or nothing.

    Args:
        steering: what steers, one or several together; None is the bare model.
        target: as in `Steering.attach`, and so are the others.
        lambda_: see there.
        tokens: see there.
        reference: see there.
        execution: see there.
        relinearize: see there.
        correction: see there.
        cap: see there.
    """

    steering: Steering | Together | None = None
    target: Strength | None = None
    lambda_: Strength | None = None
    tokens: Tokens | None = None
    reference: ReferenceName | None = None
    execution: ExecutionName | None = None
    relinearize: RelinearizeName = "fit"
    correction: float = 0.0
    cap: float | None = None

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """The model under this condition, inside a `with` block; a new one for every batch."""
        if self.steering is None:
            return nullcontext()
        return self.steering.attach(model, **self.asked(), trace=False)

    @property
    def request(self) -> Request:
        """What is asked of the steering.

        Raises:
            InputError: both strengths, or one that cannot be used.
        """
        return Request.of(**self.asked())

    @property
    def stepwise(self) -> bool:
        """Whether tokens behind a prompt have to come one by one."""
        return self.steering is not None and self.relinearize == "token"

    def settings(self) -> dict[str, Any] | None:
        """What decides what the model writes, as plain data; None for the bare model."""
        if self.steering is None:
            return None
        return {**_described(self.steering), **self.asked()}

    def asked(self) -> dict[str, Any]:
        """What is asked of the steering, by the keywords of `Steering.attach`."""
        asked = {name: value for name, value in vars(self).items() if name != "steering"}
        unsaid = self.target is None and self.lambda_ is None
        asked["tokens"] = None if self.tokens is None else str(self.tokens)
        return asked | ({"target": 1.0} if unsaid else {})


def _described(steering: Steering | Together) -> dict[str, Any]:
    if isinstance(steering, Together):
        return {"together": {name: _described(one) for name, one in steering.members.items()}}
    tensors = encode(steering.to_artifact())[TENSORS]
    return {
        "method": steering.method.name,
        "features": list(steering.features.names),
        "tensors": hashlib.sha256(tensors).hexdigest(),
        **gate_data(steering.gate),
    }
