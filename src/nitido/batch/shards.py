"""Part k of n of a list of pieces, for n machines that do not know of each other."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from nitido.batch.task import Task
from nitido.errors import ConfigError

SHARDS_MAX = 10**6


def read_shard(text: str) -> tuple[int, int]:
    """Return ``3/16`` as the numbers 3 and 16.

    Raises:
        ConfigError: it is no such pair, or the first is not one of 1 to the second.

    >>> read_shard("3/16")
    (3, 16)
    """
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text)
    number, count = (int(part) for part in found.groups()) if found else (0, 0)
    if not 1 <= number <= count <= SHARDS_MAX:
        raise ConfigError(
            f"The shard is {text!r}; write K/N, such as 3/16 for the third of sixteen."
        )
    return number, count


def shard(tasks: Iterable[Task], number: int, count: int) -> list[Task]:
    """Return the tasks of shard `number` of `count`, numbered from 1.

    Where a piece belongs depends on its own name below the input folder (in a manifest: on its
    input, as written there), by SHA-256: it stays in its shard when other pieces come or go, on
    every machine and wherever the folder is mounted. Shards are therefore about equally large, not
    exactly. An accent written as one character or as two is the same name.
    """
    return [task for task in tasks if _number(task, count) == number]


def _number(task: Task, count: int) -> int:
    name = unicodedata.normalize("NFC", task.place or task.source)
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % count + 1
