"""`steersman serve` with its steering cut out, for `serving.py` to compare with.

Answers are written by the same batches; nothing is ever attached to the model.
"""

from steersman.cli import main
from steersman.serving.batching import Batch


def nothing(batch: Batch) -> None:
    """What a batch without steering attaches."""


if __name__ == "__main__":
    Batch._attach = nothing  # type: ignore[method-assign]
    main()
