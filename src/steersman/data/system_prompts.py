"""Pairs from system prompts: the same questions, asked under two of them."""

from collections.abc import Sequence

from steersman.data.examples import Example, Message, as_example
from steersman.data.pairs import ContrastivePairs
from steersman.errors import InputError


def system_prompt_pairs(
    questions: Sequence[Example], *, desired: str, undesired: str | None = None
) -> ContrastivePairs:
    """The same questions under a desired and an undesired system prompt.

        desired[i] = system: desired, then question i;    undesired[i] = the same under the other

    Read at the last token, which is where the answer starts, their contrast is the system prompt's
    own vector: what it adds to the state at which the model decides what to say.

    Args:
        questions: what the user says, or conversations without a system prompt.
        desired: the system prompt under which the model behaves as it should.
        undesired: the other one; None is no system prompt at all, though a chat template may put
            one of its own in its place.

    Raises:
        InputError: no question, one that has a system prompt or cannot be used, an empty system
            prompt, or two that are the same.
    """
    if isinstance(questions, str):
        raise InputError("the questions are one text; give a list.")
    for name, prompt in (("desired", desired), ("undesired", undesired)):
        if prompt is not None and not prompt.strip():
            raise InputError(f"the {name} system prompt is empty: give it some text.")
    asked = [_asked(question, f"question {i}") for i, question in enumerate(questions)]
    if not asked:
        raise InputError("there is no question: give at least one.")
    if desired == undesired:
        raise InputError("both system prompts are the same: give two that differ.")
    return ContrastivePairs(
        [(*_system(desired), *one) for one in asked],
        [(*_system(undesired), *one) for one in asked],
        paired=True,
    )


def _system(prompt: str | None) -> tuple[Message, ...]:
    return () if prompt is None else ({"role": "system", "content": prompt},)


def _asked(question: Example, where: str) -> tuple[Message, ...]:
    example = as_example(question, where)
    if isinstance(example, str):
        return ({"role": "user", "content": example},)
    if example[0]["role"] == "system":
        raise InputError(f"{where} has a system prompt already: leave it out.")
    return tuple(example)
