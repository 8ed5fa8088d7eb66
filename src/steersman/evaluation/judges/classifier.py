"""Any sequence classifier of transformers as a judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from steersman.errors import InputError, UnknownNameError
from steersman.evaluation.judges.base import Answer, Ask, Asking, Judgement
from steersman.plant import pad_id

_SHARE = 0.5


@dataclass(frozen=True)
class Classifier(Asking):
    """The probability of a label, and whether it is at least a half.

    The text is the continuation alone. Labels are exclusive (softmax) unless the model says that it
    is for several at once, or has only one (sigmoid).

    Args:
        ask: what the score is called; the share of texts with at least a half is called "SCORE, at
            least 0.5".
        model: a name on the Hugging Face hub or a folder.
        label: which of its labels is meant.
        batch_size: texts at a time.
        device: where it runs.
    """

    ask: Ask
    model: str
    label: str
    batch_size: int = 16
    device: str = "cpu"
    needs_text: bool = True

    @property
    def scores(self) -> tuple[str, ...]:
        """The probability, and whether it is at least a half."""
        return (self.ask.score, f"{self.ask.score}, at least 0.5")

    def prepare(self) -> None:
        """Load the model and find the label.

        Raises:
            InputError: the model cannot be loaded as a classifier.
            UnknownNameError: it has no such label.
        """
        _ = self._column

    def judge(self, answers: Sequence[Answer]) -> list[Judgement]:
        """Probabilities, in batches."""
        column = self._column
        found = []
        for start in range(0, len(answers), self.batch_size):
            some = answers[start : start + self.batch_size]
            for answer, row in zip(some, self._probabilities([a.text for a in some]), strict=True):
                share = float(row[column])
                values = (share, float(share >= _SHARE))
                scored = dict(zip(self.scores, values, strict=True))
                found.append(Judgement(scored if self.ask.applies(answer) else {}))
        return found

    def settings(self) -> dict[str, Any]:
        """Model and label."""
        return {
            "kind": "classifier",
            "model": self.model,
            "label": self.label,
            "ask": self.ask.settings(),
        }

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model)
            model = AutoModelForSequenceClassification.from_pretrained(self.model)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise InputError(
                f"the judge {self.model!r} cannot be loaded as a classifier: {error}. Give the "
                "name of a sequence classifier on the Hugging Face hub, or a folder that holds one."
            ) from error
        model.train(False)
        if model.config.pad_token_id is None:
            model.config.pad_token_id = pad_id(tokenizer)
        return model.to(self.device), tokenizer

    @cached_property
    def _column(self) -> int:
        labels = self._loaded[0].config.id2label
        for index, name in labels.items():
            if str(name).lower() == self.label.lower():
                return int(index)
        raise UnknownNameError(
            f"the judge {self.model!r} has no label {self.label!r}; its labels are "
            f"{', '.join(map(str, labels.values()))}."
        )

    @torch.no_grad()
    def _probabilities(self, texts: list[str]) -> Float[Tensor, "texts labels"]:
        model, tokenizer = self._loaded
        limit = getattr(model.config, "max_position_embeddings", None)
        # RoBERTa keeps two positions for itself; the tokenizer of a saved model may know no limit.
        known = [n for n in (tokenizer.model_max_length, (limit or 514) - 2) if n > 0]
        given = [tokenizer(t, truncation=True, max_length=min(known))["input_ids"] for t in texts]
        longest = max(map(len, given))
        fill = pad_id(tokenizer)
        ids = torch.tensor([one + [fill] * (longest - len(one)) for one in given])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in given])
        logits: Tensor = model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
        ).logits.float()
        several = model.config.problem_type == "multi_label_classification"
        if several or logits.shape[1] == 1:
            return logits.sigmoid().cpu()
        return logits.softmax(-1).cpu()
