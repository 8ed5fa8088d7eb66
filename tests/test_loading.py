import pytest
import torch

from steersman.errors import InputError, UnknownNameError
from steersman.loading import load


@pytest.fixture
def folder(tmp_path, tiny_model, tiny_tokenizer):
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_gives_a_model_ready_to_use_and_its_tokenizer(folder, tiny_model):
    model, tokenizer = load(str(folder))
    assert not model.training
    assert tokenizer("the cat")["input_ids"][0] == tokenizer.bos_token_id
    expected = tiny_model("llama").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_the_precision_can_be_chosen(folder):
    assert load(str(folder), "bfloat16")[0].dtype == torch.bfloat16


def test_a_precision_that_does_not_exist_is_refused_first():
    with pytest.raises(UnknownNameError, match="float16"):
        load("no/such-model", "int3")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load(str(tmp_path / "nowhere"))


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "toaster"}')
    with pytest.raises(InputError, match="cannot be loaded"):
        load(str(tmp_path))
