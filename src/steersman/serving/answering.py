"""Answers in OpenAI's form, whole or as a stream of server-sent events."""

import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from steersman.serving.asking import Job
from steersman.serving.errors import FailedError, RequestError
from steersman.serving.openai_schema import (
    ChatChoice,
    ChatCompletion,
    Completion,
    Said,
    TextChoice,
    Usage,
)
from steersman.serving.writing import Piece, Pieces, whole

_log = logging.getLogger(__name__)
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Form:
    """How the answer to one request is written.

    Args:
        model: as the request names it.
        chat: whether it is a conversation.
        usage: whether a stream ends with the counts of tokens.
        id: of the answer.
        created: when, in seconds since 1970.
    """

    model: str
    chat: bool
    usage: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, job: Job, pieces: list[Piece]) -> ChatCompletion | Completion:
        """All of it at once."""
        ended = whole(pieces, len(job.generations))
        head: dict[str, Any] = {
            "id": self._id,
            "created": self.created,
            "model": self.model,
            "usage": _usage(job, ended),
        }
        if self.chat:
            return ChatCompletion(choices=[_chat_choice(one) for one in ended], **head)
        return Completion(choices=[_text_choice(one) for one in ended], **head)

    async def events(self, job: Job, pieces: Pieces, first: Piece) -> AsyncIterator[bytes]:
        """Piece by piece; an error on the way is the last event.

        Args:
            job: what was asked.
            pieces: what comes.
            first: what has come already.
        """
        ended: list[Piece] = []
        try:
            for role in self._roles(len(job.generations)):
                yield role
            yield self._event(first)
            ended += [first] if first.reason is not None else []
            async for piece in pieces:
                yield self._event(piece)
                ended += [piece] if piece.reason is not None else []
        except RequestError as error:
            yield _data(error.body)
            return
        except Exception:
            _log.exception("a stream broke")
            yield _data(FailedError("the answer broke off; the server's log says why.").body)
            return
        if self.usage:
            yield _data(self._chunk([]) | {"usage": _usage(job, ended).model_dump()})
        yield DONE

    @property
    def _id(self) -> str:
        return f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}"

    def _roles(self, choices: int) -> list[bytes]:
        """A conversation's choices begin by saying who speaks."""
        if not self.chat:
            return []
        return [
            _data(self._chunk([_delta(index, {"role": "assistant", "content": ""})]))
            for index in range(choices)
        ]

    def _event(self, piece: Piece) -> bytes:
        if self.chat:
            choice = _delta(piece.index, {"content": piece.text} if piece.text else {})
        else:
            choice = {"index": piece.index, "text": piece.text, "logprobs": None}
        choice["finish_reason"] = piece.reason
        if piece.report is not None:
            choice["steering_report"] = piece.report
        if piece.readings:
            choice["steering_tokens"] = piece.readings
        return _data(self._chunk([choice]))

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk" if self.chat else "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def _delta(index: int, delta: dict[str, str]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _data(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, allow_nan=False)}\n\n".encode()


def _usage(job: Job, ended: list[Piece]) -> Usage:
    written = sum(piece.tokens for piece in ended)
    return Usage(
        prompt_tokens=job.prompt_tokens,
        completion_tokens=written,
        total_tokens=job.prompt_tokens + written,
    )


def _chat_choice(piece: Piece) -> ChatChoice:
    return ChatChoice(message=Said(content=piece.text), **_common(piece))


def _text_choice(piece: Piece) -> TextChoice:
    return TextChoice(text=piece.text, **_common(piece))


def _common(piece: Piece) -> dict[str, Any]:
    return {
        "index": piece.index,
        "finish_reason": piece.reason or "stop",
        "steering_report": piece.report,
        "steering_tokens": piece.readings or None,
    }
