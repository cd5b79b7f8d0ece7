"""The arguments of `duhamel data`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from .fields import Folder, Int, Json, Name, Number, Word


@dataclass
class DataGenerate:
    """Solve a partial equation from many random first fields and write what came out, in shards.

    If it is stopped, even by kill -9, the same command goes on with the shards that are missing, and the files are byte
    for byte those of an uninterrupted run. Sample i depends on the seed and on i alone.
    """

    equation: Positional[Name]
    """Its name, as in `duhamel solve`, or a published set, as in `duhamel data list`."""
    samples: Int = None
    """How many trajectories; 100, or a few of a published set."""
    t1: Number = None
    """Final time; each equation has one of its own."""
    frames: Int = None
    """Fields kept of each, equally spaced, the first one included; 51, or the set's."""
    points: Int = None
    """Grid points along each axis."""
    length: Number = None
    """Side of the box."""
    initial: Word = None
    """First fields: apebench, pdebench, mp-pde, fno-burgers, fno-navier-stokes, blobs, jumps, dam-break, noise,
    concentration (between 0 and 1), patches, solenoidal."""
    walls: Word = None
    """periodic, insulated (no flux) or fixed (0 at the walls); each equation has a box of its own."""
    parameter: Annotated[tuple[str, ...], arg(metavar="[NAME=VALUE ...]", help_behavior_hint="")] = ()
    """Parameters of the equation: viscosity=0.01, or viscosity=0.01:0.1 for a number of its own in each sample."""
    steps: Int = None
    """Steps of the method between two frames."""
    method: Word = None
    """etdrk4 (default) or another exponential method."""
    single: bool = False
    """Solve in single precision; files hold float32 in any case."""
    seed: int = 0
    """The same seed gives the same samples."""
    layout: Word = None
    """well (The Well's HDF5), pdebench (its HDF5), fno (MATLAB), zarr or netcdf; well, or the set's own."""
    shard: Int = None
    """Samples in a file; about a quarter of a gigabyte if not given."""
    out: Folder = None
    """The folder of the files; data/EQUATION if not given."""
    plan: bool = False
    """Only say what it would cost: shards, bytes, memory, and time measured on a few samples."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""

    def run(self) -> int:
        from duhamel.jobs.data import Wish, generate_data

        said = {field.name: getattr(self, field.name) for field in fields(Wish) if field.name != "parameters"}
        wish = Wish(**said, parameters=self.parameter)
        generate_data(self.equation, wish, out=self.out, only_plan=self.plan, json=self.json)
        return 0


@dataclass
class DataList:
    """The published data sets that can be made again, with their sources and how exactly ours are solved."""

    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""

    def run(self) -> int:
        from duhamel.jobs.data import list_data

        list_data(self.json)
        return 0


@dataclass
class DataShow:
    """What a file or a folder of trajectories holds, in any of the layouts."""

    path: Positional[Annotated[Path, arg(metavar="PATH", help_behavior_hint="")]]
    """A file (.hdf5, .h5, .nc), a zarr store, or a folder of shards."""
    json: Json = None
    """Write the records to this file."""
    force: bool = False
    """Write over that file if it exists."""

    def run(self) -> int:
        from duhamel.jobs.data import show_data

        show_data(self.path, self.json)
        return 0


@dataclass
class Data:
    """Data sets of partial equations: generate them, list the published ones, look into files."""

    command: (
        Annotated[DataGenerate, subcommand("generate")]
        | Annotated[DataList, subcommand("list")]
        | Annotated[DataShow, subcommand("show")]
    )

    def run(self) -> int:
        return self.command.run()
