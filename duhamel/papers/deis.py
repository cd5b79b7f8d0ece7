"""DEIS: the noise as a polynomial in t, integrated exactly."""

from collections.abc import Sequence

from .card import Card, Context, Measurement


def check(context: Context) -> Sequence[Measurement]:
    from duhamel.diffusion.plans.registry import build
    from duhamel.diffusion.schedule import VP
    from duhamel.rows.canonical import distance

    from .planar import Bench, draw, six_modes, slope

    schedule = VP()
    bench = Bench(six_modes(schedule), points=200 if context.fast else 1000, t_min=schedule.t_min)
    nfes, curves = [10, 80, 160, 320] if context.fast else [10, 20, 40, 80, 160, 320], {}
    for label, (name, options) in {
        "DDIM": ("ddim", {"grid": "quadratic"}),
        **{f"tAB{q}": ("deis-tab", {"order": q}) for q in (1, 2, 3)},
        "rhoAB3": ("deis-rho-ab", {"order": 3}),
    }.items():
        context.progress(label, len(curves) / 5)
        curves[label] = (nfes, [bench.error(bench.build(name, n, **options)) for n in nfes])
    fine = {label: slope(nfes[-3:], errors[-3:]) for label, (_, errors) in curves.items()}
    rk4 = [bench.error(bench.build("deis-rho-rk4", n)) for n in (20, 40, 80)]
    at_ten = {label: errors[0] for label, (_, errors) in curves.items()}
    ddim, tab0 = build("ddim", schedule, 10, grid="quadratic"), build("deis-tab", schedule, 10, order=0)
    same = distance(tab0, ddim, schedule.alpha, schedule.sigma)
    draw(context, "deis", curves, "DEIS on six modes, VP, quadratic grid")
    return [
        Measurement("slope of DDIM, 80 to 320 calls", fine["DDIM"], 0.85, 1.15),
        Measurement("slope of tAB1", fine["tAB1"], 1.9, 2.3),
        Measurement("slope of tAB2", fine["tAB2"], 2.8, 3.3),
        Measurement("slope of tAB3", fine["tAB3"], 3.2, 4.3, note="order 4 but for its first step, which is Euler's"),
        Measurement("slope of rhoRK4 over 80 to 320 calls", slope([80, 160, 320], rk4), 3.5, 4.5),
        Measurement(
            "error of tAB3 over DDIM's at 10 calls",
            at_ten["tAB3"] / at_ten["DDIM"],
            high=0.2,
            note="the gain depends on the data: 0.25 with modes of standard deviation 0.15",
        ),
        Measurement("tAB0 against DDIM, largest relative difference of any coefficient", same, high=1e-11),
    ]


card = Card(
    id="deis",
    claim="An exponential integrator in the noise, with the polynomial in t: order q + 1 for degree q without any "
    "warm-up calls, and at 10 calls a fifth of DDIM's error; degree 0 is DDIM.",
    source="Zhang and Chen, Fast Sampling of Diffusion Models with Exponential Integrator, 2022, arXiv 2204.13902",
    check=check,
    seconds=10,
)
