"""Benchmarks against the peers, in one process, results as ratios.

One module per benchmark (`ensemble`, `compile`), each with a public

    run(*, quick: bool = False, progress: Callable[[str], None] | None = None) -> list[dict]

that returns records: name, value, unit, error (against a float64 reference), ratio (peer's time over ours), peer,
peer_version, machine. `duhamel bench NAME --json FILE` prints and writes them; peers are imported inside `run`,
which says how to install a missing one (the extra `bench`).
"""
