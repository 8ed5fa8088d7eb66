"""TransformerLens: names and values of the residual stream, by an implementation of its own."""

from typing import Any

import pytest
import torch
from torch import Tensor

from steersman.methods import ActivationAddition
from steersman.plant import AllTokens, capture_tokens
from steersman.plant.writer_means import capture_writer_means
from steersman.plant.writers import writers

peer = pytest.importorskip("transformer_lens", reason="make test-peers installs it")
pytestmark = pytest.mark.peers


def lens(model: Any) -> Any:
    """The same weights in their own Llama, with nothing folded or centred."""
    from transformer_lens.pretrained.weight_conversions.llama import convert_llama_weights

    c = model.config
    heads = c.num_attention_heads
    config = peer.HookedTransformerConfig(
        d_model=c.hidden_size,
        d_head=c.hidden_size // heads,
        n_heads=heads,
        d_mlp=c.intermediate_size,
        n_layers=c.num_hidden_layers,
        n_ctx=c.max_position_embeddings,
        eps=c.rms_norm_eps,
        d_vocab=c.vocab_size,
        act_fn=c.hidden_act,
        n_key_value_heads=c.num_key_value_heads if c.num_key_value_heads != heads else None,
        normalization_type="RMS",
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=False,
        rotary_dim=c.hidden_size // heads,
        rotary_base=int(c.rope_parameters["rope_theta"]),
        final_rms=True,
        gated_mlp=True,
        original_architecture="LlamaForCausalLM",
        device="cpu",
        dtype=torch.float32,
    )
    found = peer.HookedTransformer(config)
    found.load_and_process_state_dict(
        convert_llama_weights(model, config),
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
    )
    return found.eval()


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.float(), expected.float(), rtol=1e-3, atol=2e-4)


@torch.no_grad()
def test_state_t_is_their_resid_pre_of_block_t_and_resid_post_of_the_one_before(
    subject: Any,
) -> None:
    text = subject.tuples[0][0]
    ids = torch.tensor([subject.tokenizer(text)["input_ids"]])
    _, theirs = lens(subject.model).run_with_cache(ids)
    found = capture_tokens(subject.model, subject.tokenizer, [text], AllTokens())
    places = found.position.tolist()
    for block in range(subject.model.config.num_hidden_layers):
        before, after = (theirs[f"blocks.{block}.hook_resid_{w}"][0] for w in ("pre", "post"))
        close(found.states[:, block], before[places])
        close(found.states[:, block + 1], after[places])


@torch.no_grad()
def test_activation_addition_is_their_hook_on_resid_post(subject: Any) -> None:
    block = 1
    made = subject.fit(ActivationAddition(block=block))
    v = made.plan[block]
    logits = lens(subject.model).run_with_hooks(
        subject.prompt,
        fwd_hooks=[(f"blocks.{block}.hook_resid_post", lambda x, hook: x + 2 * v)],
    )
    close(subject.logits(made, 2.0), logits)


@torch.no_grad()
def test_inputs_of_attention_outputs_are_their_heads_side_by_side(subject: Any) -> None:
    text = subject.tuples[0][0]
    ids = torch.tensor([subject.tokenizer(text)["input_ids"]])
    _, theirs = lens(subject.model).run_with_cache(ids)
    maps = [one for one in writers(subject.model).all if one.part == "attention"]
    given = (subject.model, subject.tokenizer)
    means = capture_writer_means(*given, maps, [text], AllTokens())
    places = capture_tokens(*given, [text], AllTokens()).position.tolist()
    assert len(maps) == subject.model.config.num_hidden_layers
    for one in maps:
        z = theirs[f"blocks.{one.block}.attn.hook_z"][0][places].flatten(1)
        close(means.inputs[one.name], z.mean(0))
