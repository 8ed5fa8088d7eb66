"""Laws that act inside the blocks: where their sites are in a model, and their hooks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from steersman.engines.channel import Channel
from steersman.engines.passing import Pass
from steersman.errors import ArchitectureError
from steersman.plant import HookSet, Site, Sites, find_sites

Act = Callable[[Site, int, Tensor], Tensor | None]
"""What becomes of the tensor that a block holds at a site; None leaves it."""


@dataclass(frozen=True)
class Inside:
    """The sites of a run's channels.

    Args:
        places: where each site is; "block" is none of them.
        channels: by site, the numbers of the channels that act there.
    """

    places: dict[Site, Sites]
    channels: dict[Site, tuple[int, ...]]

    @classmethod
    def of(cls, model: nn.Module, channels: Sequence[Channel]) -> "Inside":
        """Find every site that a channel names.

        Raises:
            ArchitectureError: the model has no such place.
        """
        named = dict.fromkeys(one.site for one in channels if one.site != "block")
        return cls(
            {site: find_sites(model, site) for site in named},
            {site: tuple(i for i, c in enumerate(channels) if c.site == site) for site in named},
        )

    def width(self, site: Site, n: int) -> int:
        """How wide a law at a site is; `n` in the residual stream."""
        return n if site == "block" else self.places[site].width

    def at(self, site: Site) -> tuple[int, ...]:
        """The channels that act at a site, in order."""
        return self.channels[site]

    def enter(self, hooks: HookSet, act: Act) -> None:
        """Hook every site."""
        for site, places in self.places.items():
            places.change(hooks, partial(act, site))

    def require_all(self, current: Pass, blocks: int) -> None:
        """Refuse a pass in which a block did without its site.

        Raises:
            ArchitectureError: one did.
        """
        for site in self.places:
            seen = current.visited[site]
            if seen != blocks:
                raise ArchitectureError(
                    f"steering reached {site!r} in {seen} of {blocks} blocks: this model does not "
                    "run that part of its blocks once each in a forward pass"
                )
