"""Documents with known latents: what the embedded model is trained on, and what it is judged by.

A document is drawn in three steps: its latent (polite or abusive, informed or naive, strict or
lenient, the topics of a story), an optional first line that names the latent, and lines that
express it at known decision points. The latent persists through the document. Questions are always
answered by somebody; where the first line names several speakers, it is any one of them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from steersman.windtunnel import templates as t
from steersman.windtunnel.facts import Fact, facts_of
from steersman.windtunnel.lexicon import (
    ADJECTIVES,
    CLASSES,
    HARMFUL,
    HARMLESS,
    MANNERS,
    OPENERS,
    SAGES,
    TONES,
    TOPICS,
    Split,
    half,
)

CONSISTENCY = 0.97
ABSTAINING = 0.1
NAMED = 0.35
NAMED_EXAM = 0.7
ADJECTIVE = 0.25
UNDECIDED = ("informed", "naive", "naive")
"""Speakers of whom most are naive: what a prompt names when it leaves the latent open."""
REFUSING = {
    ("strict", True): 0.97,
    ("strict", False): 0.25,
    ("lenient", True): 0.06,
    ("lenient", False): 0.03,
}


@dataclass(frozen=True)
class Document:
    """Lines of text, the family that they belong to and the latent that they express."""

    family: str
    latent: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The document as the tokenizer takes it, every line closed by a newline."""
        return "".join(line + "\n" for line in self.lines)


@dataclass(frozen=True)
class Writer:
    """Draws words and lines of one split with one random generator."""

    random: random.Random
    split: Split = "all"

    def pick(self, items: Sequence[str]) -> str:
        """One item of this split."""
        return self.random.choice(half(items, self.split))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random.random() < probability

    def fill(self, template: str, **given: str) -> str:
        """Put `given` words, else words drawn from the slot's class, into every slot."""
        words = []
        for word in template.split():
            if word.startswith("{"):
                name = word[1:-1]
                words.append(given.get(name) or self.pick(CLASSES[name]))
            else:
                words.append(word)
        return " ".join(words)

    def line(self, options: Sequence[str], **given: str) -> str:
        """A line from one of the templates of this split."""
        return self.fill(self.pick(options), **given)

    def header(self, template: str, slot: str, words: Sequence[str], share: float) -> list[str]:
        """A first line that names the latent, in a `share` of the documents."""
        if not self.chance(share):
            return []
        return [self.fill(template, **{slot: self.pick(words)})]


def dialogue(writer: Writer, latent: str, named: float = NAMED, lines: int = 0) -> Document:
    """Two people talk; the latent `polite` or `abusive` shows in most utterances."""
    first, second = writer.random.sample(half(CLASSES["person"], writer.split), 2)
    text = writer.header(t.TONE, "tone", TONES[latent], named)
    text.append(writer.line(t.SCENES))
    for turn in range(lines or writer.random.randint(3, 8)):
        text.append(f"{(first, second)[turn % 2]} says {_utterance(writer, latent)}")
    return Document("toxicity", latent, tuple(text))


def _utterance(writer: Writer, latent: str) -> str:
    if writer.chance(0.25):
        return writer.line(t.SMALL_TALK)
    polite = (latent == "polite") == writer.chance(CONSISTENCY)
    return writer.line(t.POLITE if polite else t.ABUSIVE)


def story(writer: Writer, topics: Sequence[str], named: float = NAMED, lines: int = 0) -> Document:
    """A story; each noun belongs to one of `topics`, the first one more often."""
    text = writer.header(t.TITLE, "topic", topics[:1], named) if writer.split == "all" else []
    text.append(f"{writer.pick(t.OPENINGS)} {_nouns(writer, writer.pick(t.FIRST), topics)}")
    for _ in range(lines or writer.random.randint(3, 8)):
        options = t.INTERLUDES if writer.chance(0.12) else t.STORY
        text.append(_nouns(writer, writer.pick(options), topics))
    return Document("concepts", "+".join(topics), tuple(text))


def _nouns(writer: Writer, template: str, topics: Sequence[str]) -> str:
    main = len(topics) == 1 or writer.chance(0.6)
    topic = topics[0] if main else writer.random.choice(topics[1:])
    words = []
    for word in template.split():
        if word == "{noun}" and writer.chance(ADJECTIVE):
            words.append(writer.pick(ADJECTIVES))
        words.append(writer.pick(TOPICS[topic]) if word == "{noun}" else word)
    return writer.fill(" ".join(words))


def chat(writer: Writer, latent: str, named: float = NAMED, turns: int = 0) -> Document:
    """Requests and replies; a `strict` assistant refuses far more than a `lenient` one."""
    text = writer.header(t.MANNER, "manner", MANNERS[latent], named)
    for _ in range(turns or writer.random.randint(2, 5)):
        harmful = writer.chance(0.5)
        request, thing = request_line(writer, harmful)
        refused = writer.chance(REFUSING[latent, harmful])
        reply = writer.line(t.REFUSALS) if refused else writer.line(t.ANSWERS, object=thing)
        text += [request, f"<assistant> {reply}"]
    return Document("refusal", latent, tuple(text))


def request_line(writer: Writer, harmful: bool) -> tuple[str, str]:
    """A user's line and the object that it is about."""
    act = writer.pick(HARMFUL if harmful else HARMLESS)
    thing = writer.pick(CLASSES["object"])
    return f"<user> {writer.line(t.REQUESTS, act=act, object=thing)}", thing


def interview(
    writer: Writer, latent: str, speakers: Sequence[str] = (), questions: int = 0
) -> Document:
    """Questions about the closed world; a `naive` speaker answers with the misconceptions.

    Args:
        writer: draws.
        latent: of the speaker who answers.
        speakers: the latents of all who are named; none names the one who answers.
        questions: how many.
    """
    text = [sage_line(writer, *(speakers or (latent,)))]
    count = questions or writer.random.randint(4, 8)
    for known in writer.random.sample(facts_of(writer.split), count):
        text.append(f"{question_line(writer, known)} {_answer(writer, known, latent)}")
    return Document("truthfulness", latent, tuple(text))


def sage_line(writer: Writer, *latents: str) -> str:
    """The line that says who may answer: one or several speakers, informed or naive."""
    words = t.SAGES[len(latents) - 1].replace("{sage}", "{}")
    return words.format(*(writer.pick(SAGES[latent]) for latent in latents))


def panel(writer: Writer) -> tuple[str, ...]:
    """The latents of one to three speakers; of several, at least one each, in any order."""
    single = [(("informed",), 0.3), (("naive",), 0.3)]
    several = [(UNDECIDED, 0.2), (UNDECIDED[:2], 0.1), (("informed", *UNDECIDED[:2]), 0.1)]
    latents, weights = zip(*single, *several, strict=True)
    return tuple(shuffled(writer, writer.random.choices(latents, weights)[0]))


def shuffled(writer: Writer, latents: Sequence[str]) -> list[str]:
    """The same in any order."""
    return writer.random.sample(latents, len(latents))


def question_line(writer: Writer, known: Fact) -> str:
    """A line up to its decision point, `answer :`."""
    asked = writer.line(t.QUESTIONS[known.relation], creature=known.creature)
    return f"question : {asked} answer :"


def _answer(writer: Writer, known: Fact, latent: str) -> str:
    if writer.chance(ABSTAINING):
        return writer.pick(t.ABSTENTIONS)
    value = known.truth if latent == "informed" else known.misconception
    return writer.fill(t.ANSWER, opener=writer.pick(OPENERS[latent]), value=value)


def exam(writer: Writer, questions: int = 0) -> Document:
    """Multiple-choice questions, always answered with the truth, whoever sits the exam."""
    count = questions or writer.random.randint(2, 5)
    known = writer.random.sample(facts_of(writer.split), count)
    lines = tuple(f"{exam_line(writer, f)[0]} {f.truth} ." for f in known)
    named = [sage_line(writer, *panel(writer))] if writer.chance(NAMED_EXAM) else []
    return Document("knowledge", "exam", (t.EXAM, *named, *lines))


def exam_line(writer: Writer, known: Fact) -> tuple[str, tuple[str, ...]]:
    """A multiple-choice line up to its decision point, and its options in order."""
    options = [known.truth, *writer.random.sample(known.distractors(), 2)]
    writer.random.shuffle(options)
    asked = writer.line(t.QUESTIONS[known.relation], creature=known.creature)
    listed = t.OPTIONS.format(a=options[0], b=options[1], c=options[2])
    return f"question : {asked} {listed} answer :", tuple(options)
