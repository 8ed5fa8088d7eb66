"""steering-vectors: the mean and the principal component of pairs, and logits under its patches."""

import warnings
from typing import Any

import pytest
import torch

from steersman.methods import ActivationAddition, GivenVectors

peer = pytest.importorskip("steering_vectors", reason="make test-peers installs it")
pytestmark = pytest.mark.peers


def trained(subject: Any, **settings: Any) -> Any:
    """Their vectors of every layer; batches of one, so that padding plays no part."""
    return peer.train_steering_vector(
        subject.copied, subject.tokenizer, subject.tuples, batch_size=1, **settings
    )


def test_our_contrasts_are_their_mean_vectors(subject: Any) -> None:
    theirs, plan = trained(subject).layer_activations, subject.fit(GivenVectors()).plan
    assert sorted(theirs) == list(range(len(plan)))
    for block, vector in theirs.items():
        torch.testing.assert_close(plan[block], vector.float(), rtol=1e-4, atol=1e-5)


def test_our_first_components_are_theirs_with_their_sign(subject: Any) -> None:
    theirs = trained(subject, aggregator=peer.pca_aggregator()).layer_activations
    ours = subject.fit(GivenVectors(), direction="pca").direction
    for block, vector in theirs.items():
        v = ours.contrast[block + 1] / ours.contrast[block + 1].norm()
        torch.testing.assert_close(v.float(), vector.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("target", [1.0, -0.5])
@torch.no_grad()
def test_activation_addition_has_the_logits_of_their_patch(subject: Any, target: float) -> None:
    block, model = 1, subject.copied
    handle = trained(subject, layers=[block]).patch_activations(model, multiplier=target)
    theirs = model(subject.prompt).logits
    handle.remove()
    ours = subject.logits(subject.fit(ActivationAddition(block=block)), target)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ours, subject.model(subject.prompt).logits, atol=1e-2)


@torch.no_grad()
def test_what_is_written_for_them_patches_as_ours_does(subject: Any, tmp_path: Any) -> None:
    import steersman as sm

    made = subject.fit(ActivationAddition(block=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        path = sm.export_vectors(made, tmp_path / "vectors.pt", format="steering-vectors")
    given = torch.load(path, weights_only=True)
    vectors = peer.SteeringVector(given.get("layer_activations", given))
    model = subject.copied
    with vectors.apply(model):
        theirs = model(subject.prompt).logits
    torch.testing.assert_close(subject.logits(made), theirs, rtol=1e-4, atol=1e-4)
