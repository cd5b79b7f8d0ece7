"""Every card: the numbers that we published as holding are those that we measure, name by name."""

import pytest

from duhamel.papers import numbers, registry, runner
from duhamel.papers.card import Context

# Their fast checks take 10 seconds and more: `make slow`.
LONG = {
    *("chorus-plus", "fno-neural-operator", "general-covariance-aug", "gl-momentum", "inverse-stefan", "lmc-sqrt-d"),
    *("mgard", "mp-pde", "neural-des", "timestep-aligner"),
}
CARDED = [e.id for e in registry.select(state="carded")]


@pytest.mark.parametrize("id", [pytest.param(i, marks=pytest.mark.slow) if i in LONG else i for i in CARDED])
def test_the_numbers_stand(id):
    outcome = runner.run(id, Context(fast=True))
    assert (outcome.failure, list(outcome.differs)) == ("", [])
    assert outcome.verdict == registry.card(id).expects


@pytest.mark.slow
@pytest.mark.parametrize("id", CARDED)
def test_the_numbers_of_the_full_check_stand(id):
    outcome = runner.run(id, Context())
    assert (outcome.failure, list(outcome.differs)) == ("", [])
    if not {"time", "edge"} & set(numbers.stated(id).values()):  # else the verdict may turn on one of those
        assert outcome.verdict == registry.card(id).expects
