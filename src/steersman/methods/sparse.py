"""What methods by sparse autoencoders have in common: the file, the place, and what is active."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.autoencoders import Encoder, SparseAutoencoder, read_sae
from steersman.errors import InputError
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.training import Written


class Activity(NamedTuple):
    """How active each feature is in each of some sequences of tokens.

    Attributes:
        mean: the mean over the tokens of each sequence.
        anywhere: whether it is there at any of them.
    """

    mean: Float[Tensor, "sequences features"]
    anywhere: Bool[Tensor, "sequences features"]


@dataclass(frozen=True)
class SparseMethod(Method):
    """A method that reads and writes features of a sparse autoencoder, at the output of one block.

    The autoencoder is read while the steering is fitted. What its law needs is kept with the
    steering, which then runs without the file.

    Args:
        autoencoder: the folder that it is in, as SAELens and `fit_autoencoder` save it.
        block: at whose output it acts, 0-based; -1 is where the file says that it was trained.
    """

    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"
    in_units: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    needs_autoencoder: ClassVar[bool] = True

    autoencoder: str = ""
    block: int = -1

    def opened(self, evidence: Evidence) -> tuple[SparseAutoencoder, int]:
        """The autoencoder, and the block at whose output it acts.

        Raises:
            InputError: no folder, one of another width, or no block.
            ArtifactError: a file is missing or cannot be read.
        """
        if not self.autoencoder:
            raise InputError(
                f"{self.name} needs a sparse autoencoder: give its folder as autoencoder=, or make "
                "one with fit_autoencoder."
            )
        sae, direction = read_sae(self.autoencoder), evidence.direction
        if sae.n != direction.contrast.shape[1]:
            raise InputError(
                f"the autoencoder reads states of width {sae.n}, and the model's are "
                f"{direction.contrast.shape[1]} wide: it belongs to another model."
            )
        return sae, self._place(sae, direction.blocks)

    def activity(
        self, evidence: Evidence, sae: SparseAutoencoder, block: int, examples: Sequence[Written]
    ) -> Activity:
        """How active the features are at the tokens at which some examples are read.

        Args:
            evidence: with the model.
            sae: the autoencoder.
            block: whose output it reads.
            examples: at least one.

        Raises:
            InputError: there is no model to run.
        """
        sequences = evidence.require_bench(self.name).tokens(examples, block)
        found = [sae.encode(states) for states in sequences]
        return Activity(
            torch.stack([a.mean(0) for a in found]),
            torch.stack([(a > 0).any(0) for a in found]),
        )

    def sides(
        self, evidence: Evidence, sae: SparseAutoencoder, block: int
    ) -> tuple[Float[Tensor, " features"], Float[Tensor, " features"]]:
        """The mean activation of every feature on the desired and on the undesired examples.

        Args:
            evidence: with the model.
            sae: the autoencoder.
            block: whose output it reads.

        Raises:
            InputError: there is no model to run.
        """
        bench = evidence.require_bench(self.name)
        desired, undesired = (
            self.activity(evidence, sae, block, side).mean.mean(0)
            for side in (bench.desired, bench.undesired)
        )
        return desired, undesired

    def _place(self, sae: SparseAutoencoder, blocks: int) -> int:
        block = self.block
        if block == -1:
            if sae.state is None:
                raise InputError(
                    "the autoencoder's file does not say where it was trained: give the block "
                    "behind which it acts as block=."
                )
            block = sae.state - 1
        if not 0 <= block < blocks:
            raise InputError(
                f"block is {block}; {self.name} acts behind a block, and the model has blocks "
                f"0 .. {blocks - 1}."
            )
        return block


def require_features(chosen: Sequence[int], sae: SparseAutoencoder) -> None:
    """Refuse numbers that no feature has.

    Args:
        chosen: numbers of features.
        sae: the autoencoder.

    Raises:
        InputError: there is one.
    """
    wrong = [one for one in chosen if not 0 <= one < sae.features]
    if wrong:
        raise InputError(f"there is no feature {wrong[0]}; there are 0 .. {sae.features - 1}.")


def kept(
    sae: SparseAutoencoder, chosen: tuple[int, ...], values: Float[Tensor, " chosen"], block: int
) -> dict[str, Float[Tensor, "..."]]:
    """What a law of some features is made of, so that it needs no file.

    Args:
        sae: the autoencoder.
        chosen: the features.
        values: a number for each.
        block: where it acts.

    Raises:
        InputError: no such feature.
    """
    require_features(chosen, sae)
    own = {"D": sae.W_dec[list(chosen)], "values": values, "block": torch.tensor(float(block))}
    return own | sae.encoder.only(chosen).tensors()


def parts(controller: Controller) -> tuple[Encoder, Tensor, Tensor, int, int]:
    """The arguments of a law of features.

    Args:
        controller: made of what `kept` returned, perhaps saved and loaded since.
    """
    own = controller.own
    encoder, block = Encoder.of(own), int(own["block"])
    return encoder, own["D"], own["values"], block, len(controller.plan)
