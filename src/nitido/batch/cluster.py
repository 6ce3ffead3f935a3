"""The same work on many machines, through Ray Data.

Each actor is a process that loads its models once and restores one piece after the other; Ray
starts them, feeds them no faster than they work, and starts a new one where one dies.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from nitido.batch.job import Job, Outcome, attempt, check_jobs
from nitido.batch.many import OnProgress, Tally
from nitido.batch.pool import TRIES, lost
from nitido.cores import use_one_core
from nitido.errors import ConfigError
from nitido.optional import load

REMEDY = "pip install 'nitido[ray]'"
ACTORS_PER_GPU = 4
CONNECT_SECONDS = 10.0


class Tries:
    """Counts how often each piece was begun, in an actor of its own: it outlives the others."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._counts: Counter[int] = Counter()

    def begin(self, index: int) -> int:
        """Return the how manieth try at a piece this is."""
        self._counts[index] += 1
        return self._counts[index]


class Restorer:
    """What an actor does: `map_batches` makes one of these per process and calls it per batch."""

    def __init__(self, tries: Any) -> None:
        """Load what every piece needs; models stay loaded once a piece has asked for them."""
        use_one_core()
        self._ray = load("ray", need="A cluster", remedy=REMEDY)
        self._tries = tries
        from nitido import api

        assert api  # loaded for its effect

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the outcomes of a batch of jobs, both as JSON texts.

        A piece comes again when its actor died: if the result was published already, it counts as
        done; after two deaths it is given up.
        """
        outcomes = []
        for index, text in zip(batch["index"], batch["job"], strict=True):
            job = Job.from_json(str(text))
            if self._ray.get(self._tries.begin.remote(int(index))) > TRIES:
                outcome = lost(job, "a process that restored it died")
            else:
                outcome = attempt(job, wait=True, again=True)
            outcomes.append(outcome.to_json())
        return {"index": list(batch["index"]), "outcome": outcomes}


def restore_on_ray(
    jobs: Sequence[Job],
    *,
    address: str | None = None,
    workers: int | None = None,
    fail_fast: bool = False,
    on_progress: OnProgress | None = None,
) -> Generator[Outcome, None, None]:
    """Yield what became of each piece, as `nitido.batch.restore_many` does, restored on a cluster.

    Inputs and outputs have to be within reach of every machine: a shared folder, or places that
    fsspec finds (``s3://``, ``gs://``). GPUs are shared out among the actors where there are any.

    Args:
        jobs: the pieces.
        address: of the cluster; None starts one on this machine, unless Ray runs already.
        workers: actors at once; None for one per core, or four per GPU where there are any.
        fail_fast: stop at the first piece that fails.
        on_progress: called with a `Progress` after each piece.

    Raises:
        ConfigError: a request that makes no sense, or no cluster at that address.
        MissingExtraError: Ray is not installed.
    """
    check_jobs(jobs)
    ray = load("ray", need="A cluster", remedy=REMEDY)
    data = load("ray.data", need="A cluster", remedy=REMEDY)
    return _run(ray, data, jobs, address, workers, fail_fast, on_progress)


def _run(
    ray: Any,
    data: Any,
    jobs: Sequence[Job],
    address: str | None,
    workers: int | None,
    fail_fast: bool,
    on_progress: OnProgress | None,
) -> Generator[Outcome, None, None]:
    tally = Tally(jobs, on_progress)
    started = not ray.is_initialized()
    if started:
        _connect(ray, address, workers)
    missing = set(range(len(jobs)))
    try:
        for row in _rows(ray, data, jobs, workers):
            index, outcome = int(row["index"]), Outcome.from_json(row["outcome"])
            missing.discard(index)
            tally.ended(index, outcome)
            yield outcome
            if fail_fast and outcome.state == "failed":
                return
        for index in sorted(missing):
            outcome = lost(jobs[index], "Ray lost it")
            tally.ended(index, outcome)
            yield outcome
    finally:
        if started:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Say at once that nobody listens at an address; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise ConfigError(f"No cluster answers at {address!r}: {error}.") from error


def _connect(ray: Any, address: str | None, workers: int | None) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if address is not None:
        _check_reachable(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"There is no cluster to be had at {address!r}: {reason}") from error


def _rows(ray: Any, data: Any, jobs: Sequence[Job], workers: int | None) -> Any:
    """Return an iterator over what the actors answer."""
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # a piece that was lost is told of below; the others go on
    resources = ray.cluster_resources()
    gpus = resources.get("GPU", 0)
    actors = workers or int(gpus * ACTORS_PER_GPU or resources.get("CPU", 1))
    items = [{"index": index, "job": job.to_json()} for index, job in enumerate(jobs)]
    actors = min(actors, len(items))
    pieces = data.from_items(items, override_num_blocks=len(items))  # where one is lost, only one
    restored = pieces.map_batches(
        Restorer,
        batch_size=1,
        fn_constructor_args=(ray.remote(Tries).options(num_cpus=0).remote(),),
        compute=data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1),
        num_cpus=1,
        num_gpus=min(1.0, gpus / actors) if gpus else None,
    )
    return restored.iter_rows()
