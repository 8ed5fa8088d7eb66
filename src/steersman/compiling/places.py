"""Whether a checkpoint can hold new biases, and what can be done where it cannot."""

from collections.abc import Collection
from typing import Any

from torch import nn

from steersman.errors import CompilationError
from steersman.plant.biased import Places, places_for


def require_places(
    config: Any, new: Collection[str], kind: type[nn.Module] | None = None
) -> Places:
    """What has to be switched on in a configuration for these biases.

    Raises:
        CompilationError: there is nothing to be switched on; says what can be done instead.
    """
    found = places_for(config, new, kind)
    if found is None:
        some = sorted(new)[0]
        raise CompilationError(
            f"no configuration of the architecture {config.model_type!r} has the bias {some} (one "
            f"of {len(new)}), so a checkpoint that holds it would lose it when it is loaded. "
            "Instead: keep the change as a file (`save`) and put it on the loaded model with "
            "`apply`; or attach the steering as it is."
        )
    return found
