"""Identification averages Jacobians, whatever interrupts it, and says beforehand what it costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import BLOCKS, WIDTH
from tiny_models import tiny_model as fresh_model

from steersman.errors import (
    ArtifactError,
    AttachedError,
    InputError,
    MismatchError,
    NumericalError,
)
from steersman.plant.blocks import locate
from steersman.plant.estimate import Estimate, estimate
from steersman.plant.hooks import HookSet
from steersman.plant.identify import Identified, identify
from steersman.plant.jacobian import jacobians

PROMPTS = [
    "the cat sat on the mat",
    "the bird",
    "the dog said the cat ran under a tree",
    [{"role": "user", "content": "a happy dog"}],
    "the house is red and warm",
]


def quietly(model: Any, tokenizer: Any, prompts: Any = PROMPTS, **settings: Any) -> Identified:
    return identify(model, tokenizer, prompts, progress=False, **settings)


@contextmanager
def interrupted(model: Any, after: int) -> Iterator[list[int]]:
    """Raise in the middle of everything, once a block has run so many times; count its runs."""
    runs = [0]

    def count(args: Any, kwargs: Any) -> None:
        runs[0] += 1
        if runs[0] > after:
            raise KeyboardInterrupt

    with HookSet() as hooks:
        hooks.before(locate(model).modules[1], count)
        yield runs


def test_the_mean_is_that_of_the_prompts_one_by_one(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model = tiny_model("gemma2")
    found = quietly(model, tiny_tokenizer)
    rendered = [*PROMPTS]
    rendered[3] = "<s> <turn> user : a happy dog <end> <turn> assistant :"
    alone = [
        jacobians(
            model, torch.tensor([tiny_tokenizer(t, add_special_tokens=t[0] != "<")["input_ids"]])
        )
        for t in rendered
    ]
    torch.testing.assert_close(found.A, torch.stack(alone).mean(0), rtol=1e-5, atol=1e-5)
    assert found.A.shape == (BLOCKS, WIDTH, WIDTH)
    assert (found.A.dtype, found.prompts) == (torch.float32, len(PROMPTS))
    assert found.seconds > 0


def test_a_pad_token_and_the_padding_side_do_not_matter(
    tiny_model: Any, tiny_tokenizer: Any, tiny_tokenizer_without_pad: Any
) -> None:
    model = tiny_model("llama")
    expected = quietly(model, tiny_tokenizer).A
    assert torch.equal(quietly(model, tiny_tokenizer_without_pad).A, expected)


RUNS_IN_ALL = 2 * len(PROMPTS)
"""Of one block: over the prefix, and at the last token, where it is differentiated."""


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8, 9])
def test_an_interrupted_identification_goes_on_to_the_same_average(
    after: int,
    tmp_path: Path,
    tiny_model: Any,
    tiny_tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("steersman.plant.checkpoint._SHARE", float("inf"))  # after every block
    model, file = tiny_model("llama"), tmp_path / "deep" / "plant.safetensors"
    expected = quietly(model, tiny_tokenizer).A
    for budget in (after, 1):
        with interrupted(model, budget), pytest.raises(KeyboardInterrupt):
            quietly(model, tiny_tokenizer, checkpoint=file)
    with interrupted(model, RUNS_IN_ALL) as runs:
        found = quietly(model, tiny_tokenizer, checkpoint=file).A
    assert torch.equal(found, expected)
    assert runs[0] < RUNS_IN_ALL or after < 2
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_finished_identification_is_only_read(
    tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    model, file = tiny_model("llama"), tmp_path / "plant.safetensors"
    first = quietly(model, tiny_tokenizer, checkpoint=file)
    with interrupted(model, 0):
        again = quietly(model, tiny_tokenizer, checkpoint=file)
    assert torch.equal(again.A, first.A)
    assert again.seconds == first.seconds


def test_a_checkpoint_of_other_prompts_is_refused(
    tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    model, file = tiny_model("llama"), tmp_path / "plant.safetensors"
    quietly(model, tiny_tokenizer, checkpoint=file)
    with pytest.raises(MismatchError, match="not the same prompts.*name another file"):
        quietly(model, tiny_tokenizer, PROMPTS[:2], checkpoint=file)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"rope_theta": 5.0}])
def test_a_checkpoint_of_another_model_is_refused(
    changes: Any, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    file = tmp_path / "plant.safetensors"
    quietly(fresh_model("llama"), tiny_tokenizer, PROMPTS[:1], checkpoint=file)
    with pytest.raises(MismatchError, match="not the same model"):
        quietly(fresh_model("llama", **changes), tiny_tokenizer, PROMPTS[:1], checkpoint=file)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all, but long enough to be one"])
def test_a_file_that_is_no_checkpoint_is_refused(
    content: bytes, tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    file = tmp_path / "plant.safetensors"
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="no readable checkpoint.*delete it"):
        quietly(tiny_model("llama"), tiny_tokenizer, checkpoint=file)
    assert file.read_bytes() == content


def test_other_safetensors_are_refused(
    tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"A": torch.zeros(2)}, file)
    with pytest.raises(ArtifactError, match="not a checkpoint of an identification"):
        quietly(tiny_model("llama"), tiny_tokenizer, checkpoint=file)


def test_no_prompts_and_too_long_ones_are_refused(tiny_model: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match="no prompt"):
        quietly(tiny_model("llama"), tiny_tokenizer, [])
    with pytest.raises(InputError, match="example 1 .* 7 tokens and the limit is 5"):
        quietly(tiny_model("llama"), tiny_tokenizer, ["the", PROMPTS[0]], max_length=5)


def test_a_prompt_with_an_infinite_jacobian_is_named(tiny_tokenizer: Any) -> None:
    model = fresh_model("llama")
    bird = tiny_tokenizer.convert_tokens_to_ids("bird")
    model.model.embed_tokens.weight.data[bird, 0] = torch.nan
    with pytest.raises(NumericalError, match=r"prompt 1 \('the bird'\): .*block 0"):
        quietly(model, tiny_tokenizer)


def test_what_was_finished_before_an_error_is_kept(tmp_path: Path, tiny_tokenizer: Any) -> None:
    model, file = fresh_model("llama"), tmp_path / "plant.safetensors"
    happy = tiny_tokenizer.convert_tokens_to_ids("happy")
    model.model.embed_tokens.weight.data[happy, 1] = torch.nan
    with pytest.raises(NumericalError, match="prompt 3"):
        quietly(model, tiny_tokenizer, checkpoint=file)
    model.model.embed_tokens.weight.data[happy, 1] = 0.0
    with interrupted(model, 4) as runs:  # two prompts are left
        found = quietly(model, tiny_tokenizer, checkpoint=file)
    assert runs[0] == 4
    assert torch.equal(found.A, quietly(model, tiny_tokenizer).A)


def test_an_error_before_anything_is_finished_leaves_no_file(
    tmp_path: Path, tiny_tokenizer: Any
) -> None:
    model = fresh_model("llama")
    model.model.layers[0].mlp.down_proj.weight.data[0] = torch.nan
    with pytest.raises(NumericalError, match="block 0"):
        quietly(model, tiny_tokenizer, checkpoint=tmp_path / "plant.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_steered_model_is_refused(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    with HookSet(owner="a steering") as hooks:
        hooks.after(locate(model).modules[0], lambda args, kwargs, output: None)
        with pytest.raises(AttachedError):
            quietly(model, tiny_tokenizer)


def test_progress_is_shown_where_it_is_asked_for(
    tiny_model: Any, tiny_tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    identify(tiny_model("llama"), tiny_tokenizer, PROMPTS[:2], progress=True)
    shown = capsys.readouterr()
    assert "identify" in shown.err and f"{2 * BLOCKS}/{2 * BLOCKS}" in shown.err
    assert not shown.out


def test_an_estimate_is_of_the_right_size(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model, prompts = tiny_model("llama"), PROMPTS * 10
    cost = estimate(model, tiny_tokenizer, prompts, chunk=4)
    spent = quietly(model, tiny_tokenizer, prompts, chunk=4).seconds
    assert spent / 20 < cost.seconds < 20 * spent
    assert cost.peak_bytes > BLOCKS * WIDTH * WIDTH * 4
    assert (cost.prompts, cost.blocks, cost.n) == (50, BLOCKS, WIDTH)


def test_an_estimate_counts_what_a_larger_chunk_keeps(tiny_model: Any, tiny_tokenizer: Any) -> None:
    few = estimate(tiny_model("llama"), tiny_tokenizer, PROMPTS, chunk=1)
    many = estimate(tiny_model("llama"), tiny_tokenizer, PROMPTS, chunk=WIDTH)
    assert many.peak_bytes > 2 * few.peak_bytes - (BLOCKS + 2) * WIDTH * WIDTH * 4


@pytest.mark.parametrize(
    ("seconds", "count", "text"),
    [
        (0.2, 900, "about 1 s, 900 B"),
        (100.0, 3 * 2**20, "about 100 s, 3 MiB"),
        (660.0, 5 * 2**29, "about 11 min, 2.5 GiB"),
        (9000.0, 2**42, "about 2 h, 4096.0 GiB"),
    ],
)
def test_an_estimate_reads_in_one_line(seconds: float, count: int, text: str) -> None:
    line = str(Estimate(seconds, count, prompts=32, blocks=28, n=2048))
    assert line == f"32 prompts x 28 blocks of n = 2048: {text} of memory"
    shared = str(Estimate(seconds, count, prompts=32, blocks=28, n=2048, processes=4))
    assert shared == f"{line} in each of 4 processes"
