"""One engine, every architecture: what must be true while a steering is attached."""

import gc
from collections.abc import Callable

import pytest
import tiny_models as tiny
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from steersman.control import Absolute, AffineLaw, Relative, Units
from steersman.engines import Channel, Run
from steersman.errors import AttachedError, InputError, MismatchError
from steersman.plant import HookSet, hidden_in, hidden_out, locate, owners

ARCHITECTURES = (
    *("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "gpt2"),
    *("gpt_neox", "olmo2", "falcon", "stablelm", "smollm3", "granite"),
)
PROMPT = torch.arange(3, 11)[None]
Models = Callable[[str], PreTrainedModel]


def channel(
    model: PreTrainedModel,
    *,
    target: float | Tensor = 1.0,
    relative: bool = False,
    planned: bool = False,
    tokens: str = "all",
    rows: tuple[int, ...] | None = None,
    size: float = 0.3,
    seed: int = 0,
) -> Channel:
    """A law from random directions; strong enough to change what is generated."""
    blocks = locate(model)
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(len(blocks), blocks.n, 1, generator=generator)
    v = v / v.norm(dim=1, keepdim=True)
    law = AffineLaw(v, size * v)
    units = Units(torch.full((len(blocks),), 2.0), torch.full((len(blocks),), 0.5))
    if planned:
        return Channel(
            AffineLaw.schedule(2 * size * v),
            Absolute(target),
            Units.plain(len(blocks)),
            v,
            units,
            tokens,  # type: ignore[arg-type]
            rows,
            tracks=False,
        )
    reference = Relative(target) if relative else Absolute(target)
    return Channel(law, reference, units, v, units, tokens, rows)  # type: ignore[arg-type]


def run_with(model: PreTrainedModel, *channels: Channel, **settings: object) -> Run:
    return Run(model, locate(model), channels, **settings)  # type: ignore[arg-type]


def padded(rows: list[Tensor], side: str, pad: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of tokens in one batch, and its attention mask."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        place = slice(length - len(row), length) if side == "left" else slice(0, len(row))
        ids[index, place], mask[index, place] = row, 1
    return ids, mask


@torch.no_grad()
def logits(model: PreTrainedModel, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    given = torch.ones_like(ids) if mask is None else mask
    return model(input_ids=ids, attention_mask=given, use_cache=False).logits


def reference_logits(model: PreTrainedModel, law: Channel, ids: Tensor) -> Tensor:
    """The same law by hooks written out here, for one row without padding."""
    blocks = locate(model)
    with HookSet() as hooks:
        for t, module in enumerate(blocks.modules):

            def steer(args: tuple, kwargs: dict, output: object, t: int = t) -> object:
                x, y = hidden_in(args, kwargs), hidden_out(output)
                s = law.units.origin[t] + law.reference.target * law.units.norm[t]
                u = (s - x @ law.law.H[t]) @ law.law.G[t].T
                return (y + u, *output[1:]) if isinstance(output, tuple) else y + u

            hooks.after(module, steer)
        return logits(model, ids)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_law_steers_as_written(name: str, tiny_model: Models) -> None:
    model = tiny_model(name)
    law = channel(model)
    with run_with(model, law) as run:
        steered = logits(model, PROMPT)
    assert torch.allclose(steered, reference_logits(model, law, PROMPT), atol=1e-5)
    assert not torch.allclose(steered, logits(model, PROMPT), atol=1e-3)
    assert run.trace.feature.shape == (1, tiny.BLOCKS, PROMPT.shape[1])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_strength_zero_leaves_every_bit(name: str, tiny_model: Models) -> None:
    model = tiny_model(name)
    bare = logits(model, PROMPT)
    for law in (channel(model, target=0.0, planned=True), channel(model, rows=())):
        with run_with(model, law, prompts=1):
            assert torch.equal(logits(model, PROMPT), bare)
    assert torch.equal(logits(model, PROMPT), bare)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_cache_does_not_change_what_is_steered(name: str, tiny_model: Models) -> None:
    model = tiny_model(name)
    for law in (
        channel(model),
        channel(model, tokens="last"),
        channel(model, relative=True),
        channel(model, planned=True, tokens="last"),
    ):
        made = []
        for cache in (True, False):
            with run_with(model, law):
                out = model.generate(
                    PROMPT,
                    attention_mask=torch.ones_like(PROMPT),
                    max_new_tokens=6,
                    min_new_tokens=6,
                    do_sample=False,
                    use_cache=cache,
                    output_logits=True,
                    return_dict_in_generate=True,
                )
            made.append(torch.stack(out.logits))
        assert torch.allclose(made[0], made[1], atol=2e-4)


@pytest.mark.parametrize("tokens", ["all", "last"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_chunked_prefill_equals_one_pass(name: str, tokens: str, tiny_model: Models) -> None:
    model = tiny_model(name)
    law = channel(model, tokens=tokens)
    mask = torch.ones_like(PROMPT)
    with run_with(model, law):
        whole = logits(model, PROMPT)[:, -1]
    cache = DynamicCache(config=model.config)
    with run_with(model, law, prompt_length=PROMPT.shape[1]), torch.no_grad():
        for start, stop in ((0, 3), (3, 5), (5, PROMPT.shape[1])):
            out = model(
                input_ids=PROMPT[:, start:stop],
                attention_mask=mask[:, :stop],
                past_key_values=cache,
                use_cache=True,
            )
            cache = out.past_key_values
    assert torch.allclose(out.logits[:, -1], whole, atol=2e-4)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_batch_and_padding_do_not_matter(name: str, relative: bool, tiny_model: Models) -> None:
    model = tiny_model(name)
    rows = [torch.arange(3, 11), torch.arange(20, 25), torch.tensor([7, 8])]
    for tokens in ("all", "last"):
        law = channel(model, relative=relative, tokens=tokens)
        alone = []
        for row in rows:
            with run_with(model, law):
                alone.append(logits(model, row[None])[0, -1])
        for side in ("left", "right"):
            ids, mask = padded(rows, side)
            bare = logits(model, ids, mask)
            with run_with(model, law):
                batch = logits(model, ids, mask)
            for index, row in enumerate(rows):
                last = -1 if side == "left" else len(row) - 1
                shift = (bare[index, last] - logits(model, row[None])[0, -1]).abs().max()
                error = (batch[index, last] - alone[index]).abs().max()
                # Absolute positions move under left padding in models that do not correct for it.
                assert error <= 2e-4 or shift > 1e-4


def test_rows_with_different_laws_do_not_touch_each_other(tiny_model: Models) -> None:
    model = tiny_model("llama")
    ids = torch.stack([torch.arange(3, 11), torch.arange(30, 38), torch.arange(50, 58)])
    bare = logits(model, ids)
    first = channel(model, rows=(0,), seed=1)
    second = channel(model, rows=(2,), seed=2, planned=True, tokens="last")
    with run_with(model, first, second, prompts=3) as run:
        mixed = logits(model, ids)
    assert torch.equal(mixed[1], bare[1])
    for row, law in ((0, channel(model, seed=1)), (2, channel(model, seed=2, planned=True))):
        tokens = "all" if row == 0 else "last"
        alone = Channel(law.law, law.reference, law.units, law.watch, law.scale, tokens)  # type: ignore[arg-type]
        with run_with(model, alone):
            assert torch.allclose(logits(model, ids[row : row + 1])[0], mixed[row], atol=1e-5)
    assert [len(trace.feature) for trace in run.traces()] == [1, 1]


@pytest.mark.parametrize("relative", [False, True])
def test_each_prompt_has_its_target_also_under_beams(relative: bool, tiny_model: Models) -> None:
    model = tiny_model("llama")
    ids = torch.stack([torch.arange(3, 11), torch.arange(30, 38)])
    settings = {
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": 5,
        "min_new_tokens": 5,
        "num_beams": 3,
        "do_sample": False,
    }
    targets = torch.tensor([0.5, 2.0])
    with run_with(model, channel(model, target=targets, relative=relative), prompts=2):
        both = model.generate(ids, **settings)
    settings["attention_mask"] = torch.ones_like(ids[:1])
    for row in (0, 1):
        with run_with(model, channel(model, target=float(targets[row]), relative=relative)):
            assert torch.equal(model.generate(ids[row : row + 1], **settings)[0], both[row])


@pytest.mark.parametrize("beams", [1, 3])
def test_a_relative_law_means_the_same_with_and_without_cache(
    beams: int, tiny_model: Models
) -> None:
    model = tiny_model("llama")
    made = []
    for cache in (True, False):
        with run_with(model, channel(model, relative=True, target=2.0)):
            made.append(
                model.generate(
                    PROMPT,
                    attention_mask=torch.ones_like(PROMPT),
                    max_new_tokens=8,
                    min_new_tokens=8,
                    num_beams=beams,
                    do_sample=False,
                    use_cache=cache,
                )
            )
    assert torch.equal(made[0], made[1])


def test_the_nominal_is_the_unsteered_run(tiny_model: Models) -> None:
    model = tiny_model("qwen3")
    law = channel(model, relative=True, target=0.0)
    blocks = locate(model)
    seen: dict[int, Tensor] = {}
    with HookSet() as hooks:
        for t, module in enumerate(blocks.modules):
            hooks.after(module, lambda a, k, o, t=t: seen.__setitem__(t, hidden_in(a, k).clone()))
        bare = logits(model, PROMPT)
    with run_with(model, law) as run:
        assert torch.allclose(logits(model, PROMPT), bare, atol=1e-6)
    for t in range(tiny.BLOCKS):
        expected = (seen[t] @ law.law.H[t])[..., 0]
        assert torch.allclose(run.trace.setpoint[:, t], expected, atol=1e-5)
    assert float(run.trace.error.abs().max()) < 1e-5


def test_sampling_with_several_answers_a_prompt_keeps_rows_apart(tiny_model: Models) -> None:
    model = tiny_model("llama")
    ids = torch.stack([torch.arange(3, 11), torch.arange(30, 38)])
    law = channel(model, rows=(1,), planned=True)
    made = []
    for laws in ((), (law,)):
        torch.manual_seed(0)
        with run_with(model, *laws, prompts=2):
            made.append(
                model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=5,
                    num_return_sequences=3,
                    do_sample=True,
                )
            )
    assert torch.equal(made[0][:3], made[1][:3])
    assert not torch.equal(made[0][3:], made[1][3:])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bfloat16_models_are_steered_in_their_own_precision(name: str) -> None:
    model = tiny.tiny_model(name).to(torch.bfloat16)
    bare = logits(model, PROMPT)
    with run_with(model, channel(model, planned=True)) as run:
        steered = logits(model, PROMPT)
    assert steered.dtype == bare.dtype
    assert run.trace.feature.dtype == torch.float32
    assert not torch.equal(steered, bare)
    assert torch.equal(logits(model, PROMPT), bare)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("each", [False, True])
def test_a_plan_for_some_rows_is_the_plan_for_all_on_those_to_the_bit(
    each: bool, dtype: torch.dtype
) -> None:
    model = tiny.tiny_model("llama").to(dtype)
    ids = torch.stack([torch.arange(3, 11), torch.arange(30, 38), torch.arange(50, 58)])
    targets = torch.tensor([1.0, 0.0, 2.0])
    bare = logits(model, ids)
    whole = channel(model, target=targets if each else 1.0, planned=True)
    some = channel(model, target=targets[[0, 2]] if each else 1.0, planned=True, rows=(0, 2))
    with run_with(model, whole, prompts=3):
        asked = logits(model, ids)
    with run_with(model, some, prompts=3):
        mixed = logits(model, ids)
    assert torch.equal(mixed[1], bare[1])
    assert torch.equal(mixed[[0, 2]], asked[[0, 2]])
    assert not torch.equal(mixed[0], bare[0])


def test_no_hook_is_left_after_an_exception(tiny_model: Models) -> None:
    model = tiny_model("gpt2")
    with pytest.raises(ZeroDivisionError), run_with(model, channel(model)):
        raise ZeroDivisionError
    assert not any(owners(module) for module in (model, *locate(model).modules))
    with pytest.raises(IndexError), run_with(model, channel(model)):
        logits(model, torch.full((1, 3), 10_000))
    assert not any(owners(module) for module in (model, *locate(model).modules))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_a_cancelled_stream_leaves_no_hook(tiny_model: Models) -> None:
    class Cancelled(Exception):
        pass

    class Streamer:
        def __init__(self) -> None:
            self.tokens = 0

        def put(self, value: Tensor) -> None:
            self.tokens += 1
            if self.tokens == 3:
                raise Cancelled

        def end(self) -> None:
            """Never reached."""

    model = tiny_model("llama")
    with pytest.raises(Cancelled), run_with(model, channel(model)):
        model.generate(PROMPT, max_new_tokens=9, do_sample=False, streamer=Streamer())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_a_streamed_run_gives_the_same_tokens(tiny_model: Models) -> None:
    class Streamer:
        def __init__(self) -> None:
            self.tokens: list[int] = []

        def put(self, value: Tensor) -> None:
            self.tokens += value.flatten().tolist()

        def end(self) -> None:
            """Nothing to flush."""

    model, streamer = tiny_model("llama"), Streamer()
    with run_with(model, channel(model)):
        plain = model.generate(PROMPT, max_new_tokens=6, do_sample=False)
        model.generate(PROMPT, max_new_tokens=6, do_sample=False, streamer=streamer)
    assert streamer.tokens == plain[0].tolist()


def test_attaching_twice_is_refused_and_leaves_the_first(tiny_model: Models) -> None:
    model = tiny_model("llama")
    with run_with(model, channel(model)):
        before = logits(model, PROMPT)
        with pytest.raises(AttachedError, match="already carries"), run_with(model, channel(model)):
            pass
        assert torch.equal(logits(model, PROMPT), before)


def test_a_run_is_used_once(tiny_model: Models) -> None:
    model = tiny_model("llama")
    run = run_with(model, channel(model))
    with run:
        pass
    with pytest.raises(AttachedError, match="over"), run:
        pass


def test_a_part_of_the_model_cannot_be_called_while_steered(tiny_model: Models) -> None:
    model = tiny_model("llama")
    with run_with(model, channel(model)), pytest.raises(AttachedError, match="LlamaForCausalLM"):
        model.model(PROMPT)


def test_a_law_for_another_width_is_refused(tiny_model: Models) -> None:
    model = tiny_model("llama")
    v = torch.ones(tiny.BLOCKS, 7, 1)
    units = Units.plain(tiny.BLOCKS)
    wrong = Channel(AffineLaw(v, v), Absolute(1.0), units, v, units)
    with pytest.raises(MismatchError, match="width 7"):
        run_with(model, wrong)


def test_a_batch_that_does_not_fit_the_prompts_is_refused(tiny_model: Models) -> None:
    model = tiny_model("llama")
    law = channel(model, target=torch.tensor([1.0, 0.0]))
    with pytest.raises(InputError, match="2 prompts"), run_with(model, law, prompts=2):
        logits(model, PROMPT.expand(3, -1))


def test_the_trace_has_one_entry_a_token_with_and_without_cache(tiny_model: Models) -> None:
    model = tiny_model("llama")
    traces = []
    for cache in (True, False):
        with run_with(model, channel(model)) as run:
            model.generate(
                PROMPT, max_new_tokens=4, min_new_tokens=4, do_sample=False, use_cache=cache
            )
            model.generate(PROMPT, max_new_tokens=2, min_new_tokens=2, do_sample=False)
        traces.append(run.traces(0)[0])
        assert run.trace.feature.shape[2] == PROMPT.shape[1] + 1
    assert traces[0].feature.shape == (1, tiny.BLOCKS, PROMPT.shape[1] + 3)
    assert torch.allclose(traces[0].feature, traces[1].feature, atol=1e-4)
    assert torch.equal(traces[0].ids, traces[1].ids)
    assert torch.allclose(traces[0].error, traces[0].setpoint - traces[0].feature)


def test_effort_is_what_was_added(tiny_model: Models) -> None:
    model = tiny_model("llama")
    law = channel(model, planned=True, tokens="last")
    with run_with(model, law) as run:
        logits(model, PROMPT)
    effort = run.trace.effort[0]
    assert torch.allclose(effort[:, -1], law.law.G[..., 0].norm(dim=1), rtol=1e-5)
    assert float(effort[:, :-1].abs().max()) == 0.0
    assert run.trace.steered.tolist() == [[False] * 7 + [True]]


def test_padding_is_not_a_number_in_the_trace(tiny_model: Models) -> None:
    model = tiny_model("llama")
    ids, mask = padded([torch.arange(3, 9), torch.arange(3, 5)], "left")
    with run_with(model, channel(model)) as run:
        logits(model, ids, mask)
    assert torch.equal(run.trace.feature[:, 0].isnan(), mask == 0)


def test_a_finished_run_keeps_no_hold_of_the_cache(tiny_model: Models) -> None:
    model = tiny_model("llama")
    cache = DynamicCache(config=model.config)
    with run_with(model, channel(model, relative=True)), torch.no_grad():
        model(PROMPT, past_key_values=cache, use_cache=True)
        assert "reorder_cache" in vars(cache)
    gc.collect()
    assert "reorder_cache" not in vars(cache)
