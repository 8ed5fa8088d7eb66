"""The tasks in the wind tunnel's closed world, where every score is exact."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from steersman.data import AlignedPairs, ContrastivePairs
from steersman.errors import InputError
from steersman.evaluation.items import Item, Prompt, Question
from steersman.evaluation.judges import Answer, Exact
from steersman.evaluation.splits import SCORING, part_of
from steersman.evaluation.task import Recipe, Split, Task
from steersman.windtunnel import Behaviour, behaviour, names
from steersman.windtunnel import Item as WorldItem
from steersman.windtunnel.behaviours import knowledge_items
from steersman.windtunnel.contexts import in_contexts, items_in_context
from steersman.windtunnel.grammar import grammatical_share

WORLD = "windtunnel"
"""What the data are called."""
GRAMMATICAL = "grammatical"
ACCURACY = "accuracy"

_ITEM = "item"
_ROUNDS = 64
_SEEDS_APART = 1_000_003


@dataclass(frozen=True, eq=False)
class WorldBehaviour(Task):
    """A behaviour of the wind tunnel.

    Examples to fit on share no person, place, creature, thing or template with any prompt; which
    prompts are for validation and which for testing, their words decide. Openings of stories are
    so few and say so little that both splits share them: there the noise alone differs.
    """

    @property
    def world(self) -> Behaviour:
        """The behaviour."""
        return behaviour(self.name)

    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """Prompts of a split, as many as are asked for; harmful and harmless ones in turn."""
        asked = _counted(count)
        kinds = (True, False) if self.world.name == "refusal" else (False,)
        found: dict[bool, list[WorldItem]] = {kind: [] for kind in kinds}
        need = -(-asked // len(kinds))
        for item in self._drawn(split, seed, asked):
            if len(found[item.harmful]) < need:
                found[item.harmful].append(item)
            if all(len(kept) == need for kept in found.values()):
                break
        turns = [item for both in zip(*found.values(), strict=True) for item in both][:asked]
        return tuple(
            Prompt(self._id(item, split, seed, i), item.prompt, {_ITEM: item}, _group(item, kinds))
            for i, item in enumerate(turns)
        )

    def pairs(self, seed: int, count: int) -> ContrastivePairs:
        """Documents of the fitting split that end where the behaviour is decided."""
        return self.world.pairs(seed, count)

    def aligned(self, seed: int, count: int) -> AlignedPairs:
        """Documents of the fitting split, the same behind a desired and an undesired context."""
        return in_contexts(self.world, seed, count)

    def in_context(self) -> "WorldInContext":
        """Prompts behind the line that names the desired latent."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        return WorldInContext(**own | {"data": {**self.data, "context": "desired"}})

    @property
    def _shared(self) -> bool:
        """Whether prompts say so little that all splits have the same."""
        return self.name.startswith("concepts")

    def _id(self, item: WorldItem, split: Split, seed: int, index: int) -> str:
        """The prompt; of one that all share every draw counts by itself."""
        return f"{item.prompt} ({split} {seed} {index})" if self._shared else item.prompt

    def _drawn(self, split: Split, seed: int, count: int) -> Iterator[WorldItem]:
        """Prompts of the world that belong to a split, without end."""
        apart = "validation" if split == "validation" else ""
        for turn in range(_ROUNDS):
            # Other prompts in every round, and, where the prompts are shared, in every split.
            drawn_with = seed + _SEEDS_APART * (turn + (_ROUNDS if apart and self._shared else 0))
            for item in self.world.items(drawn_with, 4 * count):
                if self._shared or split == "all" or part_of(item.prompt, SCORING) == split:
                    yield item
        raise InputError(
            f"{count} prompts of {self.name} are more than its world has: ask for less."
        )


@dataclass(frozen=True, eq=False)
class WorldInContext(WorldBehaviour):
    """The same prompts behind a line that names what is desired."""

    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """Prompts of a split, each behind such a line."""
        plain = [one for one in super().items(split, seed, count) if isinstance(one, Prompt)]
        kept = tuple(one.known[_ITEM] for one in plain)
        drawn = items_in_context(replace(self.world, items=lambda _, __: kept), seed, len(kept))
        return tuple(
            replace(one, prompt=item.prompt, known={_ITEM: item})
            for one, item in zip(plain, drawn, strict=True)
        )


@dataclass(frozen=True, eq=False)
class WorldKnowledge(Task):
    """Questions of the wind tunnel with three options, about creatures that no fit has seen."""

    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """Questions of a split."""
        asked, found = _counted(count), []
        for turn in range(_ROUNDS):
            for prompt, options, truth in knowledge_items(seed + _SEEDS_APART * turn, 4 * asked):
                if split == "all" or part_of(prompt, SCORING) == split:
                    right = tuple(option == truth for option in options)
                    choices = tuple(f" {option}" for option in options)
                    found.append(Question(prompt, prompt, choices, right, ACCURACY))
                if len(found) == asked:
                    return tuple(found)
        raise InputError(f"{asked} questions are more than the world has: ask for less.")

    def pairs(self, seed: int, count: int) -> ContrastivePairs:
        """None: knowledge is what a steering should leave alone.

        Raises:
            InputError: always.
        """
        raise InputError("knowledge is a side effect to be measured: there is nothing to fit on.")


@dataclass(frozen=True, eq=False)
class WorldFluency(Task):
    """Whether texts stay grammatical, over the prompts of all behaviours in turn."""

    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """Prompts of a split, of each behaviour in turn."""
        asked, kinds = _counted(count), [world_task(name) for name in names()]
        each = -(-asked // len(kinds))
        turns = zip(*(kind.items(split, seed, each) for kind in kinds), strict=True)
        return tuple(item for turn in turns for item in turn)[:asked]

    def pairs(self, seed: int, count: int) -> ContrastivePairs:
        """None: fluency is what a steering should leave alone.

        Raises:
            InputError: always.
        """
        raise InputError("fluency is a side effect to be measured: there is nothing to fit on.")


def world_task(name: str) -> Task:
    """A task of the wind tunnel by its name; a concept is written `concepts:sea`.

    Raises:
        UnknownNameError: there is no such behaviour.
    """
    data: dict[str, Any] = {"source": WORLD}
    if name == "knowledge":
        return WorldKnowledge(name, "know what it knew", ACCURACY, True, _recipe(1), data=data)
    if name == "fluency":
        judge = Exact("grammar", (GRAMMATICAL,), _grammar)
        return WorldFluency(
            name, "write as fluently as before", GRAMMATICAL, True, _recipe(40), (judge,), data=data
        )
    world = behaviour("concepts:sea" if name == "concepts" else name)
    probe = world.judge(world.items(0, 1)[0], "")
    scores = (*probe, GRAMMATICAL)

    def rule(answer: Answer) -> dict[str, float]:
        return world.judge(_item(answer), answer.text) | _grammar(answer)

    return WorldBehaviour(
        name=world.name,
        asked=world.asked,
        headline=world.headline,
        rises=world.rises,
        recipe=_recipe(world.new_tokens),
        judges=(Exact(world.name, scores, rule),),
        side=(GRAMMATICAL,),
        data=data,
    )


def _recipe(new_tokens: int) -> Recipe:
    return Recipe("plain", "ours: the whole distribution at temperature 1", new_tokens)


def _grammar(answer: Answer) -> dict[str, float]:
    """The share of the answer's lines that are grammatical; NaN where no line was finished."""
    prompt = str(answer.item.prompt)
    lines = f"{prompt} {answer.text}".split("\n")[prompt.count("\n") :]
    return {GRAMMATICAL: grammatical_share("\n".join(lines))}


def _item(answer: Answer) -> WorldItem:
    item: WorldItem = answer.item.known[_ITEM]
    return item


def _group(item: WorldItem, kinds: tuple[bool, ...]) -> str:
    if len(kinds) == 1:
        return ""
    return "harmful" if item.harmful else "harmless"


def _counted(count: int | None) -> int:
    if count is None or count < 1:
        raise InputError(
            "the wind tunnel's prompts have no end: say how many, at least 1, with count."
        )
    return count
