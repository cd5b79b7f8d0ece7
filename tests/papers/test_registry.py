"""The registry and the mechanism of cards: every system is there once, and what is carded can be run."""

from importlib import import_module
from pathlib import Path

import pytest

import duhamel.papers
from duhamel.papers import numbers, registry, runner
from duhamel.papers.card import Card, Context, Measurement, Verdict, judge

MODULES = {p.stem for p in Path(duhamel.papers.__file__).parent.glob("*.py") if "\ncard = Card(" in p.read_text()}


def test_all_239_systems_are_there_once_and_whole():
    entries = registry.entries()
    assert len(entries) == len({e.id for e in entries}) == 239
    assert all(e.area and e.title and e.claim for e in entries)
    assert {e.state for e in entries} <= {"open", "carded"}


def test_the_state_column_tells_which_cards_exist():
    carded = {e.id for e in registry.entries() if e.state == "carded"}
    assert carded == {module.replace("_", "-") for module in MODULES}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_card_says_who_claimed_what(module):
    card = import_module(f"duhamel.papers.{module}").card
    assert card.id == module.replace("_", "-") == registry.find(card.id).id
    assert len(card.claim) > 40 and card.claim.strip().endswith(".")
    assert any(word in card.source for word in ("arXiv", "doi", "DOI", "thesis")), (
        "name the source so that it can be found"
    )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_card_says_which_of_its_numbers_hold(module):
    """Each once; and its verdict is the one that follows from them."""
    card = import_module(f"duhamel.papers.{module}").card
    rows = [n for n in numbers._all() if n.id == card.id]
    assert len({n.name for n in rows}) == len(rows) > 0
    assert any(n.fast != "-" for n in rows) and not any(n.full == n.fast == "-" for n in rows)
    assert numbers.verdict(card.id) in (card.expects, None)


def test_a_number_that_comes_out_otherwise_is_named():
    names = numbers.stated("deis", fast=True)
    as_stated = [Measurement(n, 1.0 if what == "holds" else 0.0, low=1.0) for n, what in names.items()]
    assert numbers.differences("deis", as_stated, fast=True) == []
    first, *others = as_stated
    (said,) = numbers.differences("deis", [Measurement(first.name, 0.0, low=1.0), *others], fast=True)
    assert said == f"{first.name!r}: 0, asked at least 1; stated: holds"
    assert numbers.differences("deis", others, fast=True) == [f"{first.name!r} was not measured"]
    assert numbers.differences("deis", [*as_stated, one(1.0)], fast=True) == ["'n' is not in numbers.tsv"]
    assert "stands twice" in numbers.differences("deis", [*as_stated, first], fast=True)[0]
    with pytest.raises(ValueError, match="'perhaps' and 'holds'"):
        numbers.Number("deis", "perhaps", "holds", "n")


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="no paper is called 'dpm-solver-p'; did you mean dpm-solver"):
        registry.find("dpm-solver-p")
    with pytest.raises(ValueError, match="no state is called 'crded'; did you mean carded"):
        registry.select(state="crded")
    with pytest.raises(ValueError, match="'madaug' has no check yet"):
        registry.card("madaug")


def one(value):
    return Measurement("n", value, low=1.0)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((1.0, 2.0), Verdict.reproduced), ((1.0, 0.0), Verdict.in_part), ((0.0,), Verdict.not_reproduced)],
)
def test_the_verdict_follows_from_the_numbers(values, verdict):
    assert judge([one(v) for v in values]) is verdict


def test_a_check_without_numbers_has_no_verdict():
    with pytest.raises(ValueError, match="returned no measurement"):
        judge([])


def _pretend(monkeypatch, check):
    monkeypatch.setattr(registry, "card", lambda id: Card(id, "claim", "source", check))
    return runner.run("deis", Context(fast=True))


def test_an_outcome_has_its_verdict_and_its_time(monkeypatch):
    outcome = _pretend(monkeypatch, lambda context: [one(2.0), one(0.5)] if context.fast else [])
    record = outcome.as_record().as_dict()
    assert record["verdict"] == "holds in part" and record["seconds"] >= 0 and record["failure"] is None
    assert (record["id"], record["area"], record["value"]) == ("deis", "diffusion-sampler", 1)
    assert [m["holds"] for m in record["measurements"]] == [True, False]
    assert "'n' stands twice" in outcome.differs and "'n' is not in numbers.tsv" in outcome.differs


def test_a_check_that_breaks_has_no_verdict_and_says_why(monkeypatch):
    outcome = _pretend(monkeypatch, lambda context: 1 / 0)
    assert outcome.verdict is None and outcome.failure == "ZeroDivisionError: division by zero"
    assert outcome.as_record().as_dict()["verdict"] is None
