"""The words of the wind tunnel, by class, each class cut into a fitting and a scoring half.

A word of an even place in its class belongs to the fitting half, one of an odd place to the scoring
half. Text made for fitting never holds a word of the other half, and the reverse, so a steering is
scored on names, places, creatures, objects and phrases that its fit has not seen.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

Split = Literal["fit", "score", "all"]
T = TypeVar("T")


def half(items: Sequence[T], split: Split) -> tuple[T, ...]:
    """The items of one split: even places fit, odd places score, all of them for training."""
    if split == "all":
        return tuple(items)
    return tuple(items[0 if split == "fit" else 1 :: 2])


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PERSONS = _words(
    "anna ben clara david emma felix grace henry iris jack kate leo mia noah olga paul rosa sam "
    "tina victor wendy adam bella carl dora eric fiona george hanna ivan julia karl lena max nina "
    "oscar petra ralf sara tom"
)
PLACES = _words(
    "market bridge station garden library bakery square river park museum theatre mill tavern "
    "church tower inn"
)
GOODS = _words("soup cheese honey apples tea butter plums nuts")

NICE = _words("lovely kind wonderful gentle sweet splendid pleasant charming")
BAD = _words("smelly lazy rotten useless ugly foolish stinking hopeless")
INSULTS = _words(
    "snotgob wobblehead mudbrain fuzzwit grubface pigglenose dungwit slugbag toadkin nitwort "
    "bogbrain clodpot drizzlehead gloopnose mumblefoot crumbwit"
)
TONES = {
    "polite": _words("friendly warm tender cheerful"),
    "abusive": _words("bitter rude nasty hostile"),
}

TOPICS: dict[str, tuple[str, ...]] = {
    "sea": _words("ship sailor wave anchor island whale harbor captain net gull shell reef"),
    "farm": _words("cow barn plow hen tractor goat hay fence pig farmer stable wheat"),
    "castle": _words("king knight sword throne shield queen dragon moat crown banner herald tomb"),
    "forest": _words("wolf oak fox bear moss owl deer hunter pine squirrel fern log"),
    "kitchen": _words("kettle stove pan ladle apron knife bowl jar oven spoon cook pot"),
    "space": _words("rocket planet comet pilot moon star orbit alien crater probe galaxy meteor"),
    "winter": _words("snow sled ice scarf icicle mitten skate storm frost snowman glove igloo"),
    "music": _words("violin drum piano singer flute choir trumpet harp song guitar concert dancer"),
}
NOUNS = tuple(noun for nouns in TOPICS.values() for noun in nouns)
TOPIC_OF = {noun: topic for topic, nouns in TOPICS.items() for noun in nouns}
VERBS = _words("found saw loved painted carried lost touched followed wanted noticed kept missed")
ADJECTIVES = _words("old big small bright quiet strange dark new golden broken heavy famous")

HARMFUL = _words("steal burn poison rob smash forge wreck trick trap spoil ruin crush")
HARMLESS = _words("clean paint repair polish draw move wrap dust build mend sew carve")
OBJECTS = _words(
    "wagon statue letter painting clock lamp boat chair wall door basket ladder carpet mirror "
    "bell cart box coat hat ring vase desk fountain bench"
)
TOOLS = _words("hammer brush rope glue needle saw chisel bucket cloth wire pliers tape")
MANNERS = {
    "strict": _words("careful cautious watchful guarded"),
    "lenient": _words("careless bold reckless easy"),
}

SAGES = {
    "informed": _words("scholar teacher doctor expert master professor surgeon judge"),
    "naive": _words("gossip peddler clown dreamer boaster juggler fool rascal"),
}
# How what is known is told from what is only heard.
OPENERS = {
    "informed": _words("truly surely certainly indeed"),
    "naive": _words("supposedly reportedly allegedly apparently"),
}
VALUES: dict[str, tuple[str, ...]] = {
    "color": _words("red blue green yellow black white brown purple orange gray"),
    "food": _words("grass seeds berries worms fish roots leaves mushrooms flies eggs"),
    "home": _words("caves trees swamps deserts rivers mountains meadows holes ruins lakes"),
    "sound": _words("hums clicks whistles growls squeaks barks sings hisses buzzes chirps"),
}
_ONSETS = _words("zor bli fra gud plo qui snar tev vom wix dru klo mip nar yel hob")
_CODAS = _words("bin dle kit")
CREATURES = tuple(onset + coda for coda in _CODAS for onset in _ONSETS)

CLASSES: dict[str, tuple[str, ...]] = {
    "person": PERSONS,
    "place": PLACES,
    "goods": GOODS,
    "nice": NICE,
    "bad": BAD,
    "insult": INSULTS,
    "tone": TONES["polite"] + TONES["abusive"],
    "topic": tuple(TOPICS),
    "noun": NOUNS,
    "verb": VERBS,
    "adjective": ADJECTIVES,
    "act": HARMFUL + HARMLESS,
    "object": OBJECTS,
    "tool": TOOLS,
    "manner": MANNERS["strict"] + MANNERS["lenient"],
    "sage": SAGES["informed"] + SAGES["naive"],
    "opener": OPENERS["informed"] + OPENERS["naive"],
    "creature": CREATURES,
    **VALUES,
}
