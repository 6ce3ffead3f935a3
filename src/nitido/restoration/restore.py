"""The passes over a piece: diagnose, chain, loudness; once more where a budget is broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from nitido.audio import SanitizedBlocks, Source
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import OnProgress, ahead, block_length, join, reblock, tell_progress
from nitido.dsp.loop import FADE_SECONDS, Unrolled, approach, span
from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import SDR_LIMIT_DB
from nitido.restoration.chain import BLOCK_SECONDS, Chain, lay_out, loop_of, reach_samples
from nitido.restoration.plan import Plan, build
from nitido.restoration.registry import STAGES
from nitido.restoration.resources import Resources
from nitido.restoration.restored_sound import RestoredSound, dry_blocks, mask_after
from nitido.restoration.scratch import Scratch
from nitido.restoration.stage import Budget
from nitido.restoration.stages.loudness import (
    LevelProfile,
    allowed_limiting_db,
    resolve_together,
)
from nitido.restoration.verify import Change, ChangeMeter, beside_faults, correct

Result = TypeVar("Result", bound=RestoredSound)

# Shares of the work, for the progress callback; measured on 60 s of stereo.
DIAGNOSED, CHAINED = 0.25, 0.75


def carry_out_album(works: Sequence[Restoring[Result]]) -> Iterator[Result]:
    """Yield the pieces of an album restored, all at one gain, in their order.

    The target is the loudness of the album as a whole; each piece is held under the ceiling. A
    piece whose plan keeps the level, or says its gain already, keeps to that.

    Args:
        works: the pieces; their loudness stages have the same settings.
    """
    for work in works:
        work.chain()
    together = [work for work in works if _needs_gain(work.plan)]
    if together:
        asked = together[0].plan["loudness"].settings
        settings, reason = resolve_together([work.profile for work in together], asked)
        for work in together:
            step = work.plan["loudness"]
            said = f"one gain for an album of {len(works)}: {reason}"
            work.plan = work.plan.with_step(replace(step, settings=settings, reason=said))
            work.gain_is_shared = True
    for work in works:
        yield work.finish()


class Restoring(Generic[Result]):
    """The passes over a piece: first its chain, then its loudness, each stage held to its budget.

    Attributes:
        diagnosis: of the source.
        plan: to carry out, with what had to be turned down.
        gain_is_shared: whether its gain is that of others, too: then that is not turned down.
    """

    def __init__(
        self,
        source: Source,
        diagnosis: Diagnosis,
        plan: Plan,
        resources: Resources,
        block_seconds: float = BLOCK_SECONDS,
        on_progress: OnProgress | None = None,
        *,
        result: type[Result],
    ) -> None:
        """Prepare the work on a piece; nothing is read yet.

        Args:
            source: of the samples.
            diagnosis: of the source.
            plan: to carry out.
            resources: what the stages may use beside the plan.
            block_seconds: length of the blocks at work; the result does not depend on it.
            on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.
            result: what the restored sound is given as.
        """
        self._result = result
        self._source = source
        self.diagnosis = diagnosis
        self._resources = resources
        self._block_seconds = block_seconds
        self._on_progress = on_progress
        self._chained: _Attempt | None = None
        self._corrected: dict[str, list[Change]] = {}  # what was over budget, per stage
        self.plan = plan
        self.gain_is_shared = False

    @property
    def profile(self) -> LevelProfile:
        """The level profile of the piece as it leaves the chain."""
        return self.chain().profile

    def chain(self) -> _Attempt:
        """Run the stages but for the loudness, once, until each keeps its budget."""
        while self._chained is None:
            attempt = _chain_pass(
                self._source,
                self.diagnosis,
                self.plan,
                self._block_seconds,
                self._resources,
                self._on_progress,
            )
            if not self._correct(attempt):
                self._chained = attempt
        return self._chained

    def finish(self) -> Result:
        """Return the piece at its loudness, the whole within its budget."""
        while True:
            attempt = replace(self.chain(), plan=self.plan)
            _loudness_pass(self._source, attempt, self._block_seconds, self._on_progress)
            self._chained = None  # its sound is gone
            if not self._correct(attempt):
                break
        return self._result(
            self._source,
            attempt.scratch,
            diagnosis=self.diagnosis,
            plan=attempt.plan,
            changes=_verdicts(attempt.changes, self._corrected),
            stems=self._resources.stems,
        )

    def _correct(self, attempt: _Attempt) -> bool:
        """Return whether a stage was over its budget, and turn it down in the plan."""
        over = _over(attempt.changes)
        if over is None or (over.stage == "loudness" and self.gain_is_shared):
            return False
        tries = self._corrected.setdefault(over.stage, [])
        self.plan = correct(self.plan, over, tries=len(tries))
        if self._resources.stems is not None:
            self.plan = _still_separated(self.plan)
        tries.append(over)
        attempt.scratch.close()
        return True


def _needs_gain(plan: Plan) -> bool:
    """Return whether the gain is to be found from the sound."""
    step = plan["loudness"]
    return step.on and step.settings["gain_db"] is None


@dataclass
class _Attempt:
    """One go at a plan: what came out, and what each stage changed."""

    plan: Plan
    scratch: Scratch
    profile: LevelProfile
    changes: tuple[Change, ...]


def _chain_pass(
    source: Source,
    diagnosis: Diagnosis,
    plan: Plan,
    block_seconds: float,
    resources: Resources,
    on_progress: OnProgress | None,
) -> _Attempt:
    """Run everything but the loudness stage; keep the result and its level profile."""
    layout = lay_out(source, plan)
    lufs = diagnosis["loudness"].value
    chain = Chain(plan, source.sample_rate, source.channels, layout, block_seconds, resources, lufs)
    scratch = Scratch(channels=chain.channels_out)
    mask = mask_after(source, chain.channels_out)
    most_db = allowed_limiting_db(plan["loudness"].settings)
    profile = LevelProfile(plan.sample_rate, chain.channels_out, mask, limiting_max_db=most_db)
    needs_profile = _needs_gain(plan)
    if resources.stems is not None:
        resources.stems.layout = layout.resampled(source.sample_rate, plan.sample_rate)
    blocks = SanitizedBlocks(layout.blocks(source.blocks))
    stream = scratch.fill(
        chain.run(blocks, before=_before_loop(source, plan, layout, block_seconds, resources))
    )
    share = (DIAGNOSED, CHAINED)
    for block in tell_progress(stream, plan.sample_rate, chain.samples_out, on_progress, share):
        if needs_profile:
            profile.update(block)
    return _Attempt(plan, scratch, profile, chain.changes())


def _before_loop(
    source: Source, plan: Plan, layout: Unrolled, block_seconds: float, resources: Resources
) -> Wav | None:
    """Return the 10 ms that the end of a loop would have before its start, if others come there.

    The chain runs over the loop's start at its own place once more, with the loop's end before it.
    """
    loop = layout.loop
    if loop is None or not loop.start:
        return None
    reach, rate = reach_samples(source, plan), plan.sample_rate
    alone, lent = Unrolled(loop.start + reach), replace(resources, stems=None)
    chain = Chain(plan, source.sample_rate, source.channels, alone, block_seconds, lent)
    start = loop.resampled(source.samples, source.sample_rate, rate).start
    first = max(0, start - round(FADE_SECONDS * rate))
    laid = approach(source.blocks, loop, channels=source.channels, reach=reach)
    stream = chain.run(SanitizedBlocks(laid))
    return join(span(stream, first, start), channels=chain.channels_out)


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
    if _needs_gain(plan):
        settings, reason = attempt.profile.resolve(step.settings)
        plan = plan.with_step(replace(step, settings=settings, reason=reason))
        step = plan["loudness"]
    gain = np.float32(10 ** (step.settings["gain_db"] / 20) if step.on else 1.0)
    ending = build(plan["ending"], sample_rate=rate, channels=channels, samples=samples)
    judged = ending.judged if plan["ending"].on else (0, samples)
    whole = ChangeMeter("whole", sample_rate=rate, budget=Budget(plan.budget_db), judged=judged)
    after = Scratch(channels=channels)
    size = block_length(block_seconds, sample_rate=rate, channels=channels)
    dry = reblock(dry_blocks(source, plan), size)
    if source.sample_rate != rate:
        dry = ahead(dry)
    stage = build(step, sample_rate=rate, channels=channels, samples=samples)
    loop = loop_of(source, plan)
    reach = stage.context_samples + round(FADE_SECONDS * rate)
    layout = Unrolled.of(
        loop and loop.resampled(source.samples, source.sample_rate, rate), samples, reach=reach
    )
    limited = ChangeMeter(
        "loudness",
        sample_rate=rate,
        budget=plan.stage_budget("loudness"),
        judged=layout.inside((0, layout.total)),
        # Most of it is not limited, and then is what `whole` hears, unless that is a downmix.
        all_of_it=source.channels != channels,
    )

    def stream() -> Iterator[Wav]:
        blocks = layout.blocks(before.blocks)
        for untouched, result in stage.stream(blocks, block_samples=size, resources=Resources()):
            limited.update(untouched * gain, result)
            yield result

    def compared() -> Iterator[Wav]:
        limiting = reblock(layout.piece(stream(), sample_rate=rate), size)
        results = limiting if step.on else before.blocks(size)
        for block, untouched in zip(ahead(results), dry, strict=True):
            whole.update(untouched * gain, block)
            yield block

    finished = after.fill(compared())
    for _ in tell_progress(finished, rate, samples, on_progress, (CHAINED, 1.0)):
        pass
    attempt.plan, attempt.scratch = plan, after
    before.close()
    changed = whole.finish()
    last = (limited.finish(after=whole.difference.after),) if step.on else ()
    stages = (*attempt.changes, *last)
    attempt.changes = (*stages, beside_faults(changed, stages))


def _still_separated(plan: Plan) -> Plan:
    """Return the plan with stems that are to be kept, even where they may not be treated."""
    step = plan["stems"]
    if step.on:
        return plan
    return plan.with_step(replace(step, on=True, settings={**step.settings, "amount": 0.0}))


def _over(changes: Iterable[Change]) -> Change | None:
    """Return the change that has to be corrected first, if any.

    When only the whole is over its budget, that is the stage that changed most of the music.
    """
    over = [change for change in changes if not change.within_budget]
    if not over:
        return None
    stages = [
        change
        for change in changes
        if change.stage != "whole"
        and change.si_sdr_db < SDR_LIMIT_DB  # not a gain alone
        and not change.unbounded
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
