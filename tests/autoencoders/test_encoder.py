"""The half of an autoencoder that a law runs: some features alone, taken apart and put together."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from steersman.autoencoders import (
    NEEDED,
    Architecture,
    Encoder,
    SparseAutoencoder,
    read_sae,
    write_sae,
)

N, FEATURES = 6, 20
EACH = pytest.mark.parametrize("architecture", get_args(Architecture))


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(architecture: Any, centred: bool = True, state: int | None = 3) -> SparseAutoencoder:
    others = {name: randn(i, FEATURES) for i, name in enumerate(NEEDED[architecture])}
    if "threshold" in others:
        others["threshold"] = others["threshold"].abs()
    return SparseAutoencoder(
        architecture,
        *(randn(10, N, FEATURES), randn(11, FEATURES, N), randn(12, N), others),
        k=4 if architecture == "topk" else None,
        centred=centred,
        state=state,
    )


@EACH
@pytest.mark.parametrize("centred", [True, False])
def test_some_features_alone_are_what_they_are_among_all(architecture: str, centred: bool) -> None:
    sae, x = made(architecture, centred), randn(1, 50, N)
    chosen = [7, 0, 19]
    whole, some = sae.encode(x)[:, chosen], sae.encoder.only(chosen)(x)
    assert (whole > 0).any() and (whole == 0).any()
    torch.testing.assert_close(some, whole)
    assert torch.equal(some > 0, whole > 0)


@EACH
def test_it_is_the_same_after_it_was_taken_apart(architecture: str) -> None:
    sae, x = made(architecture), randn(1, 9, N)
    for encoder in (sae.encoder, sae.encoder.only([3, 5])):
        again = Encoder.of(encoder.tensors() | {"D": torch.zeros(1)})
        assert again.architecture == architecture
        assert torch.equal(again(x), encoder(x))


@EACH
def test_it_runs_in_the_precision_that_it_is_brought_to(architecture: str) -> None:
    encoder, x = made(architecture).encoder.only([2, 4, 6]), randn(1, 9, N).double()
    wide = encoder.to(torch.float64)
    assert wide(x).dtype == torch.float64
    torch.testing.assert_close(wide(x).float(), encoder(x), rtol=1e-4, atol=1e-5)


@EACH
@pytest.mark.parametrize(("centred", "state"), [(True, 3), (False, 0), (True, None)])
def test_what_is_written_reads_back_as_it_was(
    architecture: str, centred: bool, state: int | None, tmp_path: Path
) -> None:
    sae = made(architecture, centred, state)
    again = read_sae(write_sae(sae, tmp_path / "new" / "sae"))
    assert (again.architecture, again.k, again.centred, again.state) == (
        *(architecture, sae.k, centred, state),
    )
    for name in ("W_enc", "W_dec", "b_dec"):
        assert torch.equal(getattr(again, name), getattr(sae, name))
    assert again.others.keys() == sae.others.keys()
    assert all(torch.equal(again.others[name], sae.others[name]) for name in sae.others)
