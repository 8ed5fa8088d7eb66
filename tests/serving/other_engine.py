"""An engine without a model: it writes the same words for ever, and can tell of no feature."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from steersman.serving.protocol import (
    Event,
    Finished,
    Generation,
    Load,
    Reason,
    SteeringInfo,
    Token,
)

WORDS = (
    "<b>bold</b>",
    "<script>document.title='hit'</script>",
    "<img src=x onerror=alert(1)>",
    "\n",
)
FEATURES = ("<b>sea</b>", "<img src=x onerror=alert(2)>")


class Words:
    """One answer."""

    def __init__(self, count: int, pause: float) -> None:
        self._count, self._pause = count, pause
        self._over = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Event]:
        for index in range(self._count):
            await asyncio.sleep(self._pause)
            if self._over.is_set():
                break
            yield Token(1 + index % len(WORDS))
        yield Finished("length")

    async def cancel(self, reason: Reason = "stop") -> Finished:
        self._over.set()
        return Finished(reason)

    def abandon(self) -> None:
        self._over.set()


class OtherEngine:
    """Writes `WORDS`, one each `pause` seconds, as many as it is asked for.

    Args:
        pause: seconds for a token.
        needs_all: whether its steerings hold their features at a value.
    """

    context, vocabulary, load = 10**6, 1 + len(WORDS), Load(0, 0)

    failure = None

    def __init__(self, pause: float = 0.0, needs_all: bool = False) -> None:
        self._pause, self._needs_all = pause, needs_all
        self.submitted: list[Generation] = []
        vocabulary = {word: index for index, word in enumerate(("?", *WORDS))}
        words = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")

    def submit(self, request: Generation) -> Words:
        self.submitted.append(request)
        return Words(request.sampling.max_tokens, self._pause)

    def add(self, name: str, folder: Path) -> SteeringInfo:
        features = FEATURES if name == "both" else ("feature",)
        return SteeringInfo(name, "<i>other</i>", features, self._needs_all, "</details><b>")

    def remove(self, name: str) -> None:
        pass

    def close(self) -> None:
        pass
