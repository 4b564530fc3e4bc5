"""Run directories and what they answer; loading a run imports no model."""

from prismrec.runs.check import find_problems
from prismrec.runs.compare import RunComparison, RunTable, compare_runs
from prismrec.runs.index import IndexRecord, SearchRecord, build_index
from prismrec.runs.lock import locked
from prismrec.runs.manifest import CustomNames, InitialWeights, Manifest, RowsTaken, parse_manifest
from prismrec.runs.metrics_file import check_run
from prismrec.runs.run import CUTOFFS, METRICS, Run

__all__ = [
    "CUTOFFS",
    "METRICS",
    "CustomNames",
    "IndexRecord",
    "InitialWeights",
    "Manifest",
    "RowsTaken",
    "Run",
    "RunComparison",
    "RunTable",
    "SearchRecord",
    "build_index",
    "check_run",
    "compare_runs",
    "find_problems",
    "locked",
    "parse_manifest",
]
