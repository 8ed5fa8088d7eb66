"""LangFIR's choice of features and its two laws, written out in numpy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, examples, fitted, hooked, steered
from saved_autoencoders import BLOCK, encoded, rows_of, saved
from transformers import PreTrainedModel

from steersman.errors import InputError
from steersman.methods import LangFIR, LangFIRAblation
from steersman.methods.langfir import random_tokens
from steersman.plant import capture_sequence, ordinary_ids, special_ids
from steersman.training import Written

Models = Callable[[str], PreTrainedModel]
SHARES = {"consistent": 0.6, "random": 0.7, "sequences": 20}


def sequences(model: Any, tokenizer: Any, folder: str, ids: list[list[int]]) -> list[np.ndarray]:
    """The features of every token of each sequence that is not special."""
    special = special_ids(tokenizer)
    found = []
    for one in ids:
        chosen = [i for i, token in enumerate(one) if token not in special]
        states = capture_sequence(model, torch.tensor([one]), chosen)[:, BLOCK + 1]
        found.append(encoded(folder, states.double().numpy()))
    return found


def selected(
    model: Any, tokenizer: Any, folder: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The features, and their mean activations."""
    texts = [tokenizer(text)["input_ids"] for text in examples(tokenizer).desired]
    written = [Written(tuple(one), 1, ()) for one in texts]
    drawn = torch.Generator().manual_seed(seed)
    noise = random_tokens(written, ordinary_ids(tokenizer), SHARES["sequences"], drawn)
    ours = sequences(model, tokenizer, folder, texts)
    theirs = sequences(model, tokenizer, folder, [list(one.ids) for one in noise])
    p, r = (np.mean([(f > 0).any(0) for f in some], axis=0) for some in (ours, theirs))
    chosen = np.flatnonzero((p >= SHARES["consistent"]) & (r <= SHARES["random"]))
    return chosen, np.mean([f.mean(0) for f in ours], axis=0)


def test_what_is_theirs_and_not_of_random_tokens_is_added(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path, "topk")
    chosen, mean = selected(model, tiny_tokenizer, folder)
    assert 0 < len(chosen) < len(mean) / 2
    steering = fitted(model, tiny_tokenizer, LangFIR(folder, alpha=2.0, **SHARES))
    assert [row[0] for row in steering.diagnostics[0].rows] == chosen.tolist()
    added = 2 * sum(mean[i] * rows_of(folder)[i] for i in chosen)
    expected = hooked(model, lambda block, x, y: y + 0.5 * added * (block == BLOCK))
    close(steered(model, steering, 0.5), expected)


def test_ablation_takes_out_what_of_them_is_there(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path, "topk")
    chosen, _ = selected(model, tiny_tokenizer, folder)

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        taken = encoded(folder, y)[:, chosen] @ rows_of(folder)[chosen]
        return y - taken * (block == BLOCK)

    steering = fitted(model, tiny_tokenizer, LangFIRAblation(folder, **SHARES))
    close(steered(model, steering), hooked(model, edit))


def test_random_tokens_are_as_long_even_and_keep_what_is_special() -> None:
    one, other = Written((1, 7, 8, 9), 1, (1, 2, 3)), Written((1, 5, 2), 1, (1,))
    vocabulary = tuple(range(4, 14))
    found = random_tokens([one, other], vocabulary, 3001, torch.Generator().manual_seed(0))
    assert [len(f.ids) for f in found[:3]] == [4, 3, 4] and found[1].read == other.read
    assert {f.ids[0] for f in found} == {1} and {f.ids[2] for f in found[1::2]} == {2}
    drawn = np.array([token for f in found[::2] for token in f.ids[1:]])
    counts = np.bincount(drawn, minlength=14)
    assert counts[:4].sum() == 0
    expected = len(drawn) / 10
    assert float(((counts[4:] - expected) ** 2 / expected).sum()) < 27.9  # chi square, p = 0.001


def test_the_vocabulary_leaves_out_what_is_special(tiny_tokenizer: Any) -> None:
    found = ordinary_ids(tiny_tokenizer)
    assert not set(found) & special_ids(tiny_tokenizer)
    assert set(found) | special_ids(tiny_tokenizer) == set(tiny_tokenizer.get_vocab().values())


def test_positions_do_not_matter_as_every_token_is_read(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, method = tiny_model("llama"), LangFIR(saved(tmp_path, "topk"), **SHARES)
    plans = [fitted(model, tiny_tokenizer, method, positions=p).plan for p in ("last", "all")]
    assert torch.equal(*plans)


def test_it_says_why_no_feature_is_left(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, folder = tiny_model("llama"), saved(tmp_path)
    with pytest.raises(InputError, match="ones too: raise random"):
        fitted(model, tiny_tokenizer, LangFIR(folder, consistent=0.9, random=0.0))
    with pytest.raises(InputError, match="consistent is 0"):
        fitted(model, tiny_tokenizer, LangFIR(folder, consistent=0.0))
