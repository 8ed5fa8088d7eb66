"""SAELens: features and states of autoencoders that it has saved."""

from typing import Any

import pytest
import torch

from steersman.exchange import read_sae

peer = pytest.importorskip("sae_lens", reason="make test-peers installs it")
pytestmark = pytest.mark.peers
N, FEATURES = 32, 96
KINDS = {
    "standard": ("StandardSAE", {}),
    "topk": ("TopKSAE", {"k": 7}),
    "jumprelu": ("JumpReLUSAE", {}),
    "gated": ("GatedSAE", {}),
}


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_saved_autoencoder_says_the_same_here(kind: str, centred: bool, tmp_path: Any) -> None:
    name, settings = KINDS[kind]
    metadata = peer.saes.sae.SAEMetadata(hook_name="blocks.3.hook_resid_post")
    config = getattr(peer, f"{name}Config")(
        d_in=N, d_sae=FEATURES, apply_b_dec_to_input=centred, metadata=metadata, **settings
    )
    theirs, generator = getattr(peer, name)(config), torch.Generator().manual_seed(0)
    for key, parameter in theirs.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator) / N**0.5
        parameter.data = drawn.abs() if key == "threshold" else drawn
    theirs.save_model(tmp_path / "sae")
    ours = read_sae(tmp_path / "sae")
    x = 3 * torch.randn(50, N, generator=generator)
    features = theirs.encode(x)
    assert (features > 0).any() and (features == 0).any()
    torch.testing.assert_close(ours.encode(x), features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.decode(features), theirs.decode(features))
    assert (ours.architecture, ours.state) == (kind, 4)
