"""Steering inside the blocks: at heads, parts and normalisations, against plain torch hooks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hooked import IDS, close, examples, fitted, steered
from sklearn.linear_model import LogisticRegression
from tiny_models import tiny_model as fresh_model
from torch import Tensor, nn
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import ArchitectureError, InputError, MismatchError
from steersman.gating import Resembles
from steersman.methods import ITI, AngularSteering, AUSteer, FunctionVectors, Method
from steersman.plant import Site, capture_sequence, site_named
from steersman.plant.mixing import mixed_heads

Models = Callable[[str], PreTrainedModel]
INSIDE = tuple(site for site in get_args(Site) if site != "block")

MODULES = {
    "heads": "self_attn.o_proj",
    "attention": "self_attn.o_proj",
    "mlp": "mlp.down_proj",
    "attention-norm": "input_layernorm",
    "mlp-norm": "post_attention_layernorm",
}
"""Of a Llama, by name."""

METHODS: dict[str, Method] = {
    "iti": ITI(share=0.4, alpha=2.0),
    "function-vectors": FunctionVectors(heads=3, trials=4),
    "austeer heads": AUSteer(6, 0.5, "heads"),
    "austeer mlp": AUSteer(6, 0.5, "mlp"),
    "angular attention-norm": AngularSteering(site="attention-norm"),
    "angular mlp-norm": AngularSteering(site="mlp-norm", plane="contrasts", gate="undesired"),
}
EACH = pytest.mark.parametrize("name", list(METHODS))


def modules(model: Any, site: str) -> list[nn.Module]:
    return [layer.get_submodule(MODULES[site]) for layer in model.model.layers]


@torch.no_grad()
def edited(model: Any, site: str, edit: Callable[[int, Tensor], Tensor], ids: Tensor) -> Tensor:
    """Logits while a plain torch hook edits what every block holds at a site."""
    handles = []
    for block, module in enumerate(modules(model, site)):
        if site == "heads":
            handles.append(
                module.register_forward_pre_hook(lambda m, a, t=block: (edit(t, a[0]), *a[1:]))
            )
        else:
            handles.append(module.register_forward_hook(lambda m, a, out, t=block: edit(t, out)))
    try:
        return model(ids).logits
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def held(model: Any, tokenizer: Any, texts: Any, site: str) -> np.ndarray:
    """What the blocks hold at the last token of every text, a text at a time, float64."""
    found = []
    for text in texts:
        seen: list[Tensor] = []

        def keep(block: int, z: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(z[0, -1].double())
            return z

        edited(model, site, keep, tokenizer(text, return_tensors="pt")["input_ids"])
        found.append(torch.stack(seen))
    return torch.stack(found).numpy()


def both(model: Any, tokenizer: Any, site: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = examples(tokenizer)
    desired, undesired = (
        held(model, tokenizer, side, site) for side in (pairs.desired, pairs.undesired)
    )
    return desired, undesired


@EACH
def test_target_zero_is_the_bare_model_bit_for_bit_inside(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, METHODS[name])
    with torch.no_grad():
        bare = model(IDS).logits
    assert torch.equal(steered(model, steering, 0.0, trace=True), bare)
    assert not torch.equal(steered(model, steering, 1.0), bare)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, bare)  # nothing is left behind


@EACH
def test_what_acts_inside_is_the_same_after_a_round_trip(
    name: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("qwen3")  # whose heads together are wider than the residual stream
    made = fitted(model, tiny_tokenizer, METHODS[name])
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.method == made.method
    assert torch.equal(steered(model, loaded, 0.7), steered(model, made, 0.7))


@EACH
@pytest.mark.parametrize("kind", ["llama", "gemma2", "opt"])
def test_a_padded_row_is_steered_inside_as_it_is_alone(
    name: str, kind: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model(kind)
    steering = fitted(model, tiny_tokenizer, METHODS[name])
    ids = torch.stack([IDS[0], torch.cat([torch.ones(4, dtype=torch.long), IDS[0, :6]])])
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    with torch.no_grad(), steering.attach(model, 1.0, tokens="all"):
        together = model(ids, attention_mask=mask).logits
    with torch.no_grad(), steering.attach(model, 1.0, tokens="all", trace=False):
        alone = model(IDS[:, :6]).logits
    torch.testing.assert_close(together[1, 4:], alone[0], rtol=1e-3, atol=1e-4)


@EACH
def test_with_a_cache_it_writes_what_it_writes_without(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, METHODS[name])
    texts = []
    for cached in (True, False):
        with steering.attach(model, 1.0, tokens="all") as run:
            texts.append(
                model.generate(IDS, max_new_tokens=6, do_sample=False, use_cache=cached).tolist()
            )
        assert run.trace.effort.nan_to_num().max() > 0
    assert texts[0] == texts[1]


def test_iti_pushes_the_heads_whose_probes_know_best(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    desired, undesired = both(model, tiny_tokenizer, "heads")
    heads, blocks = model.config.num_attention_heads, desired.shape[1]
    cut = [x.reshape(len(x), blocks, heads, -1) for x in (desired, undesired)]
    made = fitted(model, tiny_tokenizer, ITI(share=0.3, alpha=2.0))
    chosen: Any = made.method.hyperparameters()["chosen"]
    assert len(chosen) == round(0.3 * blocks * heads)
    push = np.zeros((blocks, heads, cut[0].shape[-1]))
    for one in chosen:
        a, b = (x[:, one // heads, one % heads] for x in cut)
        theta = a.mean(0) - b.mean(0)
        theta /= np.linalg.norm(theta)
        push[one // heads, one % heads] = 2.0 * np.concatenate([a @ theta, b @ theta]).std() * theta
    flat = torch.from_numpy(push.reshape(blocks, -1)).float()
    expected = edited(model, "heads", lambda t, z: z + 0.7 * flat[t], IDS)
    close(steered(model, made, 0.7), expected)


def test_heads_are_ranked_by_a_probe_on_examples_left_out() -> None:
    def world(seed: int) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        sides = torch.randn(2, 40, 6, 3, generator=rng, dtype=torch.float64)
        sides[0, :, 4, 1] += 3.0  # one of the six knows which side it is
        return sides[0], sides[1]

    from steersman.methods.choosing import probe_accuracy

    desired, undesired = world(0)
    found = probe_accuracy(desired, undesired)
    assert int(found.argmax()) == 4
    fresh = world(1)
    both_sides = np.concatenate([desired[:, 4].numpy(), undesired[:, 4].numpy()])
    probe = LogisticRegression(max_iter=1000).fit(both_sides, [1] * 40 + [0] * 40)
    truth = probe.score(np.concatenate([x[:, 4].numpy() for x in fresh]), [1] * 40 + [0] * 40)
    assert abs(float(found[4]) - truth) < 0.1


@pytest.mark.parametrize("site", ["heads", "mlp", "attention-norm"])
def test_coordinates_are_multiplied_where_they_are(
    site: Site, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    desired, undesired = both(model, tiny_tokenizer, site)
    above, below = (desired > undesired).mean(0), (desired < undesired).mean(0)
    beta = np.where(above < below, -below, above)
    order = np.argsort(-np.abs(beta).ravel(), kind="stable")[:5]
    gain = np.zeros_like(beta)
    gain.ravel()[order] = 0.3 * beta.ravel()[order]
    steering = fitted(model, tiny_tokenizer, AUSteer(k=5, alpha=0.3, site=site))
    rows = torch.from_numpy(1 + 0.5 * gain).float()
    close(steered(model, steering, 0.5), edited(model, site, lambda t, z: z * rows[t], IDS))


@pytest.mark.parametrize("site", ["attention-norm", "mlp-norm"])
def test_a_norms_output_is_turned_to_the_angle_asked_for(
    site: Site, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    desired, undesired = (x.mean(0) for x in both(model, tiny_tokenizer, site))
    steering = fitted(model, tiny_tokenizer, AngularSteering(site=site))

    def turn(t: int, z: Tensor) -> Tensor:
        v = desired[t] - undesired[t]
        if not v.any():  # both sides end in the same word, which is all that block 0 knows
            return z
        v /= np.linalg.norm(v)
        w = desired[t] + undesired[t]
        w -= (w @ v) * v
        w /= np.linalg.norm(w)
        start, end = (np.arctan2(x[t] @ v, x[t] @ w) for x in (undesired, desired))
        x = z[0].double().numpy()
        a, b = x @ w, x @ v
        angle, length = start + 0.6 * (end - start), np.hypot(a, b)
        new = x + np.outer(length * np.cos(angle) - a, w) + np.outer(length * np.sin(angle) - b, v)
        np.testing.assert_allclose(np.linalg.norm(new, axis=1), np.linalg.norm(x, axis=1))
        return torch.from_numpy(new).to(z)[None]

    found = steered(model, steering, 0.6, reference="absolute")
    close(found, edited(model, site, turn, IDS))


def test_a_function_vector_is_the_sum_of_the_heads_that_make_the_answer_likelier(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    pairs, heads = examples(tiny_tokenizer), model.config.num_attention_heads
    mean = torch.from_numpy(held(model, tiny_tokenizer, pairs.desired, "heads").mean(0))
    blocks, width = mean.shape
    size, effects = width // heads, []

    def said(text: Any, patched: int | None = None) -> Tensor:
        def put(t: int, z: Tensor) -> Tensor:
            if patched is not None and t == patched // heads:
                mine = slice(patched % heads * size, (patched % heads + 1) * size)
                z = z.clone()
                z[0, -1, mine] = mean[t, mine].float()
            return z

        ids = tiny_tokenizer(text, return_tensors="pt")["input_ids"]
        return edited(model, "heads", put, ids)[0, -1].double().softmax(-1)

    answers = [int(said(text).argmax()) for text in pairs.desired[:4]]
    bare = [said(text)[y] for text, y in zip(pairs.undesired[:4], answers, strict=True)]
    for head in range(blocks * heads):
        found = [said(text, head)[y] for text, y in zip(pairs.undesired[:4], answers, strict=True)]
        effects.append(float(sum(a - b for a, b in zip(found, bare, strict=True))) / 4)
    best = np.argsort(-np.array(effects), kind="stable")[:3]
    made = fitted(model, tiny_tokenizer, FunctionVectors(heads=3, trials=4))
    chosen: Any = made.method.hyperparameters()["chosen"]
    assert sorted(chosen) == sorted(best.tolist())
    vector = torch.zeros(model.config.hidden_size, dtype=torch.float64)
    for head in best:
        block, mine = head // heads, slice(head % heads * size, (head % heads + 1) * size)
        W = modules(model, "heads")[block].weight.double()
        vector += W[:, mine] @ mean[block, mine]
    block = blocks // 3
    torch.testing.assert_close(made.plan[block].double(), vector.detach(), rtol=1e-4, atol=1e-6)
    assert made.controller.active == (block,)


def test_where_a_norm_follows_the_projection_heads_add_what_it_makes_of_them(
    tiny_model: Models,
) -> None:
    model: Any = tiny_model("gemma2")
    width = model.config.num_attention_heads * model.config.head_dim
    a = torch.randn(
        model.config.num_hidden_layers, width, generator=torch.Generator().manual_seed(0)
    )
    layers = model.model.layers
    with torch.no_grad():
        expected = torch.stack(
            [
                layer.post_attention_layernorm(layer.self_attn.o_proj(row))
                for layer, row in zip(layers, a, strict=True)
            ]
        )
    torch.testing.assert_close(mixed_heads(model, a), expected, rtol=1e-4, atol=1e-5)


def test_fitting_inside_takes_one_pass_over_the_examples_and_with_a_cache_none(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model: Any = tiny_model("llama")
    seen: list[int] = []
    handle = model.model.layers[0].register_forward_pre_hook(
        lambda m, a, k: seen.append(len((a[0] if a else k["hidden_states"])[:, 0])),
        with_kwargs=True,
    )
    try:
        made = fitted(model, tiny_tokenizer, ITI(), cache=tmp_path)
        # A row of a few tokens finds out how wide the heads are; then each example runs once.
        assert sum(seen) == 1 + 16
        seen.clear()
        again = fitted(model, tiny_tokenizer, ITI(), cache=tmp_path)
        assert sum(seen) == 1
    finally:
        handle.remove()
    assert torch.equal(made.controller.plan, again.controller.plan)


def test_vectors_of_the_residual_stream_are_not_made_of_what_acts_inside(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    made = fitted(tiny_model("llama"), tiny_tokenizer, ITI())
    with pytest.raises(InputError, match=r"iti acts on 'heads'.*together"):
        2 * made


def test_two_sites_are_steered_side_by_side(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model: Any = tiny_model("llama")
    first = fitted(model, tiny_tokenizer, AUSteer(6, 0.5, "heads"))
    second = fitted(model, tiny_tokenizer, AUSteer(6, 0.5, "mlp"))
    gains = [one.controller.own["omega"] for one in (first, second)]
    together = sm.together({"heads": first, "mlp": second})
    with torch.no_grad(), together.attach(model, {"heads": 1.0, "mlp": 1.0}, tokens="all"):
        found = model(IDS).logits
    handles = [
        layer.mlp.down_proj.register_forward_hook(lambda m, a, out, t=t: out * gains[1][t])
        for t, layer in enumerate(model.model.layers)
    ]
    expected = edited(model, "heads", lambda t, z: z * gains[0][t], IDS)
    for handle in handles:
        handle.remove()
    close(found, expected)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "opt"])
def test_a_push_on_heads_is_the_bias_that_the_projection_makes_of_it(
    kind: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model(kind)
    made = fitted(model, tiny_tokenizer, ITI(share=0.4, alpha=2.0))
    expected = steered(model, made, 0.7)
    with made.compile(model, 0.7, tokens="all").apply(model), torch.no_grad():
        close(model(IDS).logits, expected)
    delta = made.compile(model, 0.7, tokens="all")
    if kind == "llama":  # what the published code leaves out is the projection itself
        block = made.controller.active[0]
        W: Any = modules(model, "heads")[block].weight
        bias: Any = next(v for k, v in delta.changes.items() if f"layers.{block}." in k)
        expected_bias = W @ (0.7 * made.controller.plan[block, :, 0])
        torch.testing.assert_close(bias.added, expected_bias, rtol=1e-4, atol=1e-6)


def test_at_some_tokens_a_push_on_heads_is_a_bias_only_approximately(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, ITI(share=0.4, alpha=2.0))
    assert made.compilable(model, 1.0, tokens="last").verdict == "approximate"
    assert made.compilable(model, 1.0, tokens="all").verdict == "exact"


@pytest.mark.parametrize("state", [0, 1, 2, 3])
def test_a_condition_is_decided_before_anything_acts_inside(
    state: int, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, AUSteer(6, 0.5, "heads"))
    ids = torch.stack([IDS[0], IDS[0].flip(0)])
    x = torch.stack([capture_sequence(model, row[None], [9])[0, state] for row in ids])
    c = x[0] / x[0].norm()
    similar = x @ c / x.norm(dim=1)
    condition = Resembles(c, state, float(similar.mean()), "above", "cosine", "last")
    with torch.no_grad(), made.when(condition).attach(model, 1.0, tokens="all") as run:
        found = model(ids).logits
    with torch.no_grad(), made.attach(model, 1.0, tokens="all"):
        every = model(ids).logits
    with torch.no_grad():
        bare = model(ids).logits
    assert run.trace.fired is not None and run.trace.fired.tolist() == [True, False]
    torch.testing.assert_close(found, torch.stack([every[0], bare[1]]))


def test_a_site_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="site is 'nose'; choose one of block, heads"):
        site_named("nose")


def test_heads_of_another_model_are_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    made = fitted(tiny_model("llama"), tiny_tokenizer, ITI())
    with pytest.raises(MismatchError):
        made.attach(tiny_model("qwen3"))


def test_a_block_that_does_without_its_site_is_told_of_with_and_without_a_nominal_run(
    tiny_tokenizer: Any,
) -> None:
    model: Any = fresh_model("llama", num_hidden_layers=2)
    steering = fitted(model, tiny_tokenizer, AngularSteering(site="mlp-norm"))
    for reference in ("relative", "absolute"):
        norm = model.model.layers[0].post_attention_layernorm
        with (
            steering.attach(model, 1.0, reference=reference, trace=False),
            pytest.raises(ArchitectureError, match="'mlp-norm' in 1 of 2 blocks"),
        ):
            model.model.layers[0].post_attention_layernorm = nn.Identity()
            model(IDS)
        model.model.layers[0].post_attention_layernorm = norm
