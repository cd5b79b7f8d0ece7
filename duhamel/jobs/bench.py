"""`duhamel bench`: against the peers, in one process, as ratios."""

import importlib
import time
from pathlib import Path

from duhamel.report.chapter import Chapter, Table
from duhamel.report.console import Steps, records
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest
from duhamel.report.page import write_page
from duhamel.report.record import Record, check_json, write_json

BENCHMARKS = {
    "ensemble": "Lorenz and Van der Pol lanes, each with its own steps, against vmap(diffrax) at equal tolerance",
    "compile": "the first call of a solve and of its gradient, against diffrax on the same problem",
}


def run_bench(
    benchmark: str, quick: bool = False, json: Path | None = None, root: str | Path = DEFAULT_ROOT
) -> list[Record]:
    """Run a benchmark, print its records, and write them to runs/bench-NAME/ and to `json`."""
    if benchmark not in BENCHMARKS:
        raise ValueError(f"no benchmark is called {benchmark!r}; {nearest(benchmark, BENCHMARKS)}")
    module = importlib.import_module(f"duhamel.bench.{benchmark}")
    check_json(json)
    run = Run.create(f"bench-{benchmark}", {"command": f"bench {benchmark}", "quick": quick}, root)
    start = time.perf_counter()
    with Steps([benchmark]) as steps:
        found = [Record.from_dict(row) for row in module.run(quick=quick, progress=steps.start(benchmark))]
        steps.finish(benchmark, "done")
    for record in found:
        run.log(**record.as_dict())
    if json is not None:
        write_json(json, found)
    records(found, BENCHMARKS[benchmark])
    columns = ("", "duhamel", "peer", "ratio", "our error", "peer's error")
    rows = tuple(
        (
            f"{r.name}, {r.unit}",
            r.value,
            *(r.more.get(key) for key in ("peer_value", "ratio")),
            r.error,
            r.more.get("peer_error"),
        )
        for r in found
    )
    peers = sorted({f"{r.more['peer']} {r.more['peer_version']}" for r in found if "peer" in r.more})
    numbers = Table(columns, rows, f"The peer is {', '.join(peers)}. A ratio above 1: duhamel is faster.")
    seconds = time.perf_counter() - start
    chapter = Chapter(
        benchmark, benchmark.capitalize(), BENCHMARKS[benchmark] + ".", tables=(numbers,), seconds=seconds
    )
    lede = "Both sides in one process, the same work, and errors beside times."
    write_page(run, f"Benchmark: {benchmark}", lede, [chapter], f"duhamel bench {benchmark}")
    return found
