"""Types of arguments that several commands share."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

Json = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Int = Annotated[int | None, arg(metavar="N", help_behavior_hint="")]
Number = Annotated[float | None, arg(metavar="NUMBER", help_behavior_hint="")]
Word = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]
Name = Annotated[str, arg(metavar="NAME", help_behavior_hint="")]
Folder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
Names = Annotated[tuple[str, ...], arg(metavar="[NAME ...]", help_behavior_hint="")]
Numbers = Annotated[tuple[int, ...], arg(metavar="N [N ...]", help_behavior_hint="")]
