"""The closed world: every creature has one true value and one popular misconception a relation."""

import random
from dataclasses import dataclass
from functools import cache

from steersman.windtunnel.lexicon import CREATURES, VALUES, Split, half

WORLD_SEED = 20260419


@dataclass(frozen=True)
class Fact:
    """What is so about one creature, and what people wrongly believe."""

    creature: str
    relation: str
    truth: str
    misconception: str

    def distractors(self) -> tuple[str, ...]:
        """Values of the relation that are neither true nor the popular misconception."""
        taken = (self.truth, self.misconception)
        return tuple(value for value in VALUES[self.relation] if value not in taken)


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact of the world, drawn once from `WORLD_SEED`."""
    generator = random.Random(WORLD_SEED)
    world = []
    for creature in CREATURES:
        for relation, values in VALUES.items():
            truth, misconception = generator.sample(values, 2)
            world.append(Fact(creature, relation, truth, misconception))
    return tuple(world)


@cache
def facts_of(split: Split) -> tuple[Fact, ...]:
    """The facts about the creatures of one split; the splits share no creature."""
    creatures = set(half(CREATURES, split))
    return tuple(fact for fact in facts() if fact.creature in creatures)


@cache
def fact(creature: str, relation: str) -> Fact:
    """The fact about `creature` and `relation`."""
    return next(f for f in facts() if (f.creature, f.relation) == (creature, relation))
