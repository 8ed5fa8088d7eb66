"""Whatever the schema allows or forbids, the server answers as its schema says, and lives."""

from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("schemathesis") is None:
    pytest.skip("schemathesis is not installed", allow_module_level=True)

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from running_servers import Running, Start

from steersman.serving.limits import Limits

schema = schemathesis.pytest.from_fixture("served")


@pytest.fixture(scope="module")
def fuzzed(start: Start) -> Running:
    return start(Limits(body=20000, timeout=5.0))


@pytest.fixture
def served(fuzzed: Running) -> Any:
    return schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_no_request_is_an_error_of_the_servers(case: Any, fuzzed: Running) -> None:
    answer = case.call()
    assert answer.status_code < 500 or answer.status_code == 504, answer.text
    documented = case.operation.definition.raw["responses"]
    assert str(answer.status_code) in {*documented, "405"}
    assert httpx.get(f"{fuzzed.url}/health").status_code == 200
