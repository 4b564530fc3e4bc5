"""Run directories and what they answer; loading a run imports no model."""

from prismrec.runs.folder import load_run, save_run
from prismrec.runs.manifest import Manifest
from prismrec.runs.run import CUTOFFS, METRICS, Run

__all__ = ["CUTOFFS", "METRICS", "Manifest", "Run", "load_run", "save_run"]
