"""Which samplers coincide: the identities that papers state or that follow from their formulas, and no others."""

import numpy as np
import pytest

from duhamel.diffusion.plans.family import CASES, Family, coincide, members, tree
from duhamel.diffusion.plans.registry import build
from duhamel.diffusion.schedule import VP
from duhamel.rows.canonical import canonical, difference

# Each line is one method.
KNOWN = [
    # DDIM (2010.02502) is DPM-Solver-1 (2206.00927), DPM-Solver++(1) (2211.01095), DEIS of degree 0 (2204.13902),
    # UniP-1 (2302.04867), Euler's method for rectified flow, and where every multistep method starts
    {
        "ddim",
        "dpm-solver(order=1)",
        "dpmpp-1",
        "deis-tab(order=0)",
        "deis-rho-ab(order=0)",
        "deis-rho-euler",
        "unip(order=1)",
        "unip(order=1, variant='bh1')",
        "unip(order=1, variant='vary')",
        "unip(order=1, prediction='noise')",
        "unip(order=1, lower_final=True)",
        "sa-solver(order=1, corrector_order=0, tau=0.0)",
        "er-sde(order=1, scale='ode')",
        "ipndm(order=1)",
        "ipndm-v-as-shipped(order=1)",
        "hb(order=1, beta=1.0)",
        "ghvb(order=1, beta=1.0)",
        "ge(gamma=1.0)",
        "bdia(gamma=0.0)",
        "flow-euler",
        "flow-ab(order=1)",
        "mr-ode-d-1 at mu=0",
        "mr-ode-n-1 at mu=0",
    },
    # DDPM's ancestral step with the posterior variance
    {
        "ddim(eta=1.0)",
        "ancestral(final_noise=True)",
        "sde-dpmpp-1",
        "er-sde(order=1, scale='sde')",
        "sa-solver(order=1, corrector_order=0, tau=1.0)",
        "mr-sde-d-1 at mu=0",
    },
    {"er-sde(order=1, scale=0.7)", "sa-solver(order=1, corrector_order=0, tau=0.7)"},  # phi = rho^(1 + tau^2)
    {"dpmpp-2m", "unip(order=2)", "mr(dpmpp-2m) at mu=0"},
    {"dpmpp-2m(lower_final=True)", "unip(order=2, lower_final=True)"},
    {"sde-dpmpp-2m", "mr(sde-dpmpp-2m) at mu=0"},
    {"dpmpp-3m", "unip"},  # the corrected 3M, with 2M as its second step
    # Adams's methods for d(x/sigma) = D d(exp lambda)
    {
        "adams-lam-2",
        "unip(order=2, variant='vary')",
        "sa-solver(order=2, corrector_order=0, tau=0.0)",
        "mr-ode-d-2 at mu=0",
    },
    {"adams-lam-3", "unip(variant='vary')", "sa-solver(corrector_order=0, tau=0.0)"},
    {"sa-solver(order=2, corrector_order=0, tau=1.0)", "mr-sde-d-2 at mu=0"},
    # DPM-Solver-v3 (2310.13268) whose statistics are (1, 0, 0), as they are until a model is measured
    {"unipc(variant='vary')", "sa-solver(tau=0.0)", "usf", "dpm-solver-v3"},
    {"unipc(order=2, variant='vary')", "dpm-solver-v3(order=2)"},
    {"unipc(order=1, variant='vary')", "dpm-solver-v3(order=1)"},
    {"unipc", "dc-solver"},  # whose ratios are 1 until they are fitted
    {"unipc(order=2)", "dc-solver(order=2)"},
    {"ipndm", "hb(beta=1.0)", "ghvb(order=4, beta=1.0)"},
    {"ipndm(order=3)", "hb(order=3, beta=1.0)", "ghvb(order=3, beta=1.0)"},
    {"ipndm(order=2)", "hb(order=2, beta=1.0)", "ghvb(beta=1.0)", "ge(gamma=1.5)"},
    {"hb(order=1)", "ghvb(order=1)"},
    {"deis-rho-ab(order=1)", "ipndm-v-as-shipped(order=2)"},
    {"heun", "deis-rho-heun", "restart(intervals=())"},
]


@pytest.fixture(scope="module")
def found():
    return tree(members())


def labels(family: Family) -> frozenset[str]:
    return frozenset(member.label for member in family.members)


def test_published_samplers_coincide_as_known_and_not_otherwise(found):
    assert {labels(family) for family in found.families} == set(map(frozenset, KNOWN))


def test_an_edge_says_which_option_makes_it_so(found):
    assert {"sampler": "ge", "options": {"gamma": 1.0}, "is": "ddim"} in found.edges
    assert {"sampler": "unip", "options": {"order": 2}, "is": "dpmpp-2m"} in found.edges
    assert len(found.edges) == sum(len(names) - 1 for names in KNOWN)


def test_methods_that_differ_only_in_their_start(found):
    pairs = {frozenset((a.label, b.label)) for a, b in found.later}
    for same in (
        ("ipndm", "f-pndm"),
        ("ipndm(order=2)", "s-pndm"),
        ("adams-lam-3", "dpmpp-3m"),  # exact from its third step on: then B(h) is nowhere in UniP-3
        ("dpmpp-3m", "unip(variant='bh1')"),
        ("unipc", "unipc(variant='bh1')"),
    ):
        assert frozenset(same) in pairs


def test_some_coincide_on_some_grids(found):
    by_case = {case: {frozenset((a.label, b.label)) for a, b in same} for case, same in found.sometimes.items()}
    uniform = by_case["EDM, equal steps in rho"]  # there t = rho, and Adams's weights are constant
    assert {frozenset(("ipndm", "deis-tab")), frozenset(("bdia", "o-belm"))} <= uniform
    assert frozenset(("deis-tab", "deis-rho-ab")) in by_case["EDM, Karras"]
    assert frozenset(("ipndm(order=2)", "unip(order=2, prediction='noise')")) in by_case["VP, equal steps in lambda"]
    assert frozenset(("ipndm", "deis-tab")) not in by_case["EDM, Karras"]


def test_what_does_not_coincide_differs_by_far(found):
    """No identity hangs on the tolerance: rounding is below 1e-10, and the nearest others are 1e-4 apart."""
    heads = [family.head for family in found.families]
    gaps = [
        difference(a.forms[case], b.forms[case]) for case in CASES for a in heads for b in heads if a.label < b.label
    ]
    assert min(gap for gap in gaps if gap > 1e-10) > 1e-4


def test_the_page_of_the_tree(found, tmp_path):
    """Every family is in the figure and in the records."""
    from duhamel.jobs.plan_family import chapter, records
    from duhamel.report.context import Context
    from duhamel.report.folder import Run

    run = Run.create("tree", {}, tmp_path)
    made = chapter(found, Context(run))
    assert [row[0] for row in made.tables[0].rows] == [family.head.label for family in found.families]
    assert (run.folder / made.figures[0].path).stat().st_size > 10_000
    names = {record.name for record in records(found)}
    assert "ge {'gamma': 1.0}" in names and "f-pndm" in names


def test_a_form_without_a_constant_and_without_idle_draws():
    schedule = VP()
    still = canonical(
        build("restart", schedule, 4, intervals=(), terminal=False), "data", schedule.alpha, schedule.sigma
    )
    plain = canonical(build("heun", schedule, 4, terminal=False), "data", schedule.alpha, schedule.sigma)
    assert difference(still, plain) == np.inf and difference(still.without(), plain) < 1e-12
    with pytest.raises(ValueError, match="converted"):
        difference(plain, canonical(build("heun", schedule, 4, terminal=False)))


def test_only_some_samplers_may_be_asked_for():
    ddim, *others = members(["ddim", "flow-euler"])
    assert [m.label for m in others] == ["ddim(eta=0.5)", "ddim(eta=1.0)", "flow-euler"]
    assert coincide(ddim, others[-1]) and not coincide(ddim, others[0])
