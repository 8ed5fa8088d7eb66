"""What a trained model shows: linear nearby, and alike by the last token more than the domain."""

import os
from pathlib import Path

import pytest

from steersman.loading import load
from steersman.local_linearity import TEXTS, LinearityReport, linearity

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("STEERSMAN_SHARED", REPOSITORY.parent / "shared")) / "models"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["stories260K", "babyllama-tok105-1M"])
def report(request: pytest.FixtureRequest) -> LinearityReport:
    path = SHARED / request.param
    if not path.exists():
        pytest.skip(f"{request.param} is not here")
    model, tokenizer = load(str(path))
    texts = {name: texts[:4] for name, texts in TEXTS.items()}
    return linearity(model, tokenizer, texts, progress=False)


def test_a_block_is_linear_near_its_state_and_not_as_far_away_as_another_state(
    report: LinearityReport,
) -> None:
    share = report.remainders.own_of_increment
    near, far = (report.later(share[..., place]) for place in (0, -1))
    assert bool((near.mean < 0.05).all())
    assert bool((far.mean > 0.5).all())


def test_other_prompts_foretell_better_where_they_end_in_the_same_token(
    report: LinearityReport,
) -> None:
    found = {name: report.later(values).mean for name, values in report.remainders.at(0).items()}
    assert bool((found["own"] < found["by_token"]).all())
    assert bool((found["by_token"] < found["by_domain"]).all())


def test_the_last_token_makes_jacobians_alike_more_than_the_domain(
    report: LinearityReport,
) -> None:
    found = report.similarity(report.jacobian)
    token = found["other domain, same last token"].mean[1:]
    domain = found["same domain, other last token"].mean[1:]
    assert bool((token > domain + 0.2).all())
    assert bool((domain > report.jacobian.chance[1:]).all())
