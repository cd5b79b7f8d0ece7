"""`duhamel train`: models on real data; a run that was killed goes on from its last checkpoint."""

import json
from pathlib import Path
from typing import Any

from duhamel.report.chapter import Chapter
from duhamel.report.context import Context
from duhamel.report.folder import DEFAULT_ROOT, Run
from duhamel.report.nearest import nearest

from .perform import perform

JOBS = ("digits", "hare-lynx")
