import pytest
import torch
from tiny_models import tiny_model, tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from steersman.errors import ArchitectureError, InputError
from steersman.invariants import check_all


def failures(model, tokenizer):
    return {check.name: check for check in check_all(model, tokenizer) if not check.holds}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_hold_on_a_sound_model(dtype, tiny_tokenizer_without_pad):
    checks = check_all(tiny_model("llama").to(dtype), tiny_tokenizer_without_pad)
    assert len(checks) == 15
    assert all(check.holds for check in checks), "\n".join(map(str, checks))


def test_a_random_steering_is_the_same_for_the_same_seed(tiny_tokenizer):
    model = tiny_model("qwen2")
    assert check_all(model, tiny_tokenizer, seed=1) == check_all(model, tiny_tokenizer, seed=1)


def test_nothing_random_is_drawn_from_the_global_generator(tiny_tokenizer):
    model = tiny_model("llama")
    before = torch.get_rng_state()
    check_all(model, tiny_tokenizer)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_changes_is_found_out(tiny_tokenizer):
    model = tiny_model("llama")

    def learn(*_):
        model.lm_head.weight.data += 1e-3

    model.register_forward_hook(learn)
    found = failures(model, tiny_tokenizer)
    assert "lm_head.weight" in found["the model is not changed"].detail


def test_a_flag_that_changes_is_found_out(tiny_tokenizer):
    model = tiny_model("llama")

    def freeze(*_):
        model.model.layers[1].requires_grad_(False)

    model.register_forward_hook(freeze)
    assert "the model is not changed" in failures(model, tiny_tokenizer)


def test_rows_that_touch_each_other_are_found_out(tiny_tokenizer):
    model = tiny_model("llama")
    mix = lambda module, args, output: output + 0.1 * output.mean(0)  # noqa: E731
    model.model.layers[1].register_forward_hook(mix)
    assert "rows of one batch do not touch each other" in failures(model, tiny_tokenizer)


def test_an_input_that_is_lost_on_the_way_is_found_out(tiny_tokenizer):
    model = tiny_model("llama")
    model.model.layers[2].register_forward_pre_hook(lambda module, args: (0 * args[0],))
    found = failures(model, tiny_tokenizer)
    assert "the blocks run once each, in order" in found


def test_blocks_that_share_one_module_are_found_out(tiny_tokenizer):
    model = tiny_model("llama")
    model.model.layers[2] = model.model.layers[0]
    assert "the blocks run once each, in order" in failures(model, tiny_tokenizer)


def test_a_model_without_a_cache_is_not_blamed_for_it(tiny_tokenizer):
    class Cacheless(LlamaForCausalLM):
        def forward(self, input_ids, attention_mask=None, position_ids=None):
            return super().forward(
                input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
            )

    config = LlamaConfig(**tiny_model("llama").config.to_dict())
    checks = {c.name: c for c in check_all(Cacheless(config).eval(), tiny_tokenizer)}
    assert all(check.holds for check in checks.values())
    assert checks["chunked prefill = one pass"].detail.startswith("not applicable")


def test_a_model_in_training_mode_is_refused(tiny_tokenizer):
    with pytest.raises(InputError, match="training"):
        check_all(tiny_model("llama").train(), tiny_tokenizer)


def test_something_that_is_no_language_model_is_refused():
    with pytest.raises(ArchitectureError):
        check_all(torch.nn.Linear(3, 3).eval(), tiny_tokenizer(pad=True))
