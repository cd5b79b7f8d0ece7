"""`duhamel bench`: against the peers, in one process, as ratios."""

import importlib
import time
from pathlib import Path

from duhamel.report.chapter import Chapter, Table
from duhamel.report.console import Steps, table
from duhamel.report.context import Context
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.page import write_page
from duhamel.report.record import Record, check_json, write_json

BENCHMARKS = {
    "advice": "the advised sampler on every network of its table against the best of all samplers on all grids",
    "emulator": "a training step of a Fourier neural operator, and its layers at another resolution, against "
    "neuraloperator",
    "ensemble": "Lorenz and Van der Pol lanes, each with its own steps, against vmap(diffrax) at equal tolerance",
    "compile": "the first call of a solve and of its gradient, against diffrax on the same problem",
    "detest": "the 25 problems of DETEST, by method and tolerance: error at the end, evaluations, steps",
    "work-precision": "error against time and evaluations, ours and every peer that is installed",
    "sde": "stochastic equations: strong error against time, and against a bare lax.scan",
    "sde-grid": "stochastic equations on a fixed grid: times, against lax.scan on the same draws and diffrax",
    "cde": "linear controlled equations: exact flows, composed, against stepping with diffrax and with our own solve",
    "gradient": "gradients of an ensemble with shared weights against grad(vmap(diffrax)), with memory",
    "references": "files that networks are measured against (--data FOLDER): how far they are from our own solutions",
    "spectral": "periodic spectral solvers against exponax: error at equal steps, times, and the bare transforms",
    "samplers": "running a plan against the bare network calls and against diffusers' scheduler; compile times",
    "walls": "non-periodic heat and Burgers at equal error against SciPy's stiff integrators on the method of lines",
    "tune": "tuned samplers at 5 to 10 evaluations against the best of all published ones on all grids, on the digits",
    "stiff": "stiff chemistry: ensembles against vmap(diffrax Kvaerno5), single solves against SciPy and others",
}
PEERS = {
    "": "name",
    "unit": "unit",
    "duhamel": "value",
    "peer": "peer_value",
    "ratio": "ratio",
    "our error": "error",
    "peer's error": "peer_error",
}


def run_bench(
    benchmark: str,
    quick: bool = False,
    json: Path | None = None,
    root: str | Path = DEFAULT_ROOT,
    data: Path | None = None,
) -> list[Record]:
    """Run a benchmark, print its records, and write them to runs/bench-NAME/ and to `json`.

    A module of `duhamel.bench` has `run`, and may have `COLUMNS` (heading: key of a record), `CAPTION` of that table,
    and `figures(records, context)`. A record with `hidden` is left out of the table.
    """
    if benchmark not in BENCHMARKS:
        raise ValueError(f"no benchmark is called {benchmark!r}; {nearest(benchmark, BENCHMARKS)}")
    module = importlib.import_module(f"duhamel.bench.{benchmark.replace('-', '_')}")
    if (data is not None) != (benchmark == "references"):
        raise ValueError(
            "--data FOLDER belongs to the benchmark `references`, which needs it: a folder of their files."
        )
    more = {} if data is None else {"folder": data}
    check_json(json)
    run = Run.create(f"bench-{benchmark}", {"command": f"bench {benchmark}", "quick": quick}, root)
    start = time.perf_counter()
    with Steps([benchmark]) as steps:
        found = [Record.from_dict(row) for row in module.run(quick=quick, progress=steps.start(benchmark), **more)]
        steps.finish(benchmark, "done")
    for record in found:
        run.log(**record.as_dict())
    if json is not None:
        write_json(json, found)
    numbers = _table(found, getattr(module, "COLUMNS", PEERS), getattr(module, "CAPTION", ""))
    table(numbers.columns, numbers.rows, BENCHMARKS[benchmark], numbers.columns[1:])
    figures = module.figures(found, Context(run, quick)) if hasattr(module, "figures") else ()
    seconds = time.perf_counter() - start
    chapter = Chapter(
        benchmark,
        benchmark.capitalize(),
        BENCHMARKS[benchmark] + ".",
        tables=(numbers,),
        figures=tuple(figures),
        seconds=seconds,
    )
    lede = "All sides in one process, the same work, and errors beside times."
    write_page(run, f"Benchmark: {benchmark}", lede, [chapter], f"duhamel bench {benchmark}")
    return found


def _table(found: list[Record], columns: dict[str, str], caption: str) -> Table:
    shown = [record.as_dict() for record in found if not record.more.get("hidden")]
    rows = tuple(tuple(row.get(key) for key in columns.values()) for row in shown)
    peers = sorted({f"{r.more['peer']} {r.more['peer_version']}" for r in found if r.more.get("peer")})
    if peers:
        several = "s are" if len(peers) > 1 else " is"
        caption = f"{caption} The peer{several} {', '.join(peers)}. A ratio above 1: duhamel is faster.".strip()
    return Table(tuple(columns), rows, caption)
