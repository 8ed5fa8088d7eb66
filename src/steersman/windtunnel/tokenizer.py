"""The wind tunnel's tokenizer: a word is a token, and so is the end of a line."""

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast

from steersman.windtunnel import templates
from steersman.windtunnel.grammar import _sentences, words
from steersman.windtunnel.lexicon import CLASSES

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
MARKS = ("\n", "<system>", "<user>", "<assistant>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<' + message['role'] + '> ' + message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def vocabulary() -> list[str]:
    """Every token, special ones first, in a fixed order."""
    plain = {word for line in _sentences() for word in words(line.replace("{", " "))}
    slots = set(CLASSES) | {"}"}
    known = {word for line in _sentences() for word in line.split() if not word.startswith("{")}
    filled = {word for members in CLASSES.values() for word in members}
    spoken = (plain - slots) | known | filled
    return [*SPECIAL, *MARKS, *sorted(spoken - set(MARKS))]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer over `vocabulary` that starts every text with `<bos>`."""
    ids = {word: index for index, word in enumerate(vocabulary())}
    core = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", ids["<bos>"])]
    )
    core.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=True),
            decoders.Fuse(),
            decoders.Replace(" \n", "\n"),
            decoders.Replace("\n ", "\n"),
            decoders.Replace(" :", ":"),
        ]
    )
    core.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in MARKS])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


__all__ = ["CHAT_TEMPLATE", "build_tokenizer", "templates", "vocabulary"]
