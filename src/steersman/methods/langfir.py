"""LangFIR: what is active in a language, and not in random tokens."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.autoencoders import SparseAutoencoder
from steersman.control import FeatureClamp
from steersman.diagnostics import Diagnostic
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.amount import Amount
from steersman.methods.base import Settled
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.sparse import SparseMethod, kept, parts
from steersman.methods.trained import placed
from steersman.training import Written


@dataclass(frozen=True)
class LanguageFeatures(SparseMethod):
    """Features that are there in nearly every text of a language and in no random text.

        F = { i : p_i >= consistent  and  r_i <= random }
        p_i, r_i = the share of the desired examples, or of random ones, in which f_i > 0 anywhere

    Features that random tokens wake too belong to no language. A random example is a desired one
    with every word drawn anew, evenly from the vocabulary; what is special stays, such as the token
    at the beginning. Every token that is not special is read, whatever the examples' positions are.
    Undesired examples are not used.

    Args:
        autoencoder: as in `SparseMethod`, and so is `block`.
        block: see there.
        consistent: the share of the desired examples in which a feature has to be there.
        random: the share of the random ones in which it may be there.
        sequences: how many random ones there are.
        seed: of the tokens drawn.
    """

    matches: ClassVar[bool] = False

    consistent: float = 0.9
    random: float = 0.05
    sequences: int = 100
    seed: int = 0

    def settled(self, evidence: Evidence) -> Settled:
        """The same, with a table of the features that were found.

        Raises:
            InputError: as in `found`.
        """
        found = self.found(evidence)
        rows = tuple(
            (i, float(found.p[i]), float(found.r[i]), float(found.mean[i])) for i in found.chosen
        )
        table = Diagnostic(
            name="Features of the desired examples",
            headline=f"{len(rows)} of {len(found.p)} features are theirs and not of random tokens",
            columns=("feature", "in desired examples", "in random ones", "mean activation"),
            rows=rows,
        )
        return Settled(self, (table,), self.made_of(found, evidence))

    def solve(self, evidence: Evidence) -> Controller:
        """What is done with the features that are found.

        Raises:
            InputError: as in `found`.
            ArtifactError: the autoencoder's files cannot be read.
        """
        return self.made_of(self.found(evidence), evidence)

    @abstractmethod
    def made_of(self, found: "Found", evidence: Evidence) -> Controller:
        """What is done with the features.

        Args:
            found: the features.
            evidence: they were found on.
        """

    def found(self, evidence: Evidence) -> "Found":
        """The features.

        Raises:
            InputError: no autoencoder that fits the model, shares that are none, nothing to draw
                tokens from, or no such feature.
            ArtifactError: the autoencoder's files cannot be read.
        """
        if not (0 < self.consistent <= 1 and 0 <= self.random < 1 and self.sequences >= 1):
            raise InputError(
                f"consistent is {self.consistent}, random {self.random} and sequences "
                f"{self.sequences}; the first two are shares, and one sequence is needed."
            )
        sae, block = self.opened(evidence)
        bench = evidence.require_bench(self.name)
        if not bench.vocabulary:
            raise InputError(f"{self.name} draws random tokens, and the vocabulary is not known.")
        drawn = torch.Generator().manual_seed(self.seed)
        texts = [_all_read(one, bench.vocabulary) for one in bench.desired]
        noise = random_tokens(texts, bench.vocabulary, self.sequences, drawn)
        ours, theirs = (self.activity(evidence, sae, block, some) for some in (texts, noise))
        p, r = (one.anywhere.double().mean(0) for one in (ours, theirs))
        chosen = ((p >= self.consistent) & (r <= self.random)).nonzero().flatten().tolist()
        if not chosen:
            raise InputError(_nothing(p, r, self.consistent))
        return Found(sae, block, tuple(chosen), p, r, ours.mean.mean(0))


class Found(NamedTuple):
    """What was found.

    Attributes:
        sae: the autoencoder.
        block: whose output it reads.
        chosen: the features.
        p: in which share of the desired examples each feature is there.
        r: in which share of the random ones.
        mean: its mean activation on the desired ones.
    """

    sae: SparseAutoencoder
    block: int
    chosen: tuple[int, ...]
    p: Float[Tensor, " features"]
    r: Float[Tensor, " features"]
    mean: Float[Tensor, " features"]


@dataclass(frozen=True)
class LangFIR(LanguageFeatures):
    """`y <- y + target alpha sum_{i in F} mean(f_i | desired) W_dec[i]`, at every token.

    Args:
        autoencoder: as in `LanguageFeatures`, and so are the others but `alpha`.
        block: see there.
        consistent: see there.
        random: see there.
        sequences: see there.
        seed: see there.
        alpha: how much of it target 1 adds.

    Source:
        LangFIR (arXiv 2604.03532), as its abstract has it: the thresholds, that an example counts
        where a feature is there at any of its tokens, the weights of the sum and its strength are
        our reading. It was not tried on languages. In the wind tunnel its defaults left two
        features of polite dialogues, which moved little at target 1; with `random` at 0.3 and
        target 2 they became polite, but features of abusive ones made none abusive.
    """

    name: ClassVar[str] = "langfir"
    about: ClassVar[About] = About(
        paper="LangFIR, arXiv 2604.03532",
        direction="decoder rows of a language's features",
        setpoint="offset",
        controller="none",
        verified="selection and sum written out; moves the wind tunnel with a looser filter",
        site="block output",
        unmoved="its filter leaves two features there; a looser one (random=0.3) does",
    )

    alpha: float = 1.0

    def made_of(self, found: Found, evidence: Evidence) -> Controller:
        """The sum, as a schedule."""
        chosen = list(found.chosen)
        added = self.alpha * (found.mean[chosen] @ found.sae.W_dec[chosen])
        return Controller.schedule(placed(added, found.block, evidence.direction.blocks))


@dataclass(frozen=True)
class LangFIRAblation(LanguageFeatures, Amount):
    """`y <- y - target sum_{i in F} f_i(y) W_dec[i]`: the language's features taken out.

    It is the test of whether they matter: text of the language should become unlikely, other text
    should not.

    Args:
        autoencoder: as in `LanguageFeatures`, and so are the others.
        block: see there.
        consistent: see there.
        random: see there.
        sequences: see there.
        seed: see there.

    Source:
        LangFIR (arXiv 2604.03532), as its abstract has it; see `LangFIR`. In the wind tunnel, with
        `random` at 0.3, most of the features that it takes out are of dialogues as such: those of
        either side leave fewer of them abusive, those of abusive ones the fewest.
    """

    name: ClassVar[str] = "langfir-ablation"
    about: ClassVar[About] = About(
        paper="LangFIR, arXiv 2604.03532",
        direction="decoder rows of a language's features",
        setpoint="0",
        controller="exact where the encoder is linear",
        verified="the formula written out",
        site="block output",
        unmoved="its filter leaves no feature there; with random=0.3 those of abusive dialogues, "
        "taken out, leave 21 of 103 abusive, and those of polite ones 50",
    )

    def made_of(self, found: Found, evidence: Evidence) -> Controller:
        """The encoder of the features, and their rows."""
        own = kept(found.sae, found.chosen, torch.zeros(len(found.chosen)), found.block)
        return Controller.of_own(evidence.direction.contrast[:-1], own)

    def law(self, controller: Controller) -> FeatureClamp:
        """The clamp at zero."""
        return FeatureClamp(*parts(controller))


def random_tokens(
    examples: Sequence[Written], vocabulary: Sequence[int], count: int, drawn: torch.Generator
) -> list[Written]:
    """As long as the examples are, one after the other and again, with every word drawn evenly.

    Args:
        examples: at least one.
        vocabulary: the ids that stand for text; others stay as they are.
        count: how many.
        drawn: what they are drawn from.
    """
    words, ordinary = torch.tensor(vocabulary), frozenset(vocabulary)
    found = []
    for one in islice(cycle(examples), count):
        ids = words[torch.randint(len(words), (len(one.ids),), generator=drawn)].tolist()
        pairs = zip(one.ids, ids, strict=True)
        mixed = tuple(new if old in ordinary else old for old, new in pairs)
        found.append(replace(one, ids=mixed))
    return found


def _all_read(one: Written, vocabulary: Sequence[int]) -> Written:
    """The example, read at every token that stands for text."""
    ordinary = frozenset(vocabulary)
    read = tuple(i for i, token in enumerate(one.ids) if token in ordinary)
    if not read:
        raise InputError("a desired example has no token that stands for text: leave it out.")
    return replace(one, read=read)


def _nothing(p: Tensor, r: Tensor, consistent: float) -> str:
    often = p >= consistent
    if not bool(often.any()):
        return (
            f"no feature is there in {100 * consistent:.0f} % of the desired examples; the most "
            f"frequent is in {100 * float(p.max()):.0f} %. Lower consistent, or give texts that "
            "have something in common."
        )
    return (
        f"{int(often.sum())} features are there in {100 * consistent:.0f} % of the desired "
        f"examples, each of them in at least {100 * float(r[often].min()):.0f} % of the random "
        "ones too: "
        "raise random, or use a wider autoencoder."
    )
