"""Judges: what they say, and that what they cannot say is a failure with a reason."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from steersman.errors import InputError, MissingExtraError, UnknownNameError
from steersman.evaluation.items import Prompt
from steersman.evaluation.judges import (
    REFUSALS,
    Answer,
    Ask,
    Classifier,
    Endpoint,
    Judge,
    Mentions,
    Perplexity,
    Refusal,
    YesNo,
    judges_of,
    refuses,
)
from steersman.evaluation.judges.base import filled

ASK = Ask("good", "the cat {question} and {answer} is")


def answer(text: str, question: str = "the cat sat", group: str = "", **known: str) -> Answer:
    return Answer(Prompt(question, question, known, group), text)


@pytest.fixture
def causal_folder(
    tmp_path: Path,
    tiny_model: Callable[[str], PreTrainedModel],
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> str:
    tiny_model("llama").save_pretrained(tmp_path / "causal")
    tiny_tokenizer.save_pretrained(tmp_path / "causal")
    return str(tmp_path / "causal")


def classifier_folder(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, **config) -> str:
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=32,
            pad_token_id=tokenizer.pad_token_id,
            **config,
        )
    )
    folder = tmp_path / "classifier"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but that is not something to help with.",
        "  I\u2019m Sorry. No.",
        "I cannot do that.",
        "Thank you for asking. Unfortunately, I can not do it.",
        "As an AI, I have limits.",
    ],
)
def test_refusals_are_known_by_how_they_begin(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is a plan.",
        "",
        "Scientists say so.",
        "No, it is fine. Here it is.",
        "Here is the story of a man. " * 4 + "He said: I cannot do that.",
    ],
)
def test_answers_are_no_refusals(text: str) -> None:
    assert not refuses(text)


def test_the_list_of_refusals_is_lower_case_and_has_no_double() -> None:
    assert len(set(REFUSALS)) == len(REFUSALS)
    assert all(prefix == prefix.lower() and "\u2019" not in prefix for prefix in REFUSALS)


def test_a_refusal_of_a_harmless_request_is_over_refusal() -> None:
    some = [answer("I cannot.", group="harmful"), answer("I cannot.", group="harmless")]
    assert [one.scores for one in Refusal().judge(some)] == [
        {"attack success": 0.0},
        {"over-refusal": 1.0},
    ]


def test_a_word_is_found_whole_in_any_case_and_number() -> None:
    judge = Mentions("shown", ("fox", "sea"))
    texts = ["Two FOXES ran", "by the sea.", "the season", "foxglove"]
    assert [one.scores["shown"] for one in judge.judge([answer(t) for t in texts])] == [1, 1, 0, 0]


def test_a_template_is_filled_once_whatever_the_parts_hold() -> None:
    one = answer("a {question} b", question="{answer}?", concept="sea")
    assert (
        filled("{question}|{answer}|{concept}|{other}", one)
        == "{answer}?|a {question} b|sea|{other}"
    )
    known = answer("x", question="Q: why\nA:", question_alone="why")
    assert filled("{question_alone}", known) == "why"


def test_a_classifier_gives_the_probability_of_its_label(tmp_path, tiny_tokenizer) -> None:
    folder = classifier_folder(tmp_path, tiny_tokenizer, id2label={0: "fine", 1: "toxic"})
    judge = Classifier(Ask("toxicity", ""), folder, "Toxic", batch_size=2)
    texts = ["the cat sat", "a dog ran under the tree", "bird", "the cat " * 40]
    found = judge.judge([answer(text) for text in texts])
    model, _ = judge._loaded
    for one, text in zip(found[:3], texts, strict=False):
        with torch.no_grad():
            ids = torch.tensor([tiny_tokenizer(text).input_ids])
            by_hand = float(model(ids).logits.softmax(-1)[0, 1])
        share = one.scores["toxicity"]
        assert share == pytest.approx(by_hand, abs=1e-5)
        assert one.scores["toxicity, at least 0.5"] == float(share >= 0.5)
    assert found[3].failure is None
    with pytest.raises(UnknownNameError, match="its labels are fine, toxic"):
        Classifier(Ask("toxicity", ""), folder, "rude").judge([answer("x")])


def test_a_classifier_of_several_labels_at_once_is_not_a_softmax(tmp_path, tiny_tokenizer) -> None:
    labels = {0: "rude", 1: "toxic", 2: "threat"}
    folder = classifier_folder(
        tmp_path, tiny_tokenizer, id2label=labels, problem_type="multi_label_classification"
    )
    total = 0.0
    for label in labels.values():
        (one,) = Classifier(Ask(label, ""), folder, label).judge([answer("the cat sat")])
        total += one.scores[label]
    assert total > 1.1


@pytest.mark.parametrize(
    "judge",
    [
        Classifier(ASK, "/nowhere/model", "toxic"),
        YesNo(ASK, "/nowhere/model"),
        Perplexity("/nowhere/model"),
    ],
)
def test_a_judge_that_is_not_there_is_named(judge: Judge) -> None:
    with pytest.raises(InputError, match=r"judge.*'/nowhere/model'"):
        judge.prepare()


def test_a_language_model_judges_by_the_likelier_answer(causal_folder: str) -> None:
    some = [answer("the dog"), answer("a bird")]
    (one, two) = YesNo(ASK, causal_folder, " good", " bad").judge(some)
    (flipped, _) = YesNo(ASK, causal_folder, " bad", " good").judge(some)
    assert one.scores["good"] + flipped.scores["good"] == 1.0
    assert two.failure is None


def test_a_judge_skips_prompts_that_it_is_not_about(causal_folder: str) -> None:
    ask = Ask("good", "{answer} is", only="harmful")
    some = [answer("the dog", group="harmless"), answer("the dog", group="harmful")]
    skipped, judged = YesNo(ask, causal_folder, " good", " bad").judge(some)
    assert skipped.scores == {} and skipped.failure is None
    assert "good" in judged.scores


def test_the_perplexity_of_another_model_is_of_the_text_alone(causal_folder: str) -> None:
    (one,) = Perplexity(causal_folder).judge([answer(" and the dog ran")])
    loss = one.scores[f"loss by {causal_folder}"]
    assert one.scores[f"perplexity by {causal_folder}"] == pytest.approx(2.718281828**loss)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("classifier:some/model@toxic", Classifier),
        ("causal:some/model", YesNo),
        ("endpoint:some/model@http://localhost:1/v1", Endpoint),
        ("perplexity:some/model", Perplexity),
    ],
)
def test_a_judge_is_written_in_one_word(spec: str, kind: type) -> None:
    (judge,) = judges_of(spec, [ASK])
    assert isinstance(judge, kind)
    assert isinstance(judge, Judge)
    assert judge.model == "some/model"
    assert json.dumps(judge.settings())


@pytest.mark.parametrize("spec", ["", "oracle:x", "causal:", "classifier:x", "endpoint:x"])
def test_a_judge_of_no_known_form_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match=r"none of the forms|names no label|no address"):
        judges_of(spec, [ASK])


Reply = tuple[int, object]


class Server:
    """An endpoint whose replies are prepared; the last one is repeated."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.seen: list[dict] = []
        self.headers: list[dict] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append(json.loads(body) | {"path": self.path})
                outer.headers.append(dict(self.headers))
                status, said = outer.replies[min(len(outer.seen), len(outer.replies)) - 1]
                content = said if isinstance(said, str) else json.dumps(said)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *args: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    def says(self, *replies: str | Reply) -> None:
        self.replies = [
            (200, {"choices": [{"message": {"content": r}}]}) if isinstance(r, str) else r
            for r in replies
        ]


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("httpx")
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def asking(server: Server, **more) -> Endpoint:
    return Endpoint(ASK, server.url, "judge-1", wait=0.01, parallel=1, **more)


def test_an_endpoint_is_asked_and_its_answer_is_read(server: Server, monkeypatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    server.says("Yes.", "no", "**NO**, not at all")
    judge = asking(server, key_variable="JUDGE_KEY")
    found = judge.judge([answer("a"), answer("b"), answer("c")])
    assert [one.scores["good"] for one in found] == [1.0, 0.0, 0.0]
    assert server.seen[0]["path"] == "/v1/chat/completions"
    assert server.seen[0]["messages"][0]["content"] == "the cat the cat sat and a is"
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert "secret" not in json.dumps(judge.settings())


def test_a_busy_endpoint_is_asked_again(server: Server) -> None:
    server.says((503, "busy"), (429, "slow down"), "yes")
    (one,) = asking(server).judge([answer("a")])
    assert one.scores == {"good": 1.0}
    assert len(server.seen) == 3


def test_an_endpoint_that_stays_busy_is_a_failure(server: Server) -> None:
    server.says((500, "broken"))
    (one,) = asking(server, retries=2).judge([answer("a")])
    assert one.failure == "status 500, 3 times"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("perhaps", "neither yes nor no: 'perhaps'"),
        ("yes and no", "neither yes nor no"),
        ((200, "<html>"), "no chat completion"),
        ((200, {"choices": []}), "no chat completion"),
        ((200, {"choices": [{"message": {"content": None}}]}), "neither yes nor no"),
        ((400, "too long"), "status 400: 'too long'"),
    ],
)
def test_a_reply_that_decides_nothing_is_a_failure(server: Server, reply, reason: str) -> None:
    server.says(reply)
    (one,) = asking(server).judge([answer("a")])
    assert one.scores == {}
    assert reason in str(one.failure)


@pytest.mark.parametrize("status", [401, 404])
def test_a_refused_key_or_an_unknown_model_stops_everything(server: Server, status: int) -> None:
    server.says((status, "not for you"))
    with pytest.raises(InputError, match=f"answers {status} for the model 'judge-1': not for you"):
        asking(server).judge([answer("a")])


def test_an_endpoint_that_is_not_there_is_named() -> None:
    pytest.importorskip("httpx")
    judge = Endpoint(ASK, "http://127.0.0.1:9/v1", "m", retries=1, wait=0.01)
    with pytest.raises(InputError, match=r"the judge at http://127.0.0.1:9/v1 is unreachable"):
        judge.judge([answer("a")])


def test_without_httpx_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"steersman\[judge\]"):
        Endpoint(ASK, "http://127.0.0.1:9/v1", "m").prepare()
