"""The frozen model with the examples: what it says, its gradients, and how it is left."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import steersman as sm
from steersman.control import AffineLaw
from steersman.errors import InputError
from steersman.plant import (
    HookSet,
    Tokens,
    capture_states,
    hidden_out,
    hooked,
    locate,
    positions_named,
    tokenize,
    with_hidden,
)
from steersman.plant import pad_id as padding
from steersman.training import Batch, Bench, Training, Written, written

ARCHITECTURES = ("llama", "gpt2", "gemma2")
BLOCK = 1
Models = Callable[[str], PreTrainedModel]


def texts(tokenizer: Any) -> tuple[list[str], list[str]]:
    """Pairs that begin alike, of several lengths."""
    w = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    desired = [f"{w[0]} {w[1]} {w[i]} {w[i + 1]}" for i in range(2, 6)]
    undesired = [f"{w[0]} {w[1]} {w[-i]} " + " ".join(w[7 : 7 + i]) for i in range(2, 6)]
    return [f"{w[3]} {w[3]} {desired[0]}", *desired[1:]], [
        f"{w[3]} {w[3]} {undesired[0]}",
        *undesired[1:],
    ]


def bench_of(model: nn.Module, tokenizer: Any, positions: str = "last") -> Bench:
    sides = [tokenize(tokenizer, side) for side in texts(tokenizer)]
    found = written(*sides, positions_named(positions), True)
    return Bench(model, padding(tokenizer), *found, True, batch_size=3)


def pushed(model: nn.Module, v: Tensor, first: int, ids: Tensor) -> Tensor:
    """Logits with `v` added behind one block from one column on, by a plain hook."""

    def add(args: Any, kwargs: Any, output: Any) -> Any:
        x = hidden_out(output)
        mask = (torch.arange(x.shape[1]) >= first)[None, :, None]
        return with_hidden(output, x + mask * v)

    with HookSet() as hooks:
        hooks.after(locate(model).modules[BLOCK], add)
        return model(ids).logits


def log_probability(model: nn.Module, v: Tensor, one: Written, tokens: str) -> Tensor:
    """Of one response, alone and without padding."""
    ids = torch.tensor([one.ids])
    first = 0 if tokens == "all" else one.start - 1
    logits = pushed(model, v, first, ids)[0].log_softmax(-1)
    return sum(logits[t - 1, one.ids[t]] for t in range(one.start, len(one.ids)))


def at_block(v: Tensor, blocks: int) -> AffineLaw:
    rows = [v if block == BLOCK else torch.zeros_like(v) for block in range(blocks)]
    return AffineLaw.schedule(torch.stack(rows))


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("tokens", ["all", "last"])
def test_a_batch_says_what_each_example_says_alone_and_so_does_its_gradient(
    tiny_model: Models, tiny_tokenizer: Any, name: str, tokens: Any
) -> None:
    # Gemma 2's own mask of a padded batch is not finite in float64.
    wide = name != "gemma2"
    model = copy.deepcopy(tiny_model(name)).to(torch.float64 if wide else torch.float32)
    bench = bench_of(model, tiny_tokenizer)
    blocks = locate(model)
    v = torch.randn(blocks.n, generator=torch.Generator().manual_seed(0)).to(model.dtype)
    v = v.requires_grad_()
    near = {"rtol": 1e-8, "atol": 1e-9} if wide else {"rtol": 1e-3, "atol": 1e-4}
    rows = torch.arange(4)
    law = at_block(v, len(blocks))
    found = bench.margins(rows, bench.channel(law, 1.0, tokens))
    expected = torch.stack(
        [
            log_probability(model, v, w, tokens) - log_probability(model, v, u, tokens)
            for w, u in zip(bench.desired, bench.undesired, strict=True)
        ]
    )
    torch.testing.assert_close(found, expected, **near)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0]).to(found)
    gradients = [torch.autograd.grad((one * weights).sum(), v)[0] for one in (found, expected)]
    torch.testing.assert_close(*gradients, **near)
    assert gradients[0].abs().max() > 1e-4


def test_bare_margins_are_those_of_nothing_attached(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    bench = bench_of(tiny_model("llama"), tiny_tokenizer)
    nothing = torch.zeros(locate(bench.model).n)
    expected = [
        log_probability(bench.model, nothing, w, "all")
        - log_probability(bench.model, nothing, u, "all")
        for w, u in zip(bench.desired, bench.undesired, strict=True)
    ]
    torch.testing.assert_close(bench.all_margins(None), torch.stack(expected).detach())


@pytest.mark.parametrize("positions", ["last", "all"])
def test_the_states_are_those_that_a_fit_reads(
    tiny_model: Models, tiny_tokenizer: Any, positions: str
) -> None:
    model = tiny_model("llama")
    bench = bench_of(model, tiny_tokenizer, positions)
    expected = capture_states(
        model, tiny_tokenizer, texts(tiny_tokenizer)[1], positions_named(positions)
    )
    torch.testing.assert_close(bench.outputs(bench.undesired, None).detach(), expected[:, 1:])
    each = bench.tokens(bench.undesired, BLOCK)
    means = torch.stack([one.mean(0) for one in each])
    torch.testing.assert_close(means, expected[:, BLOCK + 1])


def test_what_is_read_behind_each_token_is_the_models_own(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    bench = bench_of(tiny_model("llama"), tiny_tokenizer, "all")
    expected = [
        bench.model(torch.tensor([one.ids])).logits[0, list(one.read)] for one in bench.desired
    ]
    torch.testing.assert_close(bench.logits(bench.desired, None), torch.cat(expected))


def train_a_vector(bench: Bench, epochs: int = 2) -> Tensor:
    blocks = locate(bench.model)

    def loss(parameters: Any, rows: Tensor, drawn: torch.Generator) -> Tensor:
        law = at_block(parameters["v"], len(blocks))
        return -bench.margins(rows, bench.channel(law)).mean()

    settings = Training(epochs, 2, 0.05)
    start = {"v": torch.zeros(blocks.n)}
    return bench.train(start, loss, len(bench.desired), settings, name="a vector")["v"]


def test_the_model_is_left_exactly_as_it_was_found(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    odd = list(model.parameters())[::2]
    for parameter in odd:
        parameter.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    asking = [p.requires_grad for p in model.parameters()]
    assert train_a_vector(bench_of(model, tiny_tokenizer)).any()
    assert [p.requires_grad for p in model.parameters()] == asking
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert not model.training and not any(hooked(module) for module in model.modules())


def test_an_interruption_leaves_it_so_too(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    bench = bench_of(model, tiny_tokenizer)
    law = at_block(torch.zeros(locate(model).n), len(locate(model)))

    def loss(parameters: Any, rows: Tensor, drawn: torch.Generator) -> Tensor:
        assert not any(p.requires_grad for p in model.parameters())
        with HookSet() as hooks:
            hooks.before(locate(model).modules[BLOCK], interrupt)
            return bench.margins(rows, bench.channel(law)).mean()

    def interrupt(args: Any, kwargs: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.train({"v": torch.zeros(3)}, loss, 4, Training(1, 2, 0.1), name="nothing")
    assert all(p.requires_grad for p in model.parameters())
    assert not any(hooked(module) for module in model.modules())


def test_half_precision_is_trained_in_front_of(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = copy.deepcopy(tiny_model("llama")).to(torch.bfloat16)
    bench = bench_of(model, tiny_tokenizer)
    v = train_a_vector(bench, epochs=4)
    assert v.dtype == torch.float32 and bench.histories[0].improved


def test_a_training_that_makes_it_no_better_is_doubted(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    bench = bench_of(tiny_model("llama"), tiny_tokenizer)

    def loss(parameters: Any, rows: Tensor, drawn: torch.Generator) -> Tensor:
        pull = 1.0 if torch.is_grad_enabled() else -1.0
        return pull * parameters["v"].sum()

    with pytest.warns(UserWarning, match="training of it went no better"):
        bench.train({"v": torch.zeros(2)}, loss, 4, Training(1, 2, 0.1), name="it")


def test_a_model_in_training_mode_is_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = copy.deepcopy(tiny_model("llama")).train()
    with pytest.raises(InputError, match="training mode"):
        train_a_vector(bench_of(model, tiny_tokenizer))


def _tokens(*ids: int, start: int | None = None) -> Tokens:
    spans = tuple((i, i + 1) for i in range(len(ids)))
    return Tokens(ids, "x" * len(ids), spans, (False,) * len(ids), start)


def test_a_response_starts_where_the_sides_of_a_pair_part_or_where_it_is_told() -> None:
    last = positions_named("last")
    first, second = written([_tokens(1, 5, 6, 7)], [_tokens(1, 5, 8)], last, True)
    assert (first[0].start, second[0].start) == (2, 2) and first[0].read == (3,)
    first, second = written([_tokens(1, 5, 6, start=1)], [_tokens(1, 5, 8)], last, True)
    assert (first[0].start, second[0].start) == (1, 2)
    first, second = written([_tokens(1, 5)], [_tokens(1, 5, 8)], last, False)
    assert (first[0].start, second[0].start) == (1, 1)
    first, second = written([_tokens(3, 5)], [_tokens(1, 5, 8)], last, True)
    assert (first[0].start, second[0].start) == (1, 1)


def test_prompts_end_at_one_column_and_responses_follow() -> None:
    rows = [Written((1, 2, 3, 4), 2, (3,)), Written((5, 6), 1, (1,))]
    batch = Batch.of(rows, pad_id=0)
    assert batch.encoded.input_ids.tolist() == [[1, 2, 3, 4], [0, 5, 6, 0]]
    assert batch.encoded.attention_mask.tolist() == [[1, 1, 1, 1], [0, 1, 1, 0]]
    assert batch.prompt == 2 and batch.response.tolist() == [[3, 4], [6, 0]]
    assert batch.responding.tolist() == [[True, True], [True, False]] and batch.starts == (0, 1)


def test_examples_without_two_responses_are_refused(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    w = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    model = tiny_model("llama")
    cut = sm.ContrastivePairs([f"{w[0]} {w[1]} {w[2]}"], [f"{w[0]} {w[1]}"])
    loose = sm.ContrastivePairs([f"{w[0]} {w[1]}", w[3]], [w[2]])
    for pairs, said in ((cut, "undesired example 0 has no response"), (loose, "two responses")):
        with pytest.raises(InputError, match=said), pytest.warns(UserWarning):
            sm.fit(model, tiny_tokenizer, pairs, method="bipo", progress=False)
