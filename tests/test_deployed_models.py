"""Models as people deploy them: adapted by PEFT, quantised by torchao, offloaded by accelerate."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.invariants import check_all
from steersman.plant import average, capture_states

Models = Callable[[str], PreTrainedModel]

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def llama(tiny_model: Models) -> PreTrainedModel:
    return copy.deepcopy(tiny_model("llama"))


def fitted(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, method: str = "a-lqr"
) -> sm.Steering:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )
    return sm.fit(model, tokenizer, pairs, method=method, progress=False)


def steered_logits(model: torch.nn.Module, steering: sm.Steering) -> torch.Tensor:
    ids = torch.tensor([[1, 5, 9, 14]])
    with steering.attach(model, 1.0, tokens="all", trace=False), torch.no_grad():
        return torch.as_tensor(model(input_ids=ids).logits)


def test_an_adapted_model_is_steered_like_the_same_model_merged(
    llama: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    torch.manual_seed(0)
    config = LoraConfig(
        target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    adapted = get_peft_model(llama, config).eval()
    merged = copy.deepcopy(adapted).merge_and_unload()
    over, plain = fitted(adapted, tiny_tokenizer), fitted(merged, tiny_tokenizer)
    assert torch.allclose(over.gains, plain.gains, atol=1e-4)
    assert torch.allclose(steered_logits(adapted, over), steered_logits(merged, plain), atol=1e-3)
    assert all(check.holds for check in check_all(adapted, tiny_tokenizer))


@pytest.mark.parametrize(("bits", "alike"), [(8, 0.99), (4, 0.9)])
def test_a_quantised_model_is_fitted_and_steered(
    bits: int, alike: float, llama: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    plain = fitted(llama, tiny_tokenizer)
    four = quantization.IntxWeightOnlyConfig(
        weight_dtype=torch.int4, granularity=quantization.PerGroup(16)
    )
    quantization.quantize_(llama, quantization.Int8WeightOnlyConfig() if bits == 8 else four)
    quantised = fitted(llama, tiny_tokenizer)
    near = torch.cosine_similarity(quantised.gains[1:], plain.gains[1:])
    assert bool((near > alike).all()), near
    assert all(check.holds for check in check_all(llama, tiny_tokenizer))


def partly_on_disk(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with its second block's weights on disk."""
    places = dict.fromkeys(
        ("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), "cpu"
    )
    places |= {f"model.layers.{i}": ("cpu", "disk")[i % 2] for i in range(3)}
    offloaded = dispatch_model(model, places, main_device="cpu", offload_dir=str(folder))
    assert next(offloaded.model.layers[1].parameters()).device.type == "meta"
    return offloaded


@pytest.mark.parametrize("method", ["a-lqr", "feature-lqr"])
def test_a_model_partly_on_disk_is_steered_like_one_in_memory(
    method: str, llama: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    plain = fitted(llama, tiny_tokenizer, method)
    expected = steered_logits(llama, plain)
    offloaded = partly_on_disk(llama, tmp_path)
    steering = fitted(offloaded, tiny_tokenizer, method)
    assert torch.equal(steering.gains, plain.gains)
    assert torch.equal(steered_logits(offloaded, steering), expected)


def test_a_model_partly_on_disk_is_the_same_plant(
    llama: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    prompts = ["the cat sat on the mat", "the bird"]
    columns = torch.randn(llama.config.hidden_size, 3, generator=torch.Generator().manual_seed(0))

    def known(model: torch.nn.Module) -> list[torch.Tensor]:
        plant = average(model, tiny_tokenizer, prompts)
        products = [f(t, columns) for t in range(plant.blocks) for f in (plant.vjp, plant.jvp)]
        matrices = sm.identify(model, tiny_tokenizer, prompts, progress=False).A
        return [matrices, capture_states(model, tiny_tokenizer, prompts), *products]

    in_memory = known(llama)
    for found, expected in zip(known(partly_on_disk(llama, tmp_path)), in_memory, strict=True):
        assert torch.equal(found, expected)
    assert next(llama.model.layers[1].parameters()).device.type == "meta"
