"""Whatever the schema allows or forbids, the server answers as its schema says, and lives."""

from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("schemathesis") is None:
    pytest.skip("schemathesis is not installed", allow_module_level=True)

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from running_servers import Running, Start
from schemathesis import GenerationMode

from steersman.serving.limits import Limits

EXAMPLES = 300
"""Of every route, in either mode."""
ROUTES = {
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "GET /v1/models",
    "GET /v1/steerings",
    "POST /v1/steerings",
    "DELETE /v1/steerings/{name}",
    "GET /health",
    "GET /metrics",
}


@pytest.fixture(scope="module")
def fuzzed(start: Start) -> Running:
    return start(Limits(body=20000, timeout=5.0))


def operations(server: Running) -> list[Any]:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_no_request_is_an_error_of_the_servers(fuzzed: Running, mode: GenerationMode) -> None:
    found = operations(fuzzed)
    assert {one.label for one in found} == ROUTES
    statuses: dict[str, set[int]] = {}

    def tried(operation: Any) -> None:
        documented = {*operation.definition.raw["responses"], "405"}

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
            derandomize=True,
            database=None,
        )
        @given(operation.as_strategy(generation_mode=mode))
        def answered(case: Any) -> None:
            answer = case.call()
            assert answer.status_code < 500 or answer.status_code == 504, answer.text
            assert str(answer.status_code) in documented, (answer.status_code, answer.text)
            statuses.setdefault(operation.label, set()).add(answer.status_code)

        answered()

    for operation in found:
        if mode is GenerationMode.POSITIVE or operation.body:
            tried(operation)
    assert httpx.get(f"{fuzzed.url}/health").status_code == 200
    assert fuzzed.idle()
    assert statuses["POST /v1/completions"] & {400, 404}
