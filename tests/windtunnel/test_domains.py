"""Prompts of the world by domain."""

import pytest

from steersman.errors import InputError
from steersman.windtunnel import domains, names


@pytest.mark.parametrize("count", [1, 9])
def test_every_domain_has_as_many_different_prompts(count):
    found = domains(0, count)
    assert tuple(found) == names()
    assert all(len(set(texts)) == count for texts in found.values())


def test_each_other_prompt_ends_at_a_full_stop(count=8):
    for texts in domains(1, count).values():
        stops = [text.endswith(" .") for text in texts]
        assert 2 <= sum(stops) <= 6


def test_the_seed_decides():
    assert domains(3, 4) == domains(3, 4) != domains(4, 4)


def test_no_prompt_is_refused():
    with pytest.raises(InputError, match="0 prompts"):
        domains(0, 0)
