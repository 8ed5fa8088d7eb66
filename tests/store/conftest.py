"""A small artifact, and a hub in memory."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

sys.path.insert(0, str(Path(__file__).parent))

from fake_hub import FakeHub, fake_hub  # noqa: E402

from steersman.store import Artifact  # noqa: E402


@pytest.fixture
def artifact() -> Artifact:
    """Two tensors and a little of everything that JSON can hold."""
    seeded = torch.Generator().manual_seed(0)
    return Artifact(
        tensors={
            "G": torch.randn(3, 4, 1, generator=seeded),
            "contrast": torch.randn(4, 4, generator=seeded),
        },
        manifest={"method": "a-lqr", "prefilter": 1 / 3, "provenance": {"pairs": [2, 3]}},
        card='# A card\n\nsteering = from_pretrained("owner/name")\n',
    )


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub in memory, with an empty download cache and nobody logged in."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with fake_hub() as hub:
        yield hub
