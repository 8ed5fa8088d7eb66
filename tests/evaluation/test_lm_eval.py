"""The likelihoods are those of lm-evaluation-harness, where that is installed."""

from collections.abc import Callable

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from steersman.evaluation.likelihood import likelihoods

pytest.importorskip("lm_eval")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PAIRS = [
    ("the cat", " sat"),
    ("the cat", " ran"),
    ("one bird ", "ran under the big red tree"),
    ("the dog ran under the big red tree " * 12, " and sat on the mat"),
]


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_they_are_the_same_to_rounding(
    architecture: str,
    tiny_model: Callable[[str], PreTrainedModel],
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = tiny_model(architecture)
    found = likelihoods(model, tiny_tokenizer, PAIRS).found
    other = HFLM(pretrained=model, tokenizer=tiny_tokenizer, batch_size=2)
    asked = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index)
        for index, pair in enumerate(PAIRS)
    ]
    theirs = other.loglikelihood(asked, disable_tqdm=True)
    for ours, (total, _) in zip(found, theirs, strict=True):
        assert ours.total == pytest.approx(total, rel=1e-5, abs=1e-5)
