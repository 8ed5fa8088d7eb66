from dataclasses import replace

from steersman.doctor import diagnose


def test_a_sound_model_is_healthy(tiny_model, tiny_tokenizer):
    found = diagnose(tiny_model("llama"), tiny_tokenizer, prompts=8)
    assert found.healthy
    assert (found.info.blocks, found.info.n) == (3, 32)
    assert found.cost.prompts == 8
    assert found.cost.seconds > 0


def test_one_failure_is_enough_to_be_ill(tiny_model, tiny_tokenizer):
    found = diagnose(tiny_model("llama"), tiny_tokenizer, prompts=1)
    *others, last = found.checks
    assert not replace(found, checks=(*others, replace(last, holds=False))).healthy
