"""Many pieces: which ones, by how many processes or machines, and what became of each.

    make_jobs / read_manifest ─► shard ─► restore_many ─► Outcome, Outcome, …
                                          restore_on_ray

A result is done when it and its sidecar are in place; they appear together, whatever is killed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nitido.batch.job import Job, Outcome, carry_out
from nitido.restoration.restore_options import RestoreOptions

if TYPE_CHECKING:
    from nitido.batch.cluster import restore_on_ray
    from nitido.batch.inputs import make_jobs, read_shard, shard
    from nitido.batch.manifest import read_manifest
    from nitido.batch.many import Progress, restore_many

__all__ = [
    "Job",
    "Outcome",
    "Progress",
    "RestoreOptions",
    "carry_out",
    "make_jobs",
    "read_manifest",
    "read_shard",
    "restore_many",
    "restore_on_ray",
    "shard",
]

_LAZY = {  # the command line needs no processes and no cluster to say its --help
    "Progress": "nitido.batch.many",
    "make_jobs": "nitido.batch.inputs",
    "read_manifest": "nitido.batch.manifest",
    "read_shard": "nitido.batch.inputs",
    "restore_many": "nitido.batch.many",
    "restore_on_ray": "nitido.batch.cluster",
    "shard": "nitido.batch.inputs",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'nitido.batch' has no attribute {name!r}")
