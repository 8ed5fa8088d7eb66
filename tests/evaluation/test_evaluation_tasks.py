"""Tasks: disjoint splits, the forms of data that people have, and errors that name the field."""

import json
import os
from pathlib import Path

import pytest

from steersman.errors import InputError, UnknownNameError
from steersman.evaluation import task_named
from steersman.evaluation.items import Prompt, Question
from steersman.evaluation.splits import SCORING, SHARES, drawn, part_of, without
from steersman.evaluation.tasks.toxicity import ANY, MAXIMUM

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("STEERSMAN_SHARED", REPOSITORY.parent / "shared")) / "data"
shared = pytest.mark.skipif(not DATA.exists(), reason="the public data sets are not here")


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def rtp(path: Path, count: int = 200) -> Path:
    """Prompts in the form of RealToxicityPrompts."""
    rows = [
        {"filename": "x", "prompt": {"text": f"prompt number {i} says", "toxicity": i / count}}
        for i in range(count)
    ]
    return write_lines(path / "prompts.jsonl", rows)


def texts(items) -> set[str]:
    return {str(item.prompt if isinstance(item, Prompt) else item.context) for item in items}


def test_a_split_is_decided_by_the_words_alone() -> None:
    assert part_of("One  Text\n") == part_of("one text")
    found = [part_of(f"text number {i}") for i in range(3000)]
    for part, share in SHARES.items():
        assert found.count(part) / 3000 == pytest.approx(share, abs=0.04)
    assert {part_of(f"text {i}", SCORING) for i in range(99)} == {"validation", "test"}


def test_copies_are_left_out() -> None:
    assert without(["A b", "c", "a  B", "D"], ["d"], str) == ["A b", "c"]


def test_a_draw_is_without_replacement_and_by_its_seed() -> None:
    pool = list(range(50))
    assert sorted(drawn(pool, "x", 0, 80)) == pool
    assert drawn(pool, "x", 0, 9) == drawn(pool, "x", 0, 9) != drawn(pool, "x", 1, 9)
    assert drawn(pool, "x", 0, None) == tuple(pool)
    with pytest.raises(InputError, match="at least 1"):
        drawn(pool, "x", 0, 0)
    with pytest.raises(InputError, match="there are no prompts"):
        drawn([], "prompts", 0, None)


@pytest.mark.parametrize("name", ["toxicity", "truthfulness", "refusal", "knowledge"])
def test_the_wind_tunnels_splits_share_no_prompt(name: str) -> None:
    task = task_named(name)
    validation, test = (
        {t for seed in range(3) for t in texts(task.items(split, seed, 100))}
        for split in ("validation", "test")
    )
    assert not validation & test
    assert len(task.items("test", 0, 100)) == 100
    if name != "knowledge":
        pairs = task.pairs(0, 100)
        fitted = "\n".join(map(str, (*pairs.desired, *pairs.undesired)))
        # What both share are words, and marks such as <assistant>.
        lines = set(fitted.split("\n"))
        assert not [t for t in validation | test if max(t.split("\n"), key=len) in lines]


def test_requests_of_the_wind_tunnel_come_in_turn() -> None:
    groups = [item.group for item in task_named("refusal").items("validation", 0, 7)]
    assert groups == ["harmful", "harmless"] * 3 + ["harmful"]


def test_stories_share_their_openings_and_nothing_else() -> None:
    task = task_named("concepts:sea")
    ids = [item.id for split in ("validation", "test") for item in task.items(split, 0, 50)]
    assert len(set(ids)) == 100


def test_prompts_of_realtoxicityprompts_are_split_and_paired(tmp_path: Path) -> None:
    task = task_named("toxicity", rtp(tmp_path))
    parts = {split: texts(task.items(split, 0, None)) for split in ("fit", "validation", "test")}
    assert sum(map(len, parts.values())) == len(set().union(*parts.values())) == 200
    pairs = task.pairs(0, 1000)
    assert set(pairs.desired) | set(pairs.undesired) <= parts["fit"]
    assert all(int(text.split()[2]) <= 20 for text in pairs.desired)
    assert all(int(text.split()[2]) >= 160 for text in pairs.undesired)
    assert len(task.items("all", 0, None)) == 200


def test_the_maximum_over_samples_is_what_counts_with_many(tmp_path: Path) -> None:
    task = task_named("toxicity", rtp(tmp_path), recipe="rtp")
    assert task.recipe.samples == 25
    assert task.headline == MAXIMUM
    found = task.per_prompt([{"toxicity": 0.1}, {"toxicity": 0.7}, {"toxicity": 0.4}])
    assert found["toxicity"] == pytest.approx(0.4)
    assert (found[MAXIMUM], found[ANY]) == (0.7, 1.0)


def test_other_names_of_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "comments.csv"
    path.write_text("comment,toxic\n" + "\n".join(f"words {i},{i % 2 == 0}" for i in range(40)))
    with pytest.raises(InputError, match=r"comments.csv line 2 has no 'prompt.text' or 'text'"):
        task_named("toxicity", path)
    columns = {"comment": "text", "toxic": "toxicity"}
    task = task_named("toxicity", path, columns=columns)
    assert len(task.items("all", 0, None)) == 40
    assert task.pairs(0, 4).paired is False
    with pytest.raises(InputError, match="has no column 'remark'"):
        task_named("toxicity", path, columns={"remark": "text"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("toxicity", "RealToxicityPrompts"),
        ("truthfulness", "Correct Answers"),
        ("truthfulness:choices", "mc1_targets"),
        ("refusal", "harmful_train"),
        ("concepts:sea", "'concept' and 'sentence'"),
        ("knowledge", "SUBJECT_dev.csv"),
        ("fluency", "'text' or 'prompt'"),
    ],
)
def test_missing_data_name_the_path_and_the_form(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder") as absent:
        task_named(name, tmp_path / "nowhere")
    assert words in str(absent.value)
    with pytest.raises(InputError) as empty:
        task_named(name, tmp_path)
    assert words in str(empty.value)
    assert str(tmp_path) in str(empty.value)


def test_a_data_set_of_the_hub_is_downloaded(tmp_path: Path, monkeypatch) -> None:
    asked = []

    def download(repo: str, repo_type: str, allow_patterns: list[str]) -> str:
        asked.append((repo, repo_type))
        rtp(tmp_path)
        return str(tmp_path)

    monkeypatch.setattr("steersman.evaluation.sources.snapshot_download", download)
    task = task_named("toxicity", "allenai/real-toxicity-prompts")
    assert asked == [("allenai/real-toxicity-prompts", "dataset")]
    assert len(task.items("all", 0, None)) == 200


def test_a_data_set_that_cannot_be_downloaded_is_one_message(monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise OSError("no network\nsecond line")

    monkeypatch.setattr("steersman.evaluation.sources.snapshot_download", refuse)
    with pytest.raises(InputError, match=r"'owner/data' here.*no network Expected Real"):
        task_named("toxicity", "owner/data")


def test_what_belongs_to_data_is_refused_without() -> None:
    with pytest.raises(InputError, match="belong to a data set"):
        task_named("toxicity", recipe="alqr")
    with pytest.raises(UnknownNameError, match="there is no behaviour 'flying'"):
        task_named("flying")


def test_unknown_tasks_and_recipes_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="toxicity, truthfulness"):
        task_named("flying", tmp_path)
    with pytest.raises(UnknownNameError, match="choose alqr, plain, rtp"):
        task_named("toxicity", rtp(tmp_path), recipe="none")


def test_files_of_requests_that_overlap_are_made_disjoint(tmp_path: Path) -> None:
    for kind in ("harmful", "harmless"):
        for split, numbers in (("train", (0, 6)), ("val", (4, 9)), ("test", (7, 14))):
            rows = [{"instruction": f"do the {kind} thing {i}"} for i in range(*numbers)]
            (tmp_path / f"{kind}_{split}.json").write_text(json.dumps(rows))
    task = task_named("refusal", tmp_path)
    parts = [texts(task.items(split, 0, None)) for split in ("fit", "validation", "test")]
    assert [len(part) for part in parts] == [12, 6, 10]
    assert len(set().union(*parts)) == 28
    some = task.items("test", 0, 6)
    assert [one.group for one in some] == ["harmful", "harmless"] * 3
    assert some[0].prompt[0]["role"] == "user"
    pairs = task.pairs(0, 6)
    assert all("harmful" in example[0]["content"] for example in pairs.desired)
    plain = task_named("refusal", tmp_path, chat=False)
    assert isinstance(plain.items("test", 0, 1)[0].prompt, str)


def test_one_file_of_each_kind_is_split_by_words(tmp_path: Path) -> None:
    paths = {}
    for kind, column in (("harmful", "goal"), ("harmless", "instruction")):
        rows = [{column: f"a {kind} request {i}"} for i in range(60)]
        paths[kind] = write_lines(tmp_path / f"my_{kind}.jsonl", rows)
    task = task_named("refusal", paths)
    parts = [texts(task.items(split, 0, None)) for split in ("fit", "validation", "test")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 120
    alone = task_named("refusal", {"harmful": paths["harmful"]})
    assert {item.group for item in alone.items("test", 0, None)} == {"harmful"}
    with pytest.raises(InputError, match="harmful and harmless requests are needed"):
        alone.pairs(0, 5)
    with pytest.raises(InputError, match="evil is no kind"):
        task_named("refusal", {"evil": paths["harmful"]})


def test_concepts_fit_on_sentences_and_are_seen_in_stories(tmp_path: Path) -> None:
    path = tmp_path / "sentences.csv"
    rows = [f"{c},the {c} number {i} is here" for c in ("sea", "fire") for i in range(40)]
    path.write_text("concept,sentence\n" + "\n".join(rows))
    task = task_named("concepts:sea", path)
    assert {item.prompt for item in task.items("test", 0, 5)} == {"Once upon a time"}
    pairs = task.pairs(0, 10)
    assert all("sea" in text for text in pairs.desired)
    assert all("fire" in text for text in pairs.undesired)
    with pytest.raises(InputError, match="no sentences about 'wind'; it has sea, fire"):
        task_named("concepts:wind", path)


def exam(folder: Path, part: str, rows: list[str], header: bool = True) -> None:
    (folder / part).mkdir(exist_ok=True)
    head = ["question,choice0,choice1,choice2,choice3,answer"] if header else []
    (folder / part / f"high_art_{part}.csv").write_text("\n".join([*head, *rows]) + "\n")


def test_questions_of_mmlu_come_after_a_few_answered_ones(tmp_path: Path) -> None:
    exam(tmp_path, "dev", [f"Dev {i}?,a,b,c,d,{i % 4}" for i in range(5)])
    exam(tmp_path, "test", ['"Is it, so? ",w,x,y,z,2', "Another?,e,f,g,h,0"])
    (one, *_) = task_named("knowledge", tmp_path, shots=1).items("all", 0, None)
    assert isinstance(one, Question)
    assert one.context == (
        "The following are multiple choice questions (with answers) about high art.\n\n"
        "Dev 0?\nA. a\nB. b\nC. c\nD. d\nAnswer: A\n\n"
        "Is it, so?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    )
    assert one.choices == (" A", " B", " C", " D")
    assert one.right == (False, False, True, False)
    with pytest.raises(InputError, match="5"):
        task_named("knowledge", tmp_path, shots=6)


def test_mmlu_without_a_header_and_with_letters_is_read(tmp_path: Path) -> None:
    exam(tmp_path, "dev", ["Dev?,a,b,c,d,B"], header=False)
    exam(tmp_path, "test", ["Test?,a,b,c,d,D", "Two?,a,b,c,d,A"], header=False)
    items = task_named("knowledge", tmp_path).items("all", 0, None)
    assert [item.right.index(True) for item in items] == [3, 0]
    exam(tmp_path, "test", ["Test?,a,b,c,D"])
    with pytest.raises(InputError, match=r"high_art_test.csv row 2 has 5 cells"):
        task_named("knowledge", tmp_path)
    exam(tmp_path, "test", ["Test?,a,b,c,d,E"])
    with pytest.raises(InputError, match="the answer 'E'; expected 0 to 3 or A to D"):
        task_named("knowledge", tmp_path)


def test_a_broken_choice_of_truthfulqa_names_its_row(tmp_path: Path) -> None:
    rows = [{"question": "Why?", "mc1_targets": {"a": 1, "b": 0}, "mc2_targets": {"a": 0}}]
    path = tmp_path / "mc_task.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"mc_task.json row 0 has no true choice in 'mc2_targets'"):
        task_named("truthfulness:choices", path)
    path.write_text(json.dumps([{"question": "Why?", "mc1_targets": {"a": 1}}]))
    with pytest.raises(InputError, match=r"row 0 has no 'mc2_targets'; expected an object"):
        task_named("truthfulness:choices", path)


@shared
def test_the_public_files_are_read_whole() -> None:
    truth = task_named("truthfulness", DATA / "truthfulqa")
    assert len(truth.items("all", 0, None)) == 790
    choices = task_named("truthfulness:choices", DATA / "truthfulqa").items("all", 0, None)
    assert len(choices) == 2 * 790
    assert all(sum(c.right) == 1 for c in choices if not c.mass)
    assert choices[0].context.endswith("What happens to you if you eat watermelon seeds?\nA:")
    assert len(task_named("knowledge", DATA / "mmlu").items("all", 0, None)) == 14042
    requests = task_named("refusal", DATA / "refusal" / "splits")
    assert {item.group for item in requests.items("test", 0, 20)} == {"harmful", "harmless"}


@shared
def test_pairs_of_the_public_files_are_of_the_fitting_split() -> None:
    task = task_named("truthfulness", DATA / "truthfulqa")
    scored = texts(task.items("test", 0, None)) | texts(task.items("validation", 0, None))
    pairs = task.pairs(0, 200)
    assert len(pairs.desired) == 200
    assert not [p for p in pairs.desired if p.split("\nA:")[0] + "\nA:" in scored]


def lm_eval_choices() -> tuple[str, list[dict[str, str]]]:
    """The prompt of MC1 in lm-evaluation-harness as a template, and the examples in it."""
    yaml = pytest.importorskip("yaml")
    home = Path(pytest.importorskip("lm_eval").__file__).parent / "tasks" / "truthfulqa"
    template = yaml.safe_load((home / "truthfulqa_mc1.yaml").read_text())["doc_to_text"]
    shown = rendered(template, "Why?").removesuffix("Q: Why?\nA:").strip().split("\n\n")
    pairs = [one.removeprefix("Q: ").split("\nA: ") for one in shown]
    return template, [{"question": question, "answer": answer} for question, answer in pairs]


def rendered(template: str, question: str) -> str:
    from lm_eval.utils import apply_template

    return apply_template(template, {"question": question})


def choices_with(folder: Path, shots: list[dict[str, str]] | None, *questions: str):
    targets = {"yes": 1, "no": 0}
    rows = [{"question": q, "mc1_targets": targets, "mc2_targets": targets} for q in questions]
    (folder / "mc_task.json").write_text(json.dumps(rows))
    (folder / "shots.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in shots or ()))
    given = {} if shots is None else {"shots": folder / "shots.jsonl"}
    return task_named("truthfulness:choices", folder / "mc_task.json", **given)


def test_questions_with_choices_are_asked_as_in_the_evaluation_harness(tmp_path: Path) -> None:
    template, shots = lm_eval_choices()
    assert len(shots) == 6
    task = choices_with(tmp_path, shots, "Do birds fly?", "Is 1 + 1 = 2?")
    for item in task.items("all", 0, None):
        question = item.id.partition(" ")[2]
        assert item.context == rendered(template, question)
    assert "6 examples" in task.recipe.source
    assert task.settings()["data"]["shots"]["file"] == "shots.jsonl"


def test_no_examples_come_before_a_question_by_default(tmp_path: Path) -> None:
    task = choices_with(tmp_path, None, "Do birds fly?")
    assert {item.context for item in task.items("all", 0, None)} == {"Q: Do birds fly?\nA:"}
    assert "no examples" in task.recipe.source


def test_examples_are_a_file_for_truthfulness_and_a_number_for_knowledge(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shots.jsonl line 1 has no 'answer'; expected its ans"):
        choices_with(tmp_path, [{"question": "Why?"}], "Do birds fly?")
    with pytest.raises(InputError, match=r"shots is 6: truthfulness:choices has none of its own"):
        task_named("truthfulness:choices", tmp_path / "mc_task.json", shots=6)
    exam(tmp_path, "test", ["Test?,a,b,c,D"])
    with pytest.raises(InputError, match=r"of knowledge it is a number"):
        task_named("knowledge", tmp_path, shots="shots.jsonl")
