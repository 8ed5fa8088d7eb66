"""Function vectors: what the heads that carry a task put out on average, added at one block."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from steersman.control import DiagonalField
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind, Settled
from steersman.methods.choosing import strongest_blocks
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.heads import by_head, heads_table, marked, side_by_side
from steersman.plant import Site
from steersman.plant.mixing import mixed_heads
from steersman.training import Bench, Written


@dataclass(frozen=True)
class FunctionVectors(Method):
    """`y <- y + target sum_h W_h mean(a_h)` at one block, over the heads that carry the task.

        mean(a_h)   what head h puts out, over the desired examples
        effect_h = mean over undesired examples of  p(answer | a_h <- mean(a_h)) - p(answer)
        W_h         the columns of the attention's output projection that mix head h in

    Desired examples are prompts that show a task, undesired ones the same prompts with the task
    broken, such as shuffled answers; both end where the answer begins. The answer of a pair is the
    token that the model itself finds likeliest behind the desired prompt. The vector is a mean and
    no difference, and need not point at an answer: it is an instruction.

    In the embedded model target 1 does nothing: its heads read the context in the first block, and
    the MLP there writes a contrast that is ten to sixty times as long as what they put out. At
    target 82 it moves the score as asked.

    Finding the effects takes a forward pass over the `trials` for each head of the model.

    Args:
        heads: how many heads the vector is summed over, those of all blocks ranked together.
        depth: behind which block it is added, as a share of the depth.
        trials: the first so many undesired examples are those that effects are averaged over.
        chosen: the heads, counted through all blocks; empty is found out.

    Source:
        Todd et al., Function Vectors in Large Language Models (arXiv 2310.15213), with its
        defaults. There the answer is the task's own, and all blocks are tried.
    """

    name: ClassVar[str] = "function-vectors"
    about: ClassVar[About] = About(
        paper="Function vectors, arXiv 2310.15213",
        direction="sum of the heads that cause it",
        setpoint="offset",
        controller="none",
        verified="heads patched by hooks; the projection written out",
        site="block output",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "last"
    in_units: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    learns_at: ClassVar[Site] = "heads"

    heads: int = 10
    depth: float = 1 / 3
    trials: int = 25
    chosen: tuple[int, ...] = ()

    def settled(self, evidence: Evidence) -> Settled:
        """With the heads, where they were left to the examples, and a table of them.

        Raises:
            InputError: examples that are not paired, or fewer heads or examples than are wanted.
        """
        if self.chosen:
            return Settled(self)
        at = evidence.where_it_learns(self)
        known = by_head(at, self.name)[0].mean(0)
        effects = self._effects(evidence.require_bench(self.name), known, at.desired.shape[1])
        settled = replace(self, chosen=strongest_blocks(effects, self.heads, "heads"))
        table = heads_table(settled.chosen, effects, at.heads, "effect on the answer")
        return Settled(settled, (table,))

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule.

        Raises:
            InputError: as `settled`, a depth that is none, or a head that does not exist.
            ArchitectureError: the attention of a block has no single projection.
        """
        if not 0 <= self.depth <= 1:
            raise InputError(f"depth is {self.depth}; it is a share of the depth, up to 1.")
        if not self.chosen:
            return self.settled(evidence).solved(evidence)
        at = evidence.where_it_learns(self)
        mean = by_head(at, self.name)[0].double().mean(0)
        blocks = at.desired.shape[1]
        patched = side_by_side(marked(self.chosen, mean) * mean, blocks).float()
        mixed = mixed_heads(evidence.require_bench(self.name).model, patched)
        inputs = torch.zeros_like(mixed)
        inputs[min(int(self.depth * blocks), blocks - 1)] = mixed.sum(0)
        return Controller.schedule(inputs)

    def _effects(
        self, bench: Bench, mean: Float[Tensor, "sites size"], blocks: int
    ) -> Float[Tensor, " sites"]:
        """By how much the answer is likelier with each head's mean in place of what it puts out."""
        whole, broken = self._trials(bench)
        answers = bench.probabilities(whole, None).argmax(-1, keepdim=True)
        bare = bench.probabilities(broken, None).gather(1, answers)
        effects = torch.zeros(len(mean), dtype=torch.float64)
        for head in tqdm(range(len(mean)), desc="heads", disable=not bench.progress):
            law = patch(head, mean, blocks)
            channel = bench.channel(law.to(bench.device), tokens="last", site="heads")
            found = bench.probabilities(broken, channel).gather(1, answers)
            effects[head] = (found - bare).double().mean()
        return effects

    def _trials(self, bench: Bench) -> tuple[list[Written], list[Written]]:
        """The whole prompts and the broken ones, nothing of which is a response.

        Raises:
            InputError: the examples are not paired, or are read elsewhere than at their end.
        """
        if not bench.paired:
            raise InputError(
                f"{self.name} compares each broken prompt with the whole one: give desired[i] and "
                "undesired[i] together."
            )
        if self.trials < 1:
            raise InputError(f"trials is {self.trials}; give at least one.")
        sides = bench.desired[: self.trials], bench.undesired[: self.trials]
        if any(one.read != (len(one.ids) - 1,) for side in sides for one in side):
            raise InputError(
                f"{self.name} asks what comes next behind every prompt: let the examples end where "
                "the answer begins, and read them at the last token."
            )
        whole, broken = ([replace(one, start=len(one.ids)) for one in side] for side in sides)
        return whole, broken


def patch(head: int, mean: Float[Tensor, "sites size"], blocks: int) -> DiagonalField:
    """The law that puts a head's mean in the place of what it puts out: `a_h <- mean(a_h)`.

    Args:
        head: which, counted through all blocks.
        mean: of every head.
        blocks: how many the model has.
    """
    mine = marked([head], mean).expand_as(mean)
    omega, beta = (side_by_side(part, blocks).float() for part in (1 - mine, mine * mean))
    return DiagonalField(omega, beta)
