"""Fits along other directions than the mean, and fits that find their states on disk."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.directions import MeanDifference, Purified, contrast, observer_named
from steersman.errors import UnknownNameError
from steersman.plant import capture_states
from steersman.reading_directions import read_direction

Models = Callable[[str], PreTrainedModel]


@pytest.fixture(autouse=True)
def _no_doubts() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextmanager
def passes(model: PreTrainedModel) -> Iterator[list[int]]:
    seen: list[int] = []
    handle = model.register_forward_pre_hook(lambda *_: seen.append(1))
    try:
        yield seen
    finally:
        handle.remove()


@pytest.fixture
def model(tiny_model: Models) -> PreTrainedModel:
    return tiny_model("llama")


@pytest.fixture
def pairs(tiny_tokenizer: PreTrainedTokenizerFast) -> sm.ContrastivePairs:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 10)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 10)],
    )


def sides(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, pairs: sm.ContrastivePairs):
    return [capture_states(model, tokenizer, list(s)) for s in (pairs.desired, pairs.undesired)]


def test_activation_addition_adds_the_direction_at_the_length_of_the_means_on_it(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast, pairs: sm.ContrastivePairs
) -> None:
    method = sm.ActivationAddition(block=1)
    made = sm.fit(model, tiny_tokenizer, pairs, method=method, direction="pca", progress=False)
    d, u = (side[:, 2].double() for side in sides(model, tiny_tokenizer, pairs))
    v = torch.linalg.svd(d - u, full_matrices=False).Vh[0]
    expected = v * (v @ (d - u).mean(0))
    torch.testing.assert_close(made.plan[1].double(), expected, rtol=1e-4, atol=1e-6)
    assert made.provenance.direction == made.provenance.observer == "pca"


@pytest.mark.parametrize("method", ["a-lqr", "feature-lqr", "s-pid", "clamp", "actadd-lfs"])
def test_laws_that_observe_the_feature_observe_it_along_the_direction(
    method: str,
    model: PreTrainedModel,
    tiny_tokenizer: PreTrainedTokenizerFast,
    pairs: sm.ContrastivePairs,
) -> None:
    made = sm.fit(model, tiny_tokenizer, pairs, method=method, direction="lda", progress=False)
    expected = contrast(*sides(model, tiny_tokenizer, pairs), direction=observer_named("lda"))
    for name, tensor in vars(made.direction).items():
        torch.testing.assert_close(tensor, getattr(expected, name), rtol=1e-4, atol=1e-5)


def test_it_is_remembered_saved_and_told_on_the_card(
    model: PreTrainedModel,
    tiny_tokenizer: PreTrainedTokenizerFast,
    pairs: sm.ContrastivePairs,
    tmp_path: Path,
) -> None:
    how = {"direction": "pca|filter:4", "observer": "whitened:0.5"}
    made = sm.fit(model, tiny_tokenizer, pairs, method="s-pid", progress=False, **how)  # type: ignore[arg-type]
    folder = made.save_pretrained(tmp_path / "steering")
    loaded = sm.Steering.from_pretrained(folder)
    assert loaded.provenance == made.provenance
    assert loaded.provenance.direction == "pca|filter:4"
    assert torch.equal(loaded.contrast, made.contrast)
    card = (Path(folder) / "README.md").read_text()
    assert "pushed along `pca\\|filter:4`, observed by `whitened:0.5`" in card


def test_the_default_card_says_nothing_of_directions(
    model: PreTrainedModel,
    tiny_tokenizer: PreTrainedTokenizerFast,
    pairs: sm.ContrastivePairs,
    tmp_path: Path,
) -> None:
    made = sm.fit(model, tiny_tokenizer, pairs, method="clamp", progress=False)
    card = (Path(made.save_pretrained(tmp_path / "steering")) / "README.md").read_text()
    assert made.provenance.direction == made.provenance.observer == "mean"
    assert "pushed along" not in card and "observed by" not in card


def test_a_steering_purified_from_another_leaves_its_feature_alone(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast, pairs: sm.ContrastivePairs
) -> None:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    other = sm.ContrastivePairs(
        [f"{words[i]} {words[0]}" for i in range(5, 13)],
        [f"{words[-i]} {words[1]} {words[0]}" for i in range(5, 13)],
    )
    quiet = {"progress": False, "method": "activation-addition"}
    theirs = sm.fit(model, tiny_tokenizer, other, **quiet).direction  # type: ignore[arg-type]
    rule = Purified(MeanDifference(), (theirs,))
    mine = sm.fit(model, tiny_tokenizer, pairs, direction=rule, **quiet)  # type: ignore[arg-type]
    overlap = (mine.direction.contrast * theirs.vectors).sum(1)
    assert float(overlap.abs().max()) < 1e-5 * float(mine.direction.norm.max())
    plain = sm.fit(model, tiny_tokenizer, pairs, **quiet).direction  # type: ignore[arg-type]
    assert float((plain.contrast * theirs.vectors).sum(1).abs().max()) > 1e-2


def test_an_unknown_direction_is_refused(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast, pairs: sm.ContrastivePairs
) -> None:
    with pytest.raises(UnknownNameError, match="no rule 'luck'"):
        sm.fit(model, tiny_tokenizer, pairs, direction="luck")


STATES_ONLY = ("activation-addition", "clamp", "s-pid", "actadd-lfs", "angular")


def test_with_a_cache_the_second_fit_by_another_method_runs_nothing_at_all(
    model: PreTrainedModel,
    tiny_tokenizer: PreTrainedTokenizerFast,
    pairs: sm.ContrastivePairs,
    tmp_path: Path,
) -> None:
    how = {"progress": False, "batch_size": 8, "cache": tmp_path}
    with passes(model) as seen:
        sm.fit(model, tiny_tokenizer, pairs, method=STATES_ONLY[0], **how)  # type: ignore[arg-type]
    assert len(seen) == 2  # one batch of each side: one pass over the pairs
    for method in STATES_ONLY:
        for direction in ("mean", "pca", "lda|filter:4"):
            with passes(model) as seen:
                found = sm.fit(
                    *(model, tiny_tokenizer, pairs),
                    method=method,
                    direction=direction,
                    **how,  # type: ignore[arg-type]
                )
            assert not seen, (method, direction)
        plain = sm.fit(
            *(model, tiny_tokenizer, pairs),
            method=method,
            direction="lda|filter:4",
            progress=False,
        )
        torch.testing.assert_close(found.plan, plain.plan, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.contrast, plain.contrast, rtol=1e-4, atol=1e-6)


def test_aligned_pairs_are_captured_once_for_methods_of_both_kinds(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.AlignedPairs.of(
        desired=[words[2], words[3]],
        undesired=[words[-2], words[-3]],
        continuations=[f"{words[i]} {words[i + 1]}" for i in range(4, 12)],
        combine="product",
    )
    how = {"progress": False, "cache": tmp_path}
    sm.fit(model, tiny_tokenizer, pairs, method="counterfactual", **how)  # type: ignore[arg-type]
    with passes(model) as seen:
        sm.fit(model, tiny_tokenizer, pairs, method="counterfactual", **how)  # type: ignore[arg-type]
        sm.fit(model, tiny_tokenizer, pairs, method="clamp", **how)  # type: ignore[arg-type]
        read_direction(model, tiny_tokenizer, pairs, direction="pca", **how)  # type: ignore[arg-type]
    assert not seen


def test_without_a_cache_a_method_that_asks_for_the_means_again_reads_them_once(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast, pairs: sm.ContrastivePairs
) -> None:
    with passes(model) as seen:
        sm.fit(
            *(model, tiny_tokenizer, pairs),
            method="angular",
            progress=False,
            batch_size=8,
        )
    assert len(seen) == 2
