"""Pairs from anonymised prompts: with a name or an attribute, and without."""

import re
from collections.abc import Callable, Mapping, Sequence

from steersman.data.examples import Example, as_example
from steersman.data.pairs import ContrastivePairs
from steersman.errors import InputError


def anonymised_pairs(
    prompts: Sequence[Example], names: Mapping[str, str | Sequence[str]]
) -> ContrastivePairs:
    """Each prompt as it is, against the same one with its names replaced.

        desired[i, j] = prompt i,    undesired[i, j] = prompt i with the j-th replacements

    The contrast of these pairs is `mean_i (x(prompt i) - mean_j x(variant j of prompt i))`: what
    the names add to the state. All names in a prompt are replaced at once, a longer name before a
    shorter one within it, whole words only, upper and lower case as given.

    Args:
        prompts: texts, or conversations, every message of which is anonymised.
        names: what each name is replaced by: one text, or one for each variant, as many for every
            name that has several.

    Raises:
        InputError: no prompt or no name, a prompt in which none of the names stands, a name or
            replacement that is empty, or different numbers of variants.

    Source:
        Anonymised activation steering (arXiv 2411.02631) by a second-hand account; at which token
        it reads, and where and how strongly it adds, was not found out.
    """
    if isinstance(prompts, str):
        raise InputError("the prompts are one text; give a list.")
    if not prompts or not names:
        raise InputError("give at least one prompt, and at least one name that stands in it.")
    variants = [_replacing(variant) for variant in _variants(names)]
    desired, undesired = list[Example](), list[Example]()
    for i, prompt in enumerate(prompts):
        example = as_example(prompt, f"prompt {i}")
        for replaced in (_everywhere(example, change) for change in variants):
            if replaced == example:
                raise InputError(
                    f"prompt {i} has none of the names {', '.join(map(repr, names))}, or only what "
                    "it is replaced by: leave it out, or add the name that it has."
                )
            desired.append(example)
            undesired.append(replaced)
    return ContrastivePairs(desired, undesired, paired=True)


def _variants(names: Mapping[str, str | Sequence[str]]) -> list[dict[str, str]]:
    """For each variant, what every name becomes."""
    lists = {name: [to] if isinstance(to, str) else list(to) for name, to in names.items()}
    for name, to in lists.items():
        if not name.strip() or not to or not all(one.strip() for one in to):
            raise InputError(f"the name {name!r} or what replaces it, {to}, is empty.")
    counts = {len(to) for to in lists.values()} - {1}
    if len(counts) > 1:
        raise InputError(
            f"the names have {sorted(counts)} replacements: give each one, or as many as the rest."
        )
    count = counts.pop() if counts else 1
    return [{name: to[j % len(to)] for name, to in lists.items()} for j in range(count)]


def _replacing(variant: Mapping[str, str]) -> Callable[[str], str]:
    longest = sorted(variant, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
    return lambda text: pattern.sub(lambda found: variant[found.group()], text)


def _everywhere(example: Example, change: Callable[[str], str]) -> Example:
    if isinstance(example, str):
        return change(example)
    return tuple({**message, "content": change(message["content"])} for message in example)
