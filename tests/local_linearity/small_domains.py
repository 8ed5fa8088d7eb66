"""Six prompts of two domains, in words that the tiny tokenizer knows."""

from collections.abc import Callable

from torch import Tensor
from transformers import PreTrainedModel

DOMAINS = {
    "pets": ("the cat sat on the mat", "a dog ran and the bird sat", "the bird said the cat ran"),
    "homes": ("the red house is big and warm", "a house in the tree", "the small house on the mat"),
}
"""One of each domain ends in the same word, and all others in words of their own."""

Answer = Callable[[PreTrainedModel, Tensor, int, Tensor], Tensor]
"""Model, ids, block and step -> the block's output at the last token."""
