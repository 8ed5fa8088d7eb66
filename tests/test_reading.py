"""Reading states: once, at the same tokens, whatever the tokenizer makes of the joint."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import InputError, UnknownNameError
from steersman.methods import Counterfactual
from steersman.plant import HookSet, hidden_in, locate
from steersman.reading import Examples, decision_tokens, read_aligned, read_states

Models = Callable[[str], PreTrainedModel]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def words(tokenizer: Any) -> list[str]:
    return [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]


def aligned(tokenizer: Any, contexts: int = 2, continuations: int = 6) -> sm.AlignedPairs:
    """Contexts of two words, continuations of one, two or three."""
    known = words(tokenizer)
    texts = [" ".join(known[i : i + 1 + i % 3]) for i in range(2, 2 + continuations)]
    return sm.AlignedPairs.of(
        desired=[f"{known[-1 - i]} {known[-2 - i]}" for i in range(contexts)],
        undesired=[f"{known[-8 - i]} {known[-9 - i]}" for i in range(contexts)],
        continuations=texts,
        combine="product",
    )


def test_the_continuation_is_read_token_by_token(tiny_model: Models, tiny_tokenizer: Any) -> None:
    pairs = aligned(tiny_tokenizer)
    found = read_aligned(tiny_model("llama"), tiny_tokenizer, Examples.of(pairs), progress=False)
    lengths = [len(text.split()) for text in pairs.continuations]
    assert found.group.tolist() == [i for i, n in enumerate(lengths) for _ in range(n)]
    assert found.context is not None and found.continuation is not None
    assert found.context.tolist() == [pairs.context_labels[i] for i in found.group]
    assert found.continuation.tolist() == [pairs.continuation_labels[i] for i in found.group]
    # The same tokens, behind other contexts.
    assert torch.equal(found.desired[:, 0], found.undesired[:, 0])
    assert (found.desired[:, 1] != found.undesired[:, 1]).any(dim=-1).all()


def test_one_reading_serves_for_the_direction_too(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, examples = tiny_model("gpt2"), Examples.of(aligned(tiny_tokenizer))
    means = read_aligned(model, tiny_tokenizer, examples, progress=False).by_pair()
    for mine, theirs in zip(
        means, read_states(model, tiny_tokenizer, examples, progress=False), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_a_fit_reads_aligned_pairs_once(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, pairs = tiny_model("llama"), aligned(tiny_tokenizer)
    rows: list[int] = []
    with HookSet() as hooks:
        hooks.before(locate(model).modules[0], lambda a, k: rows.append(len(hidden_in(a, k))))
        method = Counterfactual(block=1, rank=1, ridge=0.1)
        sm.fit(model, tiny_tokenizer, pairs, method=method, batch_size=64, progress=False)
    # The rows of either side, and whatever proves the blocks on a single row.
    assert [count for count in rows if count > 1] == [len(pairs)] * 2


@pytest.mark.parametrize("method", ["counterfactual", "a-lqr", "feature-lqr"])
def test_aligned_pairs_fit_every_method(
    method: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, pairs = tiny_model("llama"), aligned(tiny_tokenizer)
    steering = sm.fit(model, tiny_tokenizer, pairs, method=method, progress=False)
    assert steering.provenance.positions == "response"
    assert steering.provenance.pairs == {"feature": (12, 12)}
    assert steering.provenance.pairs_hash == {"feature": pairs.fingerprint()}
    ids = torch.arange(6, 12)[None]
    with torch.no_grad():
        bare = model(ids).logits
        with steering.attach(model, 1.0, tokens="all"):
            assert not torch.equal(model(ids).logits, bare)


def test_conversations_are_read_at_the_answer(tiny_model: Models, tiny_tokenizer: Any) -> None:
    known = words(tiny_tokenizer)
    template = (
        "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
        "{% if add_generation_prompt %}assistant {% endif %}"
    )
    talk = [
        {"role": "user", "content": known[3]},
        {"role": "assistant", "content": f"{known[4]} {known[5]}"},
    ]
    pairs = sm.AlignedPairs.of(
        desired=[known[-1]],
        undesired=[f"{known[-2]} {known[-3]}"],
        continuations=[talk],
        combine="zip",
    )
    before = tiny_tokenizer.chat_template
    tiny_tokenizer.chat_template = template
    try:
        examples = Examples.of(pairs)
        found = read_aligned(tiny_model("llama"), tiny_tokenizer, examples, progress=False)
        asked = sm.AlignedPairs(pairs.desired, pairs.undesired, [talk[:1]])
        last = read_aligned(tiny_model("llama"), tiny_tokenizer, Examples.of(asked), progress=False)
    finally:
        tiny_tokenizer.chat_template = before
    assert found.group.tolist() == [0, 0]
    assert last.group.tolist() == [0]


def test_pairs_are_told_apart_by_what_both_sides_end_in(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    known = words(tiny_tokenizer)
    ends = [f"{known[2]} {known[0]}", f"{known[3]} {known[0]}", f"{known[2]} {known[0]}"]
    pairs = sm.ContrastivePairs(
        desired=[f"{known[-1]} {end}" for end in ends],
        undesired=[f"{known[-2]} {end}" for end in ends],
    )
    found = read_aligned(tiny_model("llama"), tiny_tokenizer, Examples.of(pairs), progress=False)
    assert found.continuation is not None and found.continuation.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("positions", "says"),
    [
        ("all", "pair 0 is not aligned: its sides are read at the tokens"),
        ("marker:nowhere", "selects no token"),
    ],
)
def test_tokens_that_are_not_the_same_are_refused_with_the_pair_and_the_tokens(
    positions: str, says: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    pairs = aligned(tiny_tokenizer)
    with pytest.raises(InputError, match=says):
        sm.fit(
            tiny_model("llama"),
            tiny_tokenizer,
            pairs,
            method="counterfactual",
            positions=positions,
            progress=False,
        )


def test_a_joint_that_grows_together_is_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    known = words(tiny_tokenizer)
    # The last word of one side is cut in two by where its continuation starts.
    examples = Examples(
        sm.ContrastivePairs([f"{known[2]} {known[3]}"], [f"{known[4]} {known[5]}"], paired=True),
        Examples.of(aligned(tiny_tokenizer)).positions,
        openings=((f"{known[2]} {known[3][:1]}",), (f"{known[4]} ",)),
    )
    with pytest.raises(InputError, match=f"'{known[3]}' and '{known[5]}'.*line break"):
        read_aligned(tiny_model("llama"), tiny_tokenizer, examples, progress=False)


def test_too_few_contexts_and_continuations_cannot_be_left_out(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    pairs = aligned(tiny_tokenizer, contexts=3, continuations=4)
    with pytest.raises(InputError, match="3 pairs cannot be left out in 5 parts"):
        sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, method="counterfactual", progress=False)


def test_the_tokens_of_a_few_endings_are_those_where_the_behaviour_is_decided(
    tiny_tokenizer: Any,
) -> None:
    few = Examples.of(aligned(tiny_tokenizer, continuations=3))
    assert 1 <= len(decision_tokens(tiny_tokenizer, few)) <= 8
    many = Examples.of(aligned(tiny_tokenizer, continuations=15))
    assert decision_tokens(tiny_tokenizer, many) == ()


def test_an_unknown_rule_or_observer_is_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    pairs = aligned(tiny_tokenizer)
    with pytest.raises(UnknownNameError, match="no position rule is called 'middle'"):
        Examples.of(pairs, "middle")
    with pytest.raises(UnknownNameError, match="no rule 'median'"):
        sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, observer="median", progress=False)
