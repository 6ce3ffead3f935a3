"""Many pieces: which ones, by how many processes or machines, and what became of each.

    make_tasks / read_manifest ─► shard ─► restore_many ─► Outcome, Outcome, …
                                           restore_on_ray

A result is done when it and its sidecar are in place; they appear together, whatever is killed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nitido.batch.task import Outcome, Progress, Request, Task, make_tasks

if TYPE_CHECKING:
    from nitido.batch.cluster import restore_on_ray
    from nitido.batch.manifest import read_manifest
    from nitido.batch.run import restore_many
    from nitido.batch.shards import read_shard, shard
    from nitido.batch.work import carry_out

__all__ = [
    "Outcome",
    "Progress",
    "Request",
    "Task",
    "carry_out",
    "make_tasks",
    "read_manifest",
    "read_shard",
    "restore_many",
    "restore_on_ray",
    "shard",
]

_LAZY = {  # the command line needs no processes and no cluster to say its --help
    "carry_out": "nitido.batch.work",
    "read_manifest": "nitido.batch.manifest",
    "read_shard": "nitido.batch.shards",
    "restore_many": "nitido.batch.run",
    "restore_on_ray": "nitido.batch.cluster",
    "shard": "nitido.batch.shards",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'nitido.batch' has no attribute {name!r}")
