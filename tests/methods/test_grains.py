"""GrAInS from its attributions to its push, written out beside it with numpy and plain hooks."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import IDS, close, hooked, steered
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import InputError
from steersman.methods import GrAInS
from steersman.methods.grains import blanked, most
from steersman.plant import HookSet, capture_sequence, hidden_out, locate
from steersman.training import Written

Models = Callable[[str], PreTrainedModel]
PAD = 0


def texts(tokenizer: Any) -> sm.ContrastivePairs:
    w = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{w[1]} {w[2]} {w[i]} {w[i + 1]} {w[0]}" for i in range(3, 11)],
        undesired=[f"{w[1]} {w[2]} {w[-i]} {w[-i - 1]} {w[-i - 2]} {w[0]}" for i in range(3, 11)],
    )


def fitted(model: Any, tokenizer: Any, method: GrAInS) -> sm.Steering:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sm.fit(model, tokenizer, texts(tokenizer), method=method, progress=False)


def attributed(model: Any, ids: list[int], start: int, steps: int) -> Tensor:
    """Integrated gradients of the response's log-probability, by inputs_embeds."""
    e = model.get_input_embeddings()(torch.tensor([ids])).detach()
    total = torch.zeros_like(e)
    for node, weight in zip(*np.polynomial.legendre.leggauss(steps), strict=True):
        x = ((node + 1) / 2 * e).requires_grad_()
        logits = model(inputs_embeds=x).logits[0].log_softmax(-1)
        value = sum(logits[t - 1, ids[t]] for t in range(start, len(ids)))
        total += weight / 2 * torch.autograd.grad(value, x)[0]
    return (e * total).sum(-1)[0]


def differences(model: Any, tokenizer: Any, k: int, block: int, steps: int) -> list[np.ndarray]:
    """What blanking the tokens for, and against, the preference does to the last token's state."""
    found: list[list[np.ndarray]] = [[], []]
    for side, sign in ((texts(tokenizer).desired, 1), (texts(tokenizer).undesired, -1)):
        for text in side:
            ids = tokenizer(text)["input_ids"]
            s = sign * attributed(model, ids, 3, steps)  # a token at the beginning, two in common
            before = capture_sequence(model, torch.tensor([ids]), [len(ids) - 1])[0, block + 1]
            for which, score in enumerate((s, -s)):
                out = [i for i in score.argsort(descending=True)[:k].tolist() if score[i] > 0]
                blank = [PAD if i in out else token for i, token in enumerate(ids)]
                after = capture_sequence(model, torch.tensor([blank]), [len(ids) - 1])
                if out:
                    found[which].append((before - after[0, block + 1]).double().numpy())
    return [np.array(some) for some in found]


def component(d: np.ndarray, kind: str) -> np.ndarray:
    if kind == "mean":
        return d.mean(0)
    v = np.linalg.svd(d - d.mean(0))[2][0]
    return v if v @ d.mean(0) >= 0 else -v


@pytest.mark.parametrize("kind", ["pca", "mean"])
@pytest.mark.parametrize("block", [1, 2])
def test_it_is_every_step_of_the_method(
    kind: Any, block: int, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("gpt2")
    both = differences(model, tiny_tokenizer, 2, block, 8)
    v = component(both[0], kind) - component(both[1], kind)
    v /= np.linalg.norm(v)
    method = GrAInS(block=block, k=2, component=kind, alpha=0.02, steps=8)
    steering = fitted(model, tiny_tokenizer, method)
    found = steering.controller.own["v"]
    assert found[block].double().numpy() @ v == pytest.approx(1, abs=1e-4)
    assert not found[[b for b in range(3) if b != block]].any()

    def edit(b: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if b != block:
            return y
        to = y + 10 * 0.02 * 0.7 * v
        length = np.linalg.norm(to, axis=1, keepdims=True)
        return to * np.linalg.norm(y, axis=1, keepdims=True) / length

    close(steered(model, steering, 0.7), hooked(model, edit))


def test_target_zero_is_the_bare_model_bit_for_bit(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, GrAInS(k=2, steps=4))
    with torch.no_grad():
        bare = model(IDS).logits
    assert torch.equal(steered(model, steering, 0.0), bare)
    assert not torch.equal(steered(model, steering, 1.0), bare)


def test_by_default_it_acts_behind_the_last_block(tiny_model: Models, tiny_tokenizer: Any) -> None:
    steering = fitted(tiny_model("llama"), tiny_tokenizer, GrAInS(steps=2))
    assert steering.controller.own["v"].any(dim=1).tolist() == [False, False, True]


def test_each_token_keeps_the_length_of_its_own_state(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """And not that of the sequence: what a token becomes depends on no later token."""
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, GrAInS(block=1, k=2, steps=4))

    def lengths(ids: Tensor, target: float) -> Tensor:
        seen: list[Tensor] = []
        with steering.attach(model, target, tokens="all", trace=False), HookSet() as hooks:
            last = locate(model).modules[1]
            hooks.after(last, lambda a, k, out: seen.append(hidden_out(out)[0]))
            with torch.no_grad():
                model(ids)
        return seen[0]

    bare, turned = lengths(IDS, 0.0), lengths(IDS, 1.0)
    torch.testing.assert_close(turned.norm(dim=1), bare.norm(dim=1), rtol=1e-5, atol=0)
    assert float((turned - bare).norm(dim=1).min()) > 0.1 * float(bare.norm(dim=1).min())
    torch.testing.assert_close(lengths(IDS[:, :4], 1.0), turned[:4], rtol=1e-4, atol=1e-6)


def test_tokens_of_the_response_are_blanked_too_but_never_the_last_one(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, chosen = tiny_model("gpt2"), []
    for text in texts(tiny_tokenizer).desired:
        ids = tiny_tokenizer(text)["input_ids"]
        s = attributed(model, ids, 3, 8)
        for scores in (s, -s):
            chosen += [(i, len(ids)) for i in most(scores, 10)]
    assert any(3 <= i < length - 1 for i, length in chosen)
    assert any(i < 3 for i, _ in chosen)
    assert not any(i == length - 1 for i, length in chosen)


def test_tokens_that_speak_against_are_never_among_those_that_speak_for() -> None:
    s = torch.tensor([0.5, -1.0, 0.0, 2.0, -0.1])
    assert most(s, 10) == (3, 0) and most(-s, 10) == (1, 4)
    assert most(s, 1) == (3,) and most(-s.abs(), 3) == ()


def test_a_blank_is_a_token_in_the_same_place() -> None:
    one = Written((1, 5, 6, 7, 8), 3, (4,))
    assert blanked(one, (1, 3), 0) == Written((1, 0, 6, 0, 8), 3, (4,))


@pytest.mark.usefixtures("unchecked")
def test_too_few_steps_are_said_and_what_cannot_be_is_refused(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, pairs = tiny_model("llama"), texts(tiny_tokenizer)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sm.fit(model, tiny_tokenizer, pairs, method=GrAInS(steps=1), progress=False)
    assert any("attributions miss" in str(one.message) for one in said)
    for method, message in (
        (GrAInS(block=3), "block is 3"),
        (GrAInS(k=0), "k is 0"),
        (GrAInS(component="median"), "component is 'median'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=message):
            fitted(model, tiny_tokenizer, method)
    unpaired = sm.ContrastivePairs(pairs.desired[:5], pairs.undesired)
    with pytest.raises(InputError, match="compares two responses"):
        sm.fit(model, tiny_tokenizer, unpaired, method=GrAInS(), progress=False)
