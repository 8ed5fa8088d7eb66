"""The transformers engine: one thread owns the model, and writes all answers in one batch.

Between two tokens, answers that are finished or given up leave the batch and waiting ones join it,
each with its own steerings, strengths, sampling and generator.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from steersman.engines import joinable
from steersman.errors import SteersmanError
from steersman.plant import locate, pad_id, require_evaluation
from steersman.provenance import vocabulary_size
from steersman.sampling import end_ids
from steersman.serving.batching import Batch, Logits, Plant
from steersman.serving.choosing import choose
from steersman.serving.errors import (
    BusyError,
    FailedError,
    NotThereError,
    RequestError,
    StoppingError,
)
from steersman.serving.limits import Limits
from steersman.serving.protocol import Generation, Load, SteeringInfo, Token
from steersman.serving.queueing import Queue
from steersman.serving.readings import Readings
from steersman.serving.row import Row, RowAnswer, Served
from steersman.steering import Steering

_log = logging.getLogger(__name__)
LONGEST = 8192
"""Tokens of prompt and answer where the model does not say how many it takes."""


class TransformersEngine:
    """Runs a loaded model of transformers.

    Args:
        model: the loaded model, in evaluation mode; nobody else runs it meanwhile.
        tokenizer: its tokenizer.
        limits: how many answers run and wait.

    Raises:
        InputError: the model is in training mode.
        ArchitectureError: its decoder blocks are not found.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, limits: Limits | None = None) -> None:
        """Start the thread."""
        require_evaluation(model)
        limits = limits or Limits()
        blocks = locate(model)
        self._plant = Plant(model, blocks, pad_id(tokenizer))
        self._tokenizer = tokenizer
        self._context = blocks.context or LONGEST
        self._ends = frozenset(end_ids(model, tokenizer))
        # What a recurrent state holds of a row cannot be put beside another's.
        self._most = limits.running if joinable(model) else 1
        self._served: dict[str, Served] = {}
        self._waiting: Queue[Row] = Queue(limits.waiting)
        self._running = 0
        self._batch: Batch | None = None
        self._stopping = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="steersman-engine", daemon=True)
        self._thread.start()

    @property
    def tokenizer(self) -> Any:
        """The model's."""
        return self._tokenizer

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._context

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""
        size = vocabulary_size(getattr(self._plant.model, "config", None))
        return size or len(self._tokenizer)

    @property
    def load(self) -> Load:
        """How busy it is now."""
        return Load(self._running, len(self._waiting))

    @property
    def failure(self) -> str | None:
        """None: an error ends the answers that it strikes, and never the engine."""
        return None

    def add(self, name: str, folder: Path) -> SteeringInfo:
        """Load a saved steering.

        Raises:
            ArtifactError: it cannot be read.
            MismatchError: it was made for another model.
        """
        steering = Steering.from_pretrained(folder)
        steering.require_model(self._plant.model, self._plant.blocks)
        self._served = {**self._served, name: Served(name, steering)}
        return _info(name, steering)

    def remove(self, name: str) -> None:
        """Forget a steering."""
        self._served = {key: one for key, one in self._served.items() if key != name}

    def submit(self, request: Generation) -> RowAnswer:
        """Begin an answer, or let it wait.

        Raises:
            BusyError: as many wait as may.
            StoppingError: the engine is closing.
            NotThereError: no such steering is loaded.
        """
        served = self._served
        missing = [name for name in request.steering if name not in served]
        if missing:
            raise NotThereError(
                f"there is no steering {missing[0]!r}.", "steering", "steering_not_found"
            )
        steerings = {served[name]: each for name, each in request.steering.items()}
        row = Row(request, steerings, RowAnswer())
        with self._change:
            if self._stopping:
                raise StoppingError("the server is shutting down.")
            if self._waiting.full(row.client):
                raise BusyError(f"{len(self._waiting)} answers wait already; come again later.")
            self._waiting.put(row)
            self._change.notify()
        return row.answer

    def close(self) -> None:
        """Stop, and wait for the thread; answers that are not finished end with an error."""
        with self._change:
            self._stopping = True
            self._change.notify()
        self._thread.join()

    def _work(self) -> None:
        """The thread: a token for every row, again and again."""
        while True:
            with self._change:
                while not (self._stopping or self._waiting or self._batch):
                    self._change.wait()
                if self._stopping:
                    break
            try:
                self._turn()
            except Exception as error:
                _log.exception("a batch was lost")
                self._lose(error)
        self._lose(StoppingError("the server is shutting down."))

    def _turn(self) -> None:
        """Let rows go, let rows in, and write a token of each."""
        self._batch = self._without_stopped(self._batch)
        new = self._admitted()
        if new:
            self._begin(new)
        elif self._batch is not None:
            self._batch = self._continued(self._batch, self._batch.step())
        self._running = len(self._batch.rows) if self._batch else 0

    def _admitted(self) -> list[Row]:
        """The rows that may join now."""
        with self._change:
            for row in [row for row in self._waiting if row.answer.stopped]:
                self._waiting.drop(row)
                row.finish(row.answer.reason)
            running = len(self._batch.rows) if self._batch else 0
            new = min(self._most - running, len(self._waiting))
            self._running = running + new
            return [self._waiting.take() for _ in range(new)]

    def _begin(self, rows: Sequence[Row]) -> None:
        """Run prompts and let the rows join; where that fails, find out which was at fault."""
        if self._batch is not None:
            self._batch.close()
        batch = Batch(self._plant, rows)
        try:
            logits = batch.begin()
        except Exception as error:
            batch.drop()
            if len(rows) == 1:
                self._fail(rows, error)
                return
            for row in rows:
                self._begin([row])
            return
        try:
            begun = self._continued(batch, logits)
            if begun is not None:
                self._batch = begun if self._batch is None else self._batch.joined(begun)
        except Exception as error:
            batch.drop()
            self._fail(rows, error)
            raise

    def _continued(self, batch: Batch, logits: Logits) -> Batch | None:
        """Give every row its next token; those that go on."""
        samplings = [row.request.sampling for row in batch.rows]
        tokens = choose(logits, samplings, [row.generator for row in batch.rows])
        chosen = list(zip(batch.rows, tokens, batch.readings(), strict=True))
        over = [row for row, token, read in chosen if not self._goes_on(row, token, read)]
        left = self._left(batch, over)
        for row, token, _ in chosen:
            if row in over:
                self._end(row, token)
        return left

    def _goes_on(self, row: Row, token: int | None, read: Readings | None) -> bool:
        """Whether the answer goes on behind this token, which is handed out."""
        if token is None or token in self._ends:
            return False
        row.written += 1
        row.last = token
        row.answer.put(Token(token, read))
        return row.written < row.request.sampling.max_tokens

    def _end(self, row: Row, token: int | None) -> None:
        if token is None:
            row.answer.put(
                FailedError(
                    "the model's logits are not finite under these strengths: steer less.",
                    code="not_finite",
                )
            )
        else:
            row.finish("stop" if token in self._ends else "length")

    def _left(self, batch: Batch, over: Sequence[Row]) -> Batch | None:
        """The batch without some rows; None where none is left."""
        kept = [index for index, row in enumerate(batch.rows) if row not in over]
        if len(kept) == len(batch.rows):
            return batch
        if not kept:
            batch.close()
            return None
        return batch.kept(kept)

    def _without_stopped(self, batch: Batch | None) -> Batch | None:
        if batch is None:
            return None
        over = [row for row in batch.rows if row.answer.stopped]
        left = self._left(batch, over)
        for row in over:
            row.finish(row.answer.reason)
        return left

    def _lose(self, error: Exception) -> None:
        """Every row of the batch ends in an error; when stopping, those that wait too."""
        batch, self._batch, self._running = self._batch, None, 0
        if batch is not None:
            batch.drop()
            self._fail(batch.rows, error)
        if self._stopping:
            self._fail([self._waiting.take() for _ in range(len(self._waiting))], error)

    def _fail(self, rows: Iterable[Row], error: Exception) -> None:
        for row in rows:
            row.answer.put(_told(error))


def _told(error: Exception) -> RequestError:
    """What a client may know of an error: what was meant to be read, and nothing else."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, SteersmanError):
        return RequestError(str(error))
    _log.error("an answer failed", exc_info=error)
    return FailedError("the model failed on this request; the server's log says why.")


def _info(name: str, steering: Steering) -> SteeringInfo:
    return SteeringInfo(
        name=name,
        method=steering.method.name,
        features=steering.features.names,
        needs_all=steering.method.reference == "absolute",
        summary=steering.summary(),
        in_units=steering.method.in_units,
    )
