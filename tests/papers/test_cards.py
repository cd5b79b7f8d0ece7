"""Every card, run fast: the verdict we published is the verdict we measure."""

import pytest

from duhamel.papers import registry, runner
from duhamel.papers.card import Context

# Their fast checks take 10 seconds and more: `make slow`.
LONG = {
    *("chorus-plus", "fno-neural-operator", "general-covariance-aug", "gl-momentum", "inverse-stefan", "lmc-sqrt-d"),
    *("mgard", "mp-pde", "neural-des", "timestep-aligner"),
}
CARDED = [e.id for e in registry.select(state="carded")]


@pytest.mark.parametrize("id", [pytest.param(i, marks=pytest.mark.slow) if i in LONG else i for i in CARDED])
def test_the_verdict_stands(id):
    outcome = runner.run(id, Context(fast=True))
    assert outcome.failure == ""
    said = [f"{m.name}: {m.value} (asked: {m.expected})" for m in outcome.measurements if not m.holds]
    assert outcome.verdict == registry.card(id).expects, said
