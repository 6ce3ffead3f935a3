"""The passes over a piece: diagnose, chain, loudness; once more where a budget is broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nitido.audio import SanitizedBlocks, Source
from nitido.cores import one_blas_thread
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import OnProgress, ahead, block_length, reblock, tell_progress
from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import SDR_LIMIT_DB
from nitido.restoration.chain import BLOCK_SECONDS, Chain
from nitido.restoration.plan import Plan, build
from nitido.restoration.registry import STAGES
from nitido.restoration.resources import Resources
from nitido.restoration.result import Restoration, dry_blocks
from nitido.restoration.scratch import Scratch
from nitido.restoration.stages.loudness import LevelProfile
from nitido.restoration.verify import Change, ChangeMeter, correct

# Shares of the work, for the progress callback; measured on 60 s of stereo.
DIAGNOSED, CHAINED = 0.25, 0.75


def carry_out(
    source: Source,
    diagnosis: Diagnosis,
    plan: Plan,
    *,
    block_seconds: float = BLOCK_SECONDS,
    resources: Resources | None = None,
    on_progress: OnProgress | None = None,
) -> Restoration:
    """Return the source restored by the plan, every stage held to its budget.

    Args:
        source: of the samples.
        diagnosis: of the source.
        plan: to carry out.
        block_seconds: length of the blocks at work; the result does not depend on it.
        resources: what the stages may use beside the plan.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.
    """
    resources = resources or Resources()
    corrected: dict[str, list[Change]] = {}  # what was over budget, per stage, try by try
    while True:
        with one_blas_thread:
            attempt = _chain_pass(source, plan, block_seconds, resources, on_progress)
            if not _over(attempt.changes):
                _loudness_pass(source, attempt, block_seconds, on_progress)
        over = _over(attempt.changes)
        if over is None:
            break
        tries = corrected.setdefault(over.stage, [])
        plan = correct(plan, over, tries=len(tries))
        if resources.stems is not None:
            plan = _still_separated(plan)
        tries.append(over)
        attempt.scratch.close()
    return Restoration(
        source,
        attempt.scratch,
        diagnosis=diagnosis,
        plan=attempt.plan,
        changes=_verdicts(attempt.changes, corrected),
        stems=resources.stems,
    )


@dataclass
class _Attempt:
    """One go at a plan: what came out, and what each stage changed."""

    plan: Plan
    scratch: Scratch
    profile: LevelProfile
    changes: tuple[Change, ...]


def _chain_pass(
    source: Source,
    plan: Plan,
    block_seconds: float,
    resources: Resources,
    on_progress: OnProgress | None,
) -> _Attempt:
    """Run everything but the loudness stage; keep the result and its level profile."""
    chain = Chain(
        plan, source.sample_rate, source.channels, source.samples, block_seconds, resources
    )
    scratch = Scratch(channels=chain.channels_out)
    profile = LevelProfile(sample_rate=plan.sample_rate, channels=chain.channels_out)
    needs_profile = plan["loudness"].on and plan["loudness"].settings["gain_db"] is None
    stream = scratch.fill(chain.run(SanitizedBlocks(source.blocks())))
    share = (DIAGNOSED, CHAINED)
    for block in tell_progress(stream, plan.sample_rate, chain.samples_out, on_progress, share):
        if needs_profile:
            profile.update(block)
    return _Attempt(plan, scratch, profile, chain.changes())


def _loudness_pass(
    source: Source,
    attempt: _Attempt,
    block_seconds: float,
    on_progress: OnProgress | None,
) -> None:
    """Bring the result of the chain to its loudness, and compare it with the input."""
    plan, before = attempt.plan, attempt.scratch
    rate, channels, samples = plan.sample_rate, before.channels, before.samples
    step = plan["loudness"]
    if step.on and step.settings["gain_db"] is None:
        settings, reason = attempt.profile.resolve(step.settings)
        plan = plan.with_step(replace(step, settings=settings, reason=reason))
        step = plan["loudness"]
    gain = np.float32(10 ** (step.settings["gain_db"] / 20) if step.on else 1.0)
    limited = ChangeMeter("loudness", sample_rate=rate, budget_db=plan.stage_budget_db("loudness"))
    ending = build(plan["ending"], sample_rate=rate, channels=channels, samples=samples)
    judged = ending.judged if plan["ending"].on else (0, samples)
    whole = ChangeMeter("whole", sample_rate=rate, budget_db=plan.budget_db, judged=judged)
    after = Scratch(channels=channels)
    size = block_length(block_seconds, sample_rate=rate, channels=channels)
    dry = reblock(dry_blocks(source, rate, samples), size)

    def stream() -> Iterator[Wav]:
        if not step.on:
            yield from before.blocks(size)
            return
        stage = build(step, sample_rate=rate, channels=channels, samples=samples)
        blocks = before.blocks(size)
        for untouched, result in stage.stream(blocks, block_samples=size, resources=Resources()):
            limited.update(untouched * gain, result)
            yield result

    def compared() -> Iterator[Wav]:
        for block, untouched in zip(ahead(stream()), ahead(dry), strict=True):
            whole.update(untouched * gain, block)
            yield block

    finished = after.fill(compared())
    for _ in tell_progress(finished, rate, samples, on_progress, (CHAINED, 1.0)):
        pass
    attempt.plan, attempt.scratch = plan, after
    before.close()
    last = (limited.finish(), whole.finish()) if step.on else (whole.finish(),)
    attempt.changes = (*attempt.changes, *last)


def _still_separated(plan: Plan) -> Plan:
    """Return the plan with stems that are to be kept, even where they may not be treated."""
    step = plan["stems"]
    if step.on:
        return plan
    return plan.with_step(replace(step, on=True, settings={**step.settings, "amount": 0.0}))


def _over(changes: Iterable[Change]) -> Change | None:
    """Return the change that has to be corrected first, if any.

    When only the whole is over its budget, that is the stage that changed most.
    """
    over = [change for change in changes if not change.within_budget]
    if not over:
        return None
    stages = [
        change
        for change in changes
        if change.stage != "whole" and change.si_sdr_db < SDR_LIMIT_DB  # not a gain alone
    ]
    if over[0].stage != "whole":
        return over[0]
    return min(stages, key=lambda change: change.si_sdr_db) if stages else None


def _verdicts(
    changes: tuple[Change, ...], corrected: dict[str, list[Change]]
) -> tuple[Change, ...]:
    """Return the changes as they ended, in the order of the chain, bypassed stages included."""
    found = {stage: replace(tries[-1], verdict="bypassed") for stage, tries in corrected.items()}
    for change in changes:
        turned_down = change.stage in corrected
        found[change.stage] = replace(change, verdict="turned down") if turned_down else change
    return tuple(found[name] for name in (*STAGES, "whole") if name in found)
