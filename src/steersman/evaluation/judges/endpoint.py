"""Any endpoint that speaks the OpenAI chat protocol as a judge."""

import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from steersman.errors import InputError, MissingExtraError
from steersman.evaluation.judges.base import Answer, Ask, Asking, Judgement, filled

_YES = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_NOT_NOW = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSED = frozenset({401, 403, 404})
_LONGEST = 60.0


@dataclass(frozen=True)
class Endpoint(Asking):
    """Whether a model behind an endpoint answers a question about the text by yes.

    What may pass (too many requests, an overloaded server, a lost connection, silence) is tried
    again, after waits that double. A reply without yes or no, and a server that stays busy, are
    failures of one sample. An endpoint that cannot be reached at all, a refused key and an unknown
    model are errors: the evaluation stops and can be taken up again.

    Args:
        ask: what is asked, and what the score is called.
        url: the address up to and without `/chat/completions`.
        model: what the endpoint calls the model.
        key_variable: the environment variable that holds the key; none is sent where it is not set.
        max_tokens: how long the reply may be.
        timeout: seconds to wait for a reply.
        retries: how often to try again.
        wait: seconds before the first of these.
        parallel: requests at a time.
    """

    ask: Ask
    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    max_tokens: int = 16
    timeout: float = 60.0
    retries: int = 5
    wait: float = 1.0
    parallel: int = 4
    needs_text: bool = True

    def prepare(self) -> None:
        """See that requests can be made.

        Raises:
            MissingExtraError: httpx is not installed.
        """
        _httpx()

    def judge(self, answers: Sequence[Answer]) -> list[Judgement]:
        """Ask about every answer, several at a time.

        Raises:
            InputError: the endpoint cannot be reached, or refuses every request alike.
        """
        httpx = _httpx()
        key = os.environ.get(self.key_variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with (
            httpx.Client(headers=headers, timeout=self.timeout) as client,
            ThreadPoolExecutor(self.parallel) as pool,
        ):
            return list(pool.map(lambda answer: self._one(httpx, client, answer), answers))

    def settings(self) -> dict[str, Any]:
        """Address, model and question; never the key."""
        return {
            "kind": "endpoint",
            "url": self.url,
            "model": self.model,
            "max_tokens": self.max_tokens,
            "ask": self.ask.settings(),
        }

    def _one(self, httpx: Any, client: Any, answer: Answer) -> Judgement:
        if not self.ask.applies(answer):
            return Judgement()
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": filled(self.ask.template, answer)}],
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        reason = ""
        for attempt in range(self.retries + 1):
            try:
                response = client.post(f"{self.url.rstrip('/')}/chat/completions", json=body)
            except httpx.TimeoutException:
                reason, asked = f"no reply within {self.timeout:g} s", None
            except httpx.TransportError as error:
                reason, asked = f"unreachable: {error}", None
            else:
                if response.status_code not in _NOT_NOW:
                    return self._read(response)
                reason = f"status {response.status_code}"
                asked = response.headers.get("retry-after")
            if attempt < self.retries:
                time.sleep(min(_LONGEST, _seconds(asked) or self.wait * 2**attempt))
        if reason.startswith("unreachable"):
            raise InputError(
                f"the judge at {self.url} is {reason}. Start it, or correct the address; what is "
                "judged already is kept."
            )
        return Judgement(failure=f"{reason}, {self.retries + 1} times")

    def _read(self, response: Any) -> Judgement:
        if response.status_code in _REFUSED:
            raise InputError(
                f"the judge at {self.url} answers {response.status_code} for the model "
                f"{self.model!r}: {response.text[:200].strip() or 'nothing more'}. Check the "
                f"address, the model's name and the key in {self.key_variable}."
            )
        if response.status_code != 200:
            return Judgement(failure=f"status {response.status_code}: {_short(response.text)}")
        try:
            said = response.json()["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            return Judgement(failure="the reply is no chat completion")
        found = {word.lower() for word in _YES.findall(said)} if isinstance(said, str) else set()
        if len(found) != 1:
            return Judgement(failure=f"the reply is neither yes nor no: {_short(said)}")
        return Judgement({self.ask.score: float(found == {"yes"})})


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as missing:
        raise MissingExtraError("httpx", "judge", "Asking an endpoint") from missing
    return httpx


def _seconds(asked: str | None) -> float | None:
    """What a server asks for by `Retry-After`, where it is a number."""
    try:
        return max(0.0, float(asked)) if asked is not None else None
    except ValueError:
        return None


def _short(said: object) -> str:
    text = " ".join(str(said).split())
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
