"""What must be true of every steered model, proved on the model at hand.

A random steering is put in front of the blocks, so nothing has to be fitted first. The same
functions answer `steersman doctor` and test every architecture.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from steersman.invariants import agreement, placement, untouched
from steersman.invariants.check import Check
from steersman.invariants.trial import Trial, prepare

_CHECKS: tuple[Callable[[Trial], Check], ...] = (
    untouched.zero_strength,
    untouched.full_strength,
    untouched.earlier_tokens,
    untouched.no_hooks_left,
    agreement.left_padding,
    agreement.right_padding,
    agreement.cache,
    agreement.chunked_prefill,
    agreement.generation,
    agreement.rows,
    placement.blocks_in_order,
    placement.states_are_block_outputs,
    placement.inputs_arrive,
    placement.law_is_obeyed,
)


def check_all(model: nn.Module, tokenizer: Any, *, seed: int = 0) -> tuple[Check, ...]:
    """Prove the run-time invariants on one model.

    Args:
        model: a loaded model in evaluation mode; the last check proves that it was not changed.
        tokenizer: its tokenizer.
        seed: of the random steering.

    Returns:
        One `Check` for each statement; all hold on a model that can be steered.

    Raises:
        ArchitectureError: its decoder blocks are not found.
        InputError: it is in training mode.
    """
    before = untouched.fingerprint(model)
    trial = prepare(model, tokenizer, seed)
    found = tuple(_carried_out(check, trial) for check in _CHECKS)
    return (*found, untouched.not_changed(before, untouched.fingerprint(model)))


def _carried_out(check: Callable[[Trial], Check], trial: Trial) -> Check:
    try:
        return check(trial)
    except Exception as error:  # a model that fails under steering is a finding, not an accident
        name = check.__name__.replace("_", " ")
        return Check.failed(name, f"{type(error).__name__}: {error}")


__all__ = ["Check", "check_all"]
