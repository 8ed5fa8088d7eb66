"""The training corpus: an endless stream of documents drawn from one seed."""

import random
from collections.abc import Iterator

from steersman.windtunnel.documents import (
    Document,
    Writer,
    chat,
    dialogue,
    exam,
    interview,
    panel,
    story,
)
from steersman.windtunnel.lexicon import TOPICS

MIXTURE = {
    "toxicity": 0.17,
    "concepts": 0.20,
    "refusal": 0.15,
    "truthfulness": 0.33,
    "knowledge": 0.15,
}


def corpus(seed: int) -> Iterator[Document]:
    """Documents of all families in the proportions of `MIXTURE`, without end."""
    writer = Writer(random.Random(seed))
    families, weights = list(MIXTURE), list(MIXTURE.values())
    while True:
        yield draw(writer, writer.random.choices(families, weights)[0])


def draw(writer: Writer, family: str) -> Document:
    """One document of a family; latents are drawn evenly."""
    if family == "toxicity":
        return dialogue(writer, writer.random.choice(("polite", "abusive")))
    if family == "concepts":
        count = writer.random.choices((1, 2, 3), (4, 3, 3))[0]
        return story(writer, writer.random.sample(list(TOPICS), count))
    if family == "refusal":
        return chat(writer, writer.random.choice(("strict", "lenient")))
    if family == "truthfulness":
        speakers = panel(writer)
        return interview(writer, writer.random.choice(speakers), speakers)
    return exam(writer)
