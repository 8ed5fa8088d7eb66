"""Several steerings on the same prompts, each with a target of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from steersman.attachable import Attachable
from steersman.batches import attach
from steersman.directions import listed
from steersman.engines import Channel, Run, Tokens
from steersman.errors import InputError
from steersman.methods import ExecutionName, ReferenceName
from steersman.plant import Blocks
from steersman.request import RelinearizeName, Request, Rows, Strength
from steersman.steering import Steering


@dataclass(frozen=True, eq=False)
class Together(Attachable):
    """Steerings that act side by side, in the order of `members`.

        x_{t+1} = f_t(x_t) + u_t^1(x_t) + u_t^2(x_t) + ...

    Each reads what enters a block and adds to what leaves it, one after the other; so within a
    block none sees what another adds there, and behind it all see what all have added. Plans
    therefore add up. A law with feedback takes what the others did for a disturbance, and holds its
    own feature where it was asked to: two laws for features that pull on each other are better
    fitted as one steering of several features.

    Args:
        members: the steerings, by the names under which their targets are given.

    Raises:
        InputError: there is none, or one without a name of its own.
    """

    members: Mapping[str, Steering]

    def __post_init__(self) -> None:
        """Check the names."""
        if not self.members:
            raise InputError("there is no steering to attach: give them by name.")
        for name, one in self.members.items():
            if not isinstance(name, str) or not name.strip() or "." in name:
                raise InputError(f"a steering is called {name!r}; give it a name without dots.")
            if not isinstance(one, Steering):
                raise InputError(f"{name!r} is a {type(one).__name__} and no steering.")

    @property
    def names(self) -> tuple[str, ...]:
        """Of all targets: a steering's, or steering.feature where it has several."""
        return tuple(name for member in self.members for name in self._names(member))

    def attach(
        self,
        model: nn.Module,
        target: Strength | None = None,
        *,
        lambda_: Strength | None = None,
        tokens: Tokens | None = None,
        reference: ReferenceName | None = None,
        execution: ExecutionName | None = None,
        relinearize: RelinearizeName = "fit",
        correction: float = 0.0,
        cap: float | None = None,
        prompt_length: int | None = None,
        trace: bool = True,
    ) -> Run:
        """Steer `model` by all of them inside a `with` block.

        Args:
            model: the loaded model that all were made for; it is not changed.
            target: the strength of each by its name, `{"calm": 1.0, "formal": [0.5, 0.0]}`, one
                number or one a prompt; `"both.sea"` is the feature "sea" of the steering "both".
                One that is not named adds nothing, as with 0.
            lambda_: strength as the paper has it instead, of each by its name.
            tokens: as in `Steering.attach` and for all of them, and so are the others; None leaves
                each what it says itself.
            reference: see there.
            execution: see there.
            relinearize: see there.
            correction: see there.
            cap: see there; the longest input of each of them.
            prompt_length: see there.
            trace: see there; `run.traces()` has a trace for each name, in their order.

        Returns:
            A `Run`, to be used in a `with` block.

        Raises:
            MismatchError: a steering was made for another model.
            InputError: a name that there is not, or what any of them refuses.
            AttachedError: on entering, where the model already carries a steering.
        """
        return attach(
            model,
            [self],
            target,
            lambda_=lambda_,
            tokens=tokens,
            reference=reference,
            execution=execution,
            relinearize=relinearize,
            correction=correction,
            cap=cap,
            prompt_length=prompt_length,
            trace=trace,
        )

    def channels(
        self, request: Request, model: nn.Module, rows: Rows = None
    ) -> tuple[Channel, ...]:
        """The law of each, in their order.

        Raises:
            InputError: a name that there is not, or what any of them refuses.
        """
        self._require_names(request)
        return tuple(
            replace(channel, names=self._names(member))
            for member, one in self.members.items()
            for channel in one.channels(self._asked_of(member, request), model, rows)
        )

    def require_model(self, model: nn.Module, blocks: Blocks) -> None:
        """Refuse a model that any of them was not made for."""
        for one in self.members.values():
            one.require_model(model, blocks)

    def summary(self) -> str:
        """A line for each."""
        return "\n".join(f"{name}: {one.summary()}" for name, one in self.members.items())

    def _names(self, member: str) -> tuple[str, ...]:
        features = self.members[member].features.names
        return (member,) if len(features) == 1 else tuple(f"{member}.{one}" for one in features)

    def _asked_of(self, member: str, request: Request) -> Request:
        """The same request with this member's strengths, by the names of its own features."""
        features = self.members[member].features.names
        if None in request.amounts:  # there is but one, whose name need not be said
            return request
        theirs = zip(self._names(member), features, strict=True)
        amounts: dict[str | None, float | tuple[float, ...]] = {
            own: request.amounts[name] for name, own in theirs if name in request.amounts
        }
        return replace(request, amounts=amounts)

    def _require_names(self, request: Request) -> None:
        what = "lambda_" if request.paper else "target"
        if None in request.amounts and len(self.names) > 1:
            some = ", ".join(f"{name!r}: 1.0" for name in self.names)
            raise InputError(
                f"here are {listed(self.names)}: give the strength of each by its name, as in "
                f"{what}={{{some}}}."
            )
        unknown = [str(name) for name in request.amounts if name not in (None, *self.names)]
        if unknown:
            raise InputError(f"{what} names {listed(unknown)}; here are {listed(self.names)}.")


def together(members: Mapping[str, Steering]) -> Together:
    """Several steerings on the same prompts, in this order; attached as one steering is.

        both = sm.together({"calm": calm, "formal": formal})
        with both.attach(model, target={"calm": 1.0, "formal": 0.5}) as run: ...

    Args:
        members: the steerings, by the names under which their targets are given.

    Raises:
        InputError: there is none, or one without a name of its own.
    """
    return Together(dict(members))
