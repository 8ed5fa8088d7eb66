"""Where the rows of a batch stand between two passes: all that another run needs to go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Standing:
    """What one run hands to the next, where rows have joined or left the batch between them.

    Args:
        cache: the caller's key-value cache.
        columns: how many columns it holds.
        ends: the column of each row's last prompt token.
        nominal: the cache of the unsteered run of the same tokens; None where no law needs one.
        fired: by the number of a channel that has a condition, which rows' prompts met it.
    """

    cache: Any
    columns: int
    ends: Int[Tensor, " rows"]
    nominal: Any = None
    fired: Mapping[int, Bool[Tensor, " rows"]] = field(default_factory=dict)
