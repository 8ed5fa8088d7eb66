"""repeng: its principal components with their signs, its vectors in front of a model, its files."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import steersman as sm
from steersman.methods import GivenVectors
from steersman.plant import capture_states

# In annotations it calls a type as numpy did before version 2.
np.float_ = np.float64  # type: ignore[attr-defined]
peer = pytest.importorskip("repeng", reason="make test-peers installs it")
pytestmark = pytest.mark.peers


def trained(subject: Any, method: str) -> Any:
    """Their vector, behind every block but the first, which they leave out."""
    entries = [peer.DatasetEntry(*pair) for pair in subject.tuples]
    return peer.ControlVector.train(
        subject.copied, subject.tokenizer, entries, method=method, batch_size=1
    )


def differences(subject: Any, state: int) -> Any:
    """Of every pair at one state, `(pairs, n)`."""
    return np.subtract(
        *(
            capture_states(subject.model, subject.tokenizer, side)[:, state].double().numpy()
            for side in (subject.pairs.desired, subject.pairs.undesired)
        )
    )


def cosine(one: Any, other: Any) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_our_first_components_are_their_centred_ones_with_their_sign(subject: Any) -> None:
    theirs = trained(subject, "pca_center").directions
    ours = subject.fit(GivenVectors(), direction="pca").direction
    assert sorted(theirs) == list(range(1, ours.blocks))
    for block, vector in list(theirs.items()):
        found = cosine(ours.contrast[block + 1].double().numpy(), vector)
        # At the last block they read what the final norm makes of the state.
        assert found > 1 - 1e-6 if block < ours.blocks - 1 else 0 < found < 1 - 1e-3


def test_their_default_takes_the_mean_off_the_differences_and_ours_does_not(subject: Any) -> None:
    theirs = trained(subject, "pca_diff").directions
    ours = subject.fit(GivenVectors(), direction="pca").direction
    for block in range(1, ours.blocks - 1):
        d = differences(subject, block + 1)
        centred, kept = (np.linalg.svd(one)[2][0] for one in (d - d.mean(0), d))
        assert abs(cosine(theirs[block], centred)) > 1 - 1e-6
        assert cosine(ours.contrast[block + 1].double().numpy(), kept) ** 2 > 1 - 1e-6
        assert abs(cosine(theirs[block], kept)) < 0.99


@pytest.mark.parametrize("coefficient", [2.0, -1.0])
@torch.no_grad()
def test_imported_vectors_have_the_logits_of_their_model(subject: Any, coefficient: float) -> None:
    theirs = trained(subject, "pca_center")
    wrapped = peer.ControlModel(subject.copied, list(theirs.directions))
    wrapped.set_control(theirs, coefficient)
    expected = wrapped(input_ids=subject.prompt).logits
    ours = sm.import_vectors(theirs.directions, subject.model, subject.tokenizer)
    torch.testing.assert_close(subject.logits(ours, coefficient), expected, rtol=1e-4, atol=1e-4)


def test_their_file_is_read_and_ours_is_read_by_them(subject: Any, tmp_path: Any) -> None:
    theirs = trained(subject, "pca_center")
    theirs.export_gguf(tmp_path / "theirs.gguf")
    ours = sm.import_vectors(tmp_path / "theirs.gguf", subject.model, subject.tokenizer)
    for block, vector in theirs.directions.items():
        assert np.array_equal(ours.plan[block].numpy(), vector)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sm.export_vectors(ours, tmp_path / "ours.gguf")
    again = peer.ControlVector.import_gguf(tmp_path / "ours.gguf")
    assert again == theirs
