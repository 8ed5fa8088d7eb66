"""nnsight: the outputs of blocks that it saves, and a vector that it adds to one."""

from typing import Any

import pytest
import torch

from steersman.methods import ActivationAddition
from steersman.plant import AllTokens, capture_tokens, hidden_out

peer = pytest.importorskip("nnsight", reason="make test-peers installs it")
pytestmark = pytest.mark.peers


@torch.no_grad()
def test_what_it_saves_behind_each_block_is_our_state(subject: Any) -> None:
    text = subject.tuples[0][0]
    ids = torch.tensor([subject.tokenizer(text)["input_ids"]])
    model, saved = peer.NNsight(subject.copied), []
    with model.trace(ids):
        for layer in model.model.layers:
            saved.append(layer.output.save())
    found = capture_tokens(subject.model, subject.tokenizer, [text], AllTokens())
    places = found.position.tolist()
    for block, theirs in enumerate(saved):
        expected = hidden_out(theirs)[0][places]
        torch.testing.assert_close(found.states[:, block + 1], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_activation_addition_is_its_edit_of_an_output(subject: Any) -> None:
    made = subject.fit(ActivationAddition(block=1))
    v, model = made.plan[1], peer.NNsight(subject.copied)
    with model.trace(subject.prompt):
        model.model.layers[1].output[:] += v
        theirs = model.output.logits.save()
    torch.testing.assert_close(subject.logits(made), theirs, rtol=1e-4, atol=1e-4)
