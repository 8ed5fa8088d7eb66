"""The card of a saved steering: the README that people see on the hub."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from steersman.diagnostics import Diagnostic

_ADDRESS = "owner/name"
_HUB_MODEL = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)

_CARD = """\
---
library_name: steersman
{base_model}pipeline_tag: text-generation
tags:
- steersman
- steering
- optimal-control
- {method}
# license: yours to choose before you publish
---

# Steering for {model}

Made with steersman by the method `{method}`. It moves {features} of the residual stream of
{model} while the model runs; the model itself is not changed.

**What it steers.** {steers}
{gate}
## Use

```python
import steersman as sm
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({load})
tokenizer = AutoTokenizer.from_pretrained({load})
steering = sm.Steering.from_pretrained("{address}")
with steering.attach(model, target={target}):
    output = model.generate(**tokenizer("Once upon a time", return_tensors="pt"))
print(tokenizer.decode(output[0]))
```

{units} Nothing is left in the model after the `with` block.

## Separation by block

{separated}

{separation}

{coupling}{diagnostics}## Provenance

| | |
|---|---|
{provenance}

## Limits

- It fits this model only; another architecture, depth, width or vocabulary is refused. Other
  weights of the same shape (a fine-tune, a quantisation) are not refused, and not measured either.
- The feature is a proxy. That it moves does not show that behaviour does: measure what you care
  about, and what you do not want to change, before you rely on it.
- {calibrated} far larger ones leave the range in
  which the blocks are close to linear, and the text suffers.
- It is no safety mechanism: it can be taken off, and prompts can work against it.
"""

_WITH_EXAMPLES = {
    "steers": """\
{read} `{positions}`{observed}. The examples are not stored here: *say in a
sentence what the desired ones show.*""",
    "units": """\
`target` is in natural units: 0 leaves a feature as it is, 1 moves it as far as the desired
examples lie from the undesired ones.""",
    "separated": """\
`d'` is the distance between the two sides along the direction in pooled standard deviations,
estimated out of sample, with its standard error; below about 0.5 there is little to steer by.""",
    "calibrated": "`target=1.0` is calibrated on an average over the examples;",
}
_WITHOUT = {
    "steers": """\
It adds vectors that were given, and has seen no examples: *say in a sentence what they are
for.*""",
    "units": "`target` multiplies the vectors: 0 adds nothing, 1 adds them as they were given.",
    "separated": """\
Nothing is known of it: no examples were seen. The feature is how far a state lies along the
vector behind the block before.""",
    "calibrated": "`target=1.0` is the vectors as they were given, whatever they do;",
}


def card_of(manifest: Mapping[str, Any], tensors: Mapping[str, Float[Tensor, "..."]]) -> str:
    """The Markdown card of a steering, with the hub's front matter.

    Args:
        manifest: method, hyper-parameters and provenance.
        tensors: the direction's `contrast`, `separation` and `separation_se`.
    """
    made = manifest["provenance"]
    model, revision = str(made["model"]), str(made["revision"])
    # Models of the hub have a commit; a folder may be called like one, and has none. Nor is a path
    # on somebody's disk of any use to others, or perhaps for their eyes.
    on_hub = bool(revision) and _HUB_MODEL.fullmatch(model) is not None
    shown = _inline(model if on_hub else re.split(r"[/\\]", model)[-1]) or "(unnamed model)"
    load = json.dumps(shown) + (f", revision={json.dumps(revision)}" if revision else "")
    names = [str(name) for name in manifest["features"]]
    return _CARD.format(
        base_model=f"base_model: {json.dumps(model)}\n" if on_hub else "",
        method=_inline(manifest["method"]),
        model=shown,
        features="one feature" if len(names) == 1 else f"{len(names)} features",
        target=_target(names),
        gate=_gate(manifest.get("gate")),
        **_words(names, made),
        load=load,
        address=_ADDRESS,
        separation="\n\n".join(_separations(names, tensors)),
        coupling=_coupling(names, tensors),
        diagnostics="".join(_diagnostic(found) for found in manifest.get("diagnostics", ())),
        provenance="\n".join(_provenance(manifest, shown)),
    )


def addressed(card: str, repo: str) -> str:
    """The card with the repository's own name in its example."""
    return card.replace(f'from_pretrained("{_ADDRESS}")', f'from_pretrained("{repo}")')


def _gate(gate: Mapping[str, Any] | None) -> str:
    """Where it acts, where the steering says so, and how well its conditions tell prompts apart."""
    if gate is None:
        return ""
    scores = [
        f"{leaf['name']}, F1 {leaf['found'][0]:.2f} on the examples it was chosen on and "
        f"{leaf['found'][1]:.2f} on {sum(leaf['found'][3])} others"
        for leaf in _leaves(gate.get("condition"))
        if leaf.get("found")
    ]
    measured = f" ({'; '.join(map(_inline, scores))})" if scores else ""
    return f"\n**Where it acts.** {_inline(gate['sentence'])}{measured}.\n"


def _leaves(condition: Any) -> list[Mapping[str, Any]]:
    """The single conditions in a tree of them."""
    if not isinstance(condition, Mapping):
        return []
    for word in ("all", "any", "not"):
        if word in condition:
            parts = condition[word] if word != "not" else [condition[word]]
            return [leaf for part in parts for leaf in _leaves(part)]
    return [condition]


def _words(names: Sequence[str], made: Mapping[str, Any]) -> dict[str, str]:
    """What is said of the examples, or that there were none."""
    if not any(count for name in names for count in made["pairs"][name]):
        return _WITHOUT
    observed = made["observer"]
    steers = _WITH_EXAMPLES["steers"].format(
        read=_read(names, made["pairs"]),
        positions=_inline(made["positions"]),
        observed="" if observed == "mean" else f", observed by `{_inline(observed)}`",
    )
    return _WITH_EXAMPLES | {"steers": steers}


def _read(names: Sequence[str], pairs: Mapping[str, Sequence[int]]) -> str:
    """From how many examples the directions come."""
    sides = [f"{pairs[name][1]} undesired to {pairs[name][0]} desired examples" for name in names]
    if len(names) == 1:
        return f"The direction from {sides[0]}, read at"
    each = "; ".join(
        f"*{_inline(name)}*, from {side}" for name, side in zip(names, sides, strict=True)
    )
    return f"These directions: {each}; read at"


def _target(names: Sequence[str]) -> str:
    """What an example asks for: one unit of the first feature, the others held."""
    if len(names) == 1:
        return "1.0"
    asked = (f"{json.dumps(name)}: {float(i == 0)}" for i, name in enumerate(names))
    return f"{{{', '.join(asked)}}}"


def _separations(names: Sequence[str], tensors: Mapping[str, Tensor]) -> list[str]:
    """A table for each feature."""
    head = "| state | d' | standard error | length of the contrast |\n|---|---|---|---|\n"
    titles = [f"### {_inline(name)}\n\n" if len(names) > 1 else "" for name in names]
    return [f"{title}{head}" + "\n".join(_rows(tensors, i)) for i, title in enumerate(titles)]


def _coupling(names: Sequence[str], tensors: Mapping[str, Tensor]) -> str:
    """What one unit of each feature does to the others; nothing for one feature."""
    if len(names) == 1 or "interaction" not in tensors:
        return ""
    moved = tensors["interaction"].tolist()
    head = ["one unit of", *(f"moves {name}" for name in names)]
    rows = [[name, *(f"{v:+.2f}" for v in row)] for name, row in zip(names, moved, strict=True)]
    return (
        "## Coupling\n\nHow far each feature moves after the last block, in natural units, where "
        "one of them\nalone is steered; steered together each moves by its own target.\n\n"
        f"{_table(head, rows)}\n\n"
    )


def _rows(tensors: Mapping[str, Tensor], feature: int) -> list[str]:
    found = (tensors["separation"], tensors["separation_se"], tensors["contrast"].norm(dim=1))
    columns = [tensor[:, feature] for tensor in found]
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    names = [f"input of block {t}" for t in range(len(rows) - 1)] + ["output of the last block"]
    return [f"| {name} | {_row(*row)} |" for name, row in zip(names, rows, strict=True)]


def _row(separation: float, error: float, length: float) -> str:
    if math.isinf(error):
        return f"not measured | | {length:.4g}"
    return f"{separation:.2f} | {error:.2f} | {length:.4g}"


def _diagnostic(found: Mapping[str, Any]) -> str:
    """One table with its heading."""
    made = Diagnostic(**found)
    table = _table(made.columns, made.texts())
    return f"## {_inline(made.name)}\n\n{_inline(made.sentence)}\n\n{table}\n\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_inline(cell) for cell in line)} |" for line in lines)


def _provenance(manifest: Mapping[str, Any], model: str) -> list[str]:
    made, names = manifest["provenance"], manifest["provenance"]["pairs_hash"]
    settings = ", ".join(f"{k} = {v}" for k, v in manifest["hyperparameters"].items())
    facts = {
        "model": f"{model} ({made['model_type']}, {made['blocks']} blocks, n = {made['n']})",
        "model revision": made["revision"] or "not known",
        "tokenizer, SHA-256": f"`{made['tokenizer_hash']}`",
        **{
            "pairs, SHA-256"
            if len(names) == 1
            else f"pairs of {_inline(name)}, SHA-256": f"`{sha}`"
            for name, sha in names.items()
        },
        "method": f"{manifest['method']} ({settings})" if settings else manifest["method"],
        "plant": f"averaged over {made['jacobian_prompts']} prompts"
        if made["jacobian_prompts"]
        else "none, or identified beforehand",
        "made with": ", ".join(f"{k} {v}" for k, v in made["libraries"].items()),
        "index convention": made["index_convention"],
    }
    return [f"| {name} | {_inline(fact)} |" for name, fact in facts.items()]


def _inline(text: object) -> str:
    """Text that stays within one cell of a table and one line."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
