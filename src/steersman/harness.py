"""Any task of the language model evaluation harness, with a steering attached.

    python -m steersman.harness --model steersman \
        --model_args pretrained=MODEL,steering=DIR,target=1.0 --tasks TASK

has every option of the `lm_eval` command; in Python, `simple_evaluate(model=SteeredLM(...))`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.nn.utils.rnn import pad_sequence

from steersman.conditions import Condition
from steersman.engines import Tokens
from steersman.errors import InputError, MissingExtraError
from steersman.methods import ExecutionName, ReferenceName
from steersman.plant.forward import accepts
from steersman.request import RelinearizeName, Strength
from steersman.steering import Steering
from steersman.windtunnel import load as load_windtunnel

try:
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.api.registry import register_model
    from lm_eval.models.huggingface import HFLM
except ImportError as missing:
    raise MissingExtraError("lm_eval", "harness", "The evaluation harness") from missing

WINDTUNNEL = "windtunnel"
Scored = tuple[float, bool]
"""Log likelihood of a continuation, and whether it is what greedy decoding writes."""


class Question(NamedTuple):
    """A context with a continuation to be scored, as the harness asks for it."""

    text: Any
    context: list[int]
    continuation: list[int]


@register_model("steersman")
class SteeredLM(HFLM):
    """A causal language model under steering, as the harness sees it.

    A continuation is scored as if the model had written it: `tokens="last"` steers from the last
    token of the context on, and what is made for each prompt is made for the context alone. With
    strength 0, or without a steering, the harness sees the bare model.

    The harness can keep answers in a file by `use_cache`; it tells them apart by request and not by
    model, so give every steering and strength a file of its own.

    Args:
        pretrained: a name on the hub, a folder, a loaded model, or "windtunnel" for the model that
            comes with the package.
        steering: a fitted steering, or where one was saved; None leaves the model alone.
        target: strength in natural units, of several features by name; default 1.
        lambda_: strength as the paper has it instead.
        tokens: as in `Steering.attach`, and so are the others.
        reference: see there.
        execution: see there.
        relinearize: see there.
        correction: see there.
        cap: see there.
        device: where the model goes; None is a GPU where there is one.
        harness: what the harness's own model class takes: `batch_size`, `dtype`, `tokenizer`, ...

    Raises:
        InputError: a strength for each prompt, where batches are the harness's to choose, or
            choices that contradict each other.
        ArtifactError: the saved steering cannot be read.
        MismatchError: the steering was made for another model.
    """

    def __init__(
        self,
        pretrained: str | nn.Module,
        steering: str | Path | Steering | None = None,
        *,
        target: Strength | None = None,
        lambda_: Strength | None = None,
        tokens: Tokens | None = None,
        reference: ReferenceName | None = None,
        execution: ExecutionName | None = None,
        relinearize: RelinearizeName = "fit",
        correction: float = 0.0,
        cap: float | None = None,
        device: str | None = None,
        **harness: Any,
    ) -> None:
        """Load the model and the steering, and see that they fit."""
        if pretrained == WINDTUNNEL:
            pretrained, harness["tokenizer"] = load_windtunnel()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        super().__init__(pretrained=pretrained, device=device, **harness)
        if steering is not None and not isinstance(steering, Steering):
            steering = Steering.from_pretrained(steering)
        self._steering = steering
        self._condition = Condition(
            *(steering, target, lambda_, tokens, reference, execution, relinearize, correction, cap)
        )
        self._in_one_pass, self._token_by_token = True, False
        if steering is not None:
            self._condition.attach(self.model)
            self._decide(steering)

    def _decide(self, steering: Steering) -> None:
        """Whether a text may run at once, or its context has to be told from its continuation."""
        request = self._condition.request
        if request.count:
            raise InputError(
                f"there are {request.count} strengths, one a prompt, and the harness chooses its "
                "own batches: give one strength for all."
            )
        channel = steering.channel(request, self.model)
        self._token_by_token = channel.at_token is not None or channel.observer is not None
        decided = channel.at_prompt is not None or channel.condition is not None
        made_for_prompt = channel.rule.of_prompt or decided
        self._in_one_pass = not (made_for_prompt or self._token_by_token)

    def _model_call(self, *args: Any, **kwargs: Any) -> Tensor:
        with self._condition.attach(self.model):
            return super()._model_call(*args, **kwargs)  # type: ignore[no-any-return]

    def _model_generate(self, *args: Any, **kwargs: Any) -> Tensor:
        with self._condition.attach(self.model):
            return super()._model_generate(*args, **kwargs)  # type: ignore[no-any-return]

    def _loglikelihood_tokens(
        self, requests: Sequence[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Scored]:
        if self._in_one_pass:
            return super()._loglikelihood_tokens(  # type: ignore[no-any-return]
                requests, disable_tqdm=disable_tqdm, override_bs=override_bs
            )
        questions = [Question(*request) for request in requests]
        found: dict[int, Scored] = {}
        for rows in self._batches(questions, override_bs):
            for indices, logits in zip(rows, self._written(questions, rows), strict=True):
                for index in indices:
                    found[index] = self._scored(questions[index], logits)
        return [found[index] for index in range(len(questions))]

    def _batches(
        self, questions: Sequence[Question], given: int | None
    ) -> Iterator[list[list[int]]]:
        """Questions of one text together, the longest first, as many texts as go in a batch."""
        texts: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for index, (_, context, continuation) in enumerate(questions):
            texts.setdefault((tuple(context), tuple(continuation[:-1])), []).append(index)
        order = sorted(texts, key=lambda text: -len(text[0]) - len(text[1]))
        asked = given or self.batch_size
        size = self._detect_batch_size() if asked == "auto" else int(asked)
        for start in range(0, len(order), size):
            yield [texts[text] for text in order[start : start + size]]

    @torch.no_grad()
    def _written(self, questions: Sequence[Question], rows: list[list[int]]) -> list[Tensor]:
        """Logits for every token of each row's continuation, context first, as in writing."""
        contexts, answers = [], []
        for indices in rows:
            _, context, continuation = questions[indices[0]]
            if not 0 < len(continuation) <= self.max_length:
                raise InputError(
                    f"a continuation has {len(continuation)} tokens; this model can be asked for "
                    f"1 to {self.max_length}."
                )
            text = (context + continuation)[-(self.max_length + 1) :][:-1]
            split = len(text) - len(continuation) + 1
            contexts.append(torch.tensor(text[:split], device=self.device))
            answers.append(torch.tensor(text[split:], device=self.device, dtype=torch.long))
        precision = torch.autocast(
            device_type=self.device.type,
            dtype=self.mixed_precision_dtype,
            enabled=self.mixed_precision_dtype is not None,
        )
        with self._condition.attach(self.model), precision:
            logits = self._run(contexts, answers)
        return [row[: len(answer) + 1] for row, answer in zip(logits, answers, strict=True)]

    def _run(self, contexts: list[Tensor], answers: list[Tensor]) -> Tensor:
        """Contexts padded on the left in one pass, then continuations behind their cache."""
        pad = self.tokenizer.pad_token_id
        first = pad_sequence(contexts, True, pad, padding_side="left")
        then = pad_sequence(answers, True, pad)
        mask = torch.cat([_real(contexts, "left"), _real(answers, "right")], dim=1)
        places = (mask.cumsum(1) - 1).clamp_min(0)
        step = 1 if self._token_by_token else max(1, then.shape[1])
        ids, width = torch.cat([first, then], dim=1), first.shape[1]
        found, cache, start, end = [], None, 0, width
        while start < ids.shape[1]:
            arguments = {
                "input_ids": ids[:, start:end],
                "attention_mask": mask[:, :end],
                "position_ids": places[:, start:end],
                "past_key_values": cache,
                "use_cache": True,
            }
            if not accepts(self.model, "position_ids"):
                del arguments["position_ids"]
            out = self.model(**arguments)
            found.append(out.logits[:, -1:] if start == 0 else out.logits)
            cache, start, end = out.past_key_values, end, min(end + step, ids.shape[1])
        return torch.cat(found, dim=1)

    def _scored(self, question: Question, logits: Tensor) -> Scored:
        log_p = log_softmax(logits, dim=-1, dtype=self.softmax_dtype)
        wanted = torch.tensor(question.continuation, device=log_p.device)
        greedy = bool((log_p.argmax(-1) == wanted).all())
        answer = float(log_p.gather(-1, wanted[:, None]).sum()), greedy
        if question.text is not None:
            self.cache_hook.add_partial("loglikelihood", question.text, answer)
        return answer

    def get_model_info(self) -> dict[str, Any]:
        """What the harness writes down of the model, and of its steering."""
        info: dict[str, Any] = super().get_model_info()
        steering = self._steering
        if steering is None:
            return info
        made = {"summary": steering.summary(), **steering.provenance.to_json()}
        asked = {n: value for n, value in self._condition.asked().items() if value is not None}
        return {**info, "steering": made, "asked": asked}


def _real(rows: list[Tensor], padding_side: str) -> Tensor:
    """1 at each row's own tokens, 0 at its padding."""
    ones = [torch.ones_like(row) for row in rows]
    return pad_sequence(ones, batch_first=True, padding_side=padding_side)


if __name__ == "__main__":
    cli_evaluate()
