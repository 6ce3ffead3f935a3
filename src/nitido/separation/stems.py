"""The stems of a piece of any sample rate, mono or stereo, beside the piece itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from nitido.audio import SanitizedBlocks, Source
from nitido.dsp.chunks import take
from nitido.dsp.resample import resample, resampled_length
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError
from nitido.separation.demucs_model import RESIDUAL
from nitido.separation.separator import Separator, Stems

CHANNELS_MAX = 2
QUIETEST_DB = -90.0  # a quieter piece is not lifted further


def check_channels(channels: int) -> None:
    """Check that a piece can be taken apart.

    Raises:
        AudioShapeError: more than two channels; which of them belong together nobody can know.
    """
    if channels > CHANNELS_MAX:
        raise AudioShapeError(
            f"A piece of {channels} channels cannot be separated; Demucs takes mono and stereo."
        )


def separate_stream(
    separator: Separator,
    blocks: Iterable[Wav],
    *,
    sample_rate: int,
    channels: int,
    samples: int,
    level_db: float = 0.0,
) -> Iterator[tuple[Wav, Stems]]:
    """Yield a piece block by block, `[C, n]`, with the stems of the same samples, `[S, C, n]`.

    Mono is fed as two equal channels and comes back as their mean. The stems do not quite add up to
    the piece: what a model finds in none of them is missing, and so is what its sample rate cannot
    hold. Memory: one segment of the model, whatever the length.

    Args:
        separator: a loaded model.
        blocks: the whole piece, in waveforms `[C, n]`.
        sample_rate: of the piece, Hz.
        channels: of the piece, 1 or 2.
        samples: of the piece.
        level_db: of the piece, dB re full scale RMS; it is fed to the model at 0 dB, and the stems
            are brought back. `demucs.api.Separator` does likewise with a mean and a deviation
            measured beforehand; a mean, however, it adds to each of the stems.

    Raises:
        AudioShapeError: more than two channels.
    """
    check_channels(channels)
    waiting: deque[Wav] = deque()  # read, but its stems are not here yet
    gain = np.float32(10 ** (-max(level_db, QUIETEST_DB) / 20))
    inside = resampled_length(samples, sample_rate, separator.sample_rate)

    def fed() -> Iterator[Wav]:
        for block in blocks:
            waiting.append(block)
            yield block * gain

    def separated() -> Iterator[Wav]:
        for stems in separator.separate(map(stereo, there), samples=inside):
            stems = stems / gain
            if channels == 1:
                stems = stems.mean(axis=1, keepdims=True)
            yield stems.reshape(-1, stems.shape[2])

    def stereo(block: Wav) -> Wav:
        return np.repeat(block, separator.channels // channels, axis=0)

    there = resample(
        fed(),
        from_hz=sample_rate,
        to_hz=separator.sample_rate,
        samples=samples,
        channels=channels,
    )
    back = resample(
        separated(),
        from_hz=separator.sample_rate,
        to_hz=sample_rate,
        samples=inside,
        channels=len(separator.stems) * channels,
    )
    for flat in take(back, samples):
        stems = flat.reshape(len(separator.stems), channels, -1)
        yield _first(waiting, stems.shape[2]), stems


def separate_whole(
    source: Source,
    separator: Separator,
    *,
    on_progress: Callable[[float, float], None] | None = None,
) -> dict[str, Wav]:
    """Return the stems of a source and the residual by name, `[C, T]`; they add up to the source.

    The source is read twice: the first time for its level.

    Args:
        source: of the samples; those that are no numbers are filled in.
        separator: a loaded model.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.
    """
    check_channels(source.channels)
    energy = sum(float(np.vdot(block, block)) for block in SanitizedBlocks(source.blocks()))
    power = energy / (source.samples * source.channels)
    stream = separate_stream(
        separator,
        SanitizedBlocks(source.blocks()),
        sample_rate=source.sample_rate,
        channels=source.channels,
        samples=source.samples,
        level_db=10 * float(np.log10(power + 1e-30)),
    )
    names = (*separator.stems, RESIDUAL)
    whole = np.empty((len(names), source.channels, source.samples), np.float32)
    done = 0
    for mix, stems in stream:
        stretch = slice(done, done + mix.shape[1])
        whole[:-1, :, stretch] = stems
        whole[-1, :, stretch] = mix - stems.sum(axis=0)
        done = stretch.stop
        if on_progress is not None:
            on_progress(done / source.sample_rate, source.samples / source.sample_rate)
    return dict(zip(names, whole, strict=True))


def _first(waiting: deque[Wav], count: int) -> Wav:
    """Take the first samples from a queue of blocks, `[C, count]`."""
    taken: list[Wav] = []
    while count > 0:
        block = waiting.popleft()
        if block.shape[1] > count:
            waiting.appendleft(block[:, count:])
            block = block[:, :count]
        taken.append(block)
        count -= block.shape[1]
    return taken[0] if len(taken) == 1 else np.concatenate(taken, axis=1)
