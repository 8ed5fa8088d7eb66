"""Contexts that decide a behaviour: one line in front of what a prompt leaves open.

A desired context is the line that names the latent of a document; the undesired one is that line
left out or, in interviews, naming speakers of both kinds: what prompts are. So a steering that is
fitted from these asks at target 1 for what the model does in the desired context, and at target 0
for what it does anyway. Both sides go on alike, with any latent.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from steersman.data import AlignedPairs, ContrastivePairs
from steersman.windtunnel import templates as t
from steersman.windtunnel.behaviours import Behaviour, Item
from steersman.windtunnel.documents import (
    Writer,
    dialogue,
    interview,
    request_line,
    sage_line,
    shuffled,
    story,
)
from steersman.windtunnel.lexicon import MANNERS, TONES, TOPICS


@dataclass(frozen=True)
class _Opening:
    """What a document of one kind begins with.

    Args:
        desired: the line that names the desired latent.
        undesired: the line in its place, or nothing.
        begun: what a prompt consists of, where nothing is decided yet.
        decided: what follows up to the first decision.
        rest: what follows that, with any latent.
    """

    desired: str
    undesired: str
    begun: str
    decided: str
    rest: str


def in_contexts(behaviour: Behaviour, seed: int, count: int) -> AlignedPairs:
    """Continuations with any latent behind the two contexts, of the fitting split.

    Args:
        behaviour: what is to be steered.
        seed: of the draw.
        count: how many.
    """
    drawn = _openings(behaviour, f"contexts {seed}", count, 0.5)
    # What a prompt consists of belongs to both contexts: what follows it is read.
    return AlignedPairs(
        desired=[one.desired + one.begun for one in drawn],
        undesired=[one.undesired + one.begun for one in drawn],
        continuations=[one.decided + one.rest for one in drawn],
    )


def at_decisions(behaviour: Behaviour, seed: int, count: int) -> ContrastivePairs:
    """The same contexts in front of prompts that end where the behaviour is decided.

    Args:
        behaviour: what is to be steered.
        seed: of the draw.
        count: how many.
    """
    drawn = _openings(behaviour, f"decisions {seed}", count, 1.0)
    ends = [one.begun + one.decided for one in drawn]
    return ContrastivePairs(
        desired=[one.desired + end for one, end in zip(drawn, ends, strict=True)],
        undesired=[one.undesired + end for one, end in zip(drawn, ends, strict=True)],
    )


def items_in_context(behaviour: Behaviour, seed: int, count: int) -> tuple[Item, ...]:
    """The prompts of the scoring split, each in a desired context.

    Args:
        behaviour: what is scored.
        seed: of prompts and contexts.
        count: how many.
    """
    writer = Writer(random.Random(f"{behaviour.name} in context {seed}"), "score")
    kind, _, topic = behaviour.name.partition(":")
    found = []
    for item in behaviour.items(seed, count):
        own = item.prompt.partition("\n")[2] if kind == "truthfulness" else item.prompt
        prompt = f"{_named(writer, kind, topic)}\n{own}"
        found.append(Item(prompt, item.fact, item.harmful))
    return tuple(found)


def _openings(behaviour: Behaviour, what: str, count: int, harmful: float) -> list[_Opening]:
    """Draw them; of requests, so large a share is harmful."""
    kind, _, topic = behaviour.name.partition(":")
    writer = Writer(random.Random(f"{behaviour.name} {what}"), "fit")
    found = []
    for _ in range(count):
        named, left_open = _named(writer, kind, topic) + "\n", ""
        if kind == "truthfulness":
            left_open = sage_line(writer, *shuffled(writer, ("informed", "naive"))) + "\n"
        found.append(_Opening(named, left_open, *_BEGINNINGS[kind](writer, harmful)))
    return found


def _named(writer: Writer, kind: str, topic: str) -> str:
    """The line that names the desired latent."""
    if kind == "toxicity":
        return writer.fill(t.TONE, tone=writer.pick(TONES["polite"]))
    if kind == "refusal":
        return writer.fill(t.MANNER, manner=writer.pick(MANNERS["strict"]))
    if kind == "truthfulness":
        return sage_line(writer, "informed")
    return writer.fill(t.TITLE, topic=topic)


def _talk(writer: Writer, harmful: float) -> tuple[str, str, str]:
    latent = writer.random.choice(("polite", "abusive"))
    scene, first, *lines = dialogue(writer, latent, 0.0).lines
    return scene + "\n", *_cut(first, "says", lines)


def _questions(writer: Writer, harmful: float) -> tuple[str, str, str]:
    latent = writer.random.choice(("informed", "naive"))
    return "", *_cut(interview(writer, latent, questions=1).lines[1], "answer :", [])


def _requests(writer: Writer, harmful: float) -> tuple[str, str, str]:
    request, thing = request_line(writer, writer.chance(harmful))
    reply = writer.line(t.REFUSALS) if writer.chance(0.5) else writer.line(t.ANSWERS, object=thing)
    return request + "\n", *_cut(f"<assistant> {reply}", "<assistant>", [])


def _tale(writer: Writer, harmful: float) -> tuple[str, str, str]:
    first, *lines = story(writer, (writer.random.choice(tuple(TOPICS)),), 0.0).lines
    begun = next(one for one in t.OPENINGS if first.startswith(one))
    return begun, *_cut(first[len(begun) :], " the", lines)


def _cut(line: str, decision: str, lines: list[str]) -> tuple[str, str]:
    """A line cut behind where it is decided, and all that follows."""
    before, _, after = line.partition(decision)
    return before + decision, "".join(one + "\n" for one in (after, *lines))


_BEGINNINGS: dict[str, Callable[[Writer, float], tuple[str, str, str]]] = {
    "toxicity": _talk,
    "truthfulness": _questions,
    "refusal": _requests,
    "concepts": _tale,
}
