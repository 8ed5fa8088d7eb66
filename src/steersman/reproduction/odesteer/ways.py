"""What is compared: ODESteer as its paper has it and as this library runs it, and baselines."""

from dataclasses import dataclass

from steersman.methods import ActivationAddition, ODESteer, StepODESteer
from steersman.reproduction.odesteer.sources import NAME
from steersman.reproduction.published import is_model
from steersman.reproduction.ways import Way, default

CAA_NAME, STEP_NAME = "CAA", "StepODESteer"
BLOCKS = {
    "Llama-3.1-8B": 13,
    "Mistral-7B-v0.1": 15,
    "Mistral-7B-v0.3": 15,
    "Falcon-7B": 14,
    "Qwen2.5-7B": 13,
}
"""Where the released code steers, counted from 0."""
LENGTHS = (1.0, 5.0)
"""The released configuration's length of path, and that of its example."""


@dataclass(frozen=True)
class Published:
    """How the paper's own form is run.

    Args:
        block: where; -1 is chosen by the classifiers.
        lengths: of the path, in the units of the state.
        known: whether the paper has this model.
    """

    block: int
    lengths: tuple[float, ...]
    known: bool

    @classmethod
    def of(cls, model: str, lengths: tuple[float, ...] | None) -> "Published":
        """As the released code runs a model.

        Args:
            model: its name.
            lengths: those that were asked for; None are the released ones.
        """
        block = next((at for name, at in BLOCKS.items() if is_model(model, name)), None)
        return cls(-1 if block is None else block, lengths or LENGTHS, block is not None)

    def told(self, asked: bool) -> str:
        """Where block and lengths are from.

        Args:
            asked: whether the lengths were asked for.
        """
        block = "released" if self.known else "chosen by the classifiers, for a model that is new"
        return (
            f"The paper's form has {'lengths that were asked for' if asked else 'both lengths'} "
            f"{'' if asked else 'that are released '}and the block that is {block}; a length in "
            "the units of the state is another push in every model."
        )


def compared(settings: Published) -> tuple[Way, ...]:
    """Baselines that there are, the paper's forms, and ODESteer by our unit.

    Args:
        settings: block and lengths.
    """
    block = settings.block
    return (
        Way("activation addition", ActivationAddition(block), CAA_NAME, 1.0),
        default(),
        *(Way(f"StepODESteer, T = {T:g}", step(block), STEP_NAME, T) for T in settings.lengths),
        *(Way(f"ODESteer, T = {T:g}", form(block), NAME, T) for T in settings.lengths),
        Way("ODESteer, target 1", ODESteer(block=block), "", 1.0),
    )


def form(block: int) -> ODESteer:
    """The paper's form: a path of so much length in the units of the state."""
    return ODESteer(block=block, unit="state")


def step(block: int) -> StepODESteer:
    """The same in one step."""
    return StepODESteer(block=block, unit="state")
