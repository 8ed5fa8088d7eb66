"""What can be attached to a model: one steering, or several together."""

from abc import ABC, abstractmethod

from torch import nn

from steersman.engines import Channel
from steersman.plant import Blocks
from steersman.request import Request, Rows


class Attachable(ABC):
    """What `steersman.attach` takes for a prompt."""

    @abstractmethod
    def channels(
        self, request: Request, model: nn.Module, rows: Rows = None
    ) -> tuple[Channel, ...]:
        """The laws with their references, in the order in which they act.

        Args:
            request: what is asked; its strengths are those of `rows`.
            model: the model that is about to run.
            rows: which prompts of a batch; None is all.

        Raises:
            InputError: a choice that contradicts another, or that there is not.
        """

    @abstractmethod
    def require_model(self, model: nn.Module, blocks: Blocks) -> None:
        """Refuse a model that it was not made for.

        Raises:
            MismatchError: it is another one; names what differs.
        """
