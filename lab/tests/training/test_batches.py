import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from nitido.restoration.treble.levels import BANDS, ENVELOPES, PER_ENVELOPE
from nitido_lab.training.batches import Batches, _tuned, crop, stack, under
from nitido_lab.training.cache import Entry, build_cache
from nitido_lab.training.config import TrainConfig


def test_the_cache_knows_where_a_piece_ends_and_what_was_done_to_it(
    entries: list[Entry],
) -> None:
    assert [entry.split for entry in entries] == ["train", "validation"]
    for entry in entries:
        assert entry.levels("clean").shape == (entry.channels, entry.frames, BANDS)
        assert entry.end_hz > 20_000
        assert 40 < entry.crossovers[0] < 140  # MP3 at 48 to 64 kbit/s ends at 7 to 11 kHz


def test_a_second_look_at_the_cache_makes_nothing_anew(
    tiny: TrainConfig, entries: list[Entry]
) -> None:
    before = {entry.folder: (entry.folder / "clean.npy").stat().st_mtime_ns for entry in entries}
    again = build_cache(tiny)
    assert {e.folder: (e.folder / "clean.npy").stat().st_mtime_ns for e in again} == before


def test_a_piece_that_could_not_be_read_is_tried_again(tiny: TrainConfig, tmp_path: Path) -> None:
    music = tmp_path / "music"
    shutil.copytree(tiny.audio[0], music)
    whole = (music / "one.wav").read_bytes()
    (music / "one.wav").write_bytes(b"words")
    config = replace(tiny, audio=(str(music),), out=str(tmp_path / "out"))
    assert [entry.split for entry in build_cache(config)] == ["validation"]
    (music / "one.wav").write_bytes(whole)
    assert [entry.split for entry in build_cache(config)] == ["train", "validation"]


def test_the_same_step_gives_the_same_batch(tiny: TrainConfig, entries: list[Entry]) -> None:
    one, same = (Batches(entries, tiny).draw(7) for _ in range(2))
    other = Batches(entries, replace(tiny, seed=1)).draw(7)
    assert np.array_equal(one.seen, same.seen)
    assert not np.array_equal(one.seen, other.seen)
    assert one.seen.shape == (4, 2 * BANDS + ENVELOPES, 40)


def test_nothing_above_the_crossover_is_seen_and_what_was_there_is_asked_for(
    entries: list[Entry],
) -> None:
    example = under(crop(entries[0], None, 0, 50, frames=40), 8_000)
    batch = stack([example])
    crossover = example.crossover
    assert np.all(batch.seen[0, crossover:BANDS] == -4.0)
    assert np.all(batch.seen[0, BANDS : BANDS + crossover] == 0.0)
    first = -(-crossover // PER_ENVELOPE)
    assert np.all(batch.weight[0, first:56] == 1.0)
    assert np.all(batch.weight[0, : crossover // PER_ENVELOPE] < 0.1)
    assert np.all(batch.weight[0, 60:] == 0.0)  # above 22 kHz nothing is asked


def test_above_the_end_of_a_file_nothing_counts(entries: list[Entry]) -> None:
    dull = replace(entries[0], end_hz=15_500.0)
    batch = stack([under(crop(dull, None, 0, 0, frames=20), 8_000)])
    assert np.all(batch.weight[0, 41:] == 0.0)
    assert np.all(batch.weight[0, 22:40] == 1.0)


def test_what_a_coder_took_out_below_the_ceiling_counts_too(entries: list[Entry]) -> None:
    example = crop(entries[0], 0, 0, 60, frames=40)
    holed = example.heard.copy()
    holed[:, 24:28] = -80.0
    kept = stack([replace(example, heard=example.clean)]).weight[0, 6]
    hole = stack([replace(example, heard=holed)]).weight[0, 6]
    assert hole.mean() > 5 * kept.mean()


def test_a_tone_of_a_piece_tuned_higher_lies_higher_and_so_does_its_end(
    entries: list[Entry],
) -> None:
    example = crop(replace(entries[0], end_hz=16_000.0), None, 0, 0, frames=8)
    peak = np.full_like(example.clean, -80.0)
    peak[:, 100] = 0.0
    factors = []
    for seed in range(20):
        tuned = _tuned(replace(example, clean=peak), np.random.default_rng(seed))
        factors.append(tuned.end_hz / 16_000)
        assert abs(int(tuned.clean[0].argmax()) - (100.5 * factors[-1] - 0.5)) <= 1
    assert min(factors) < 0.95
    assert max(factors) > 1.05
    assert 1.0 in factors


def test_what_comes_down_from_above_the_top_is_not_asked_for(entries: list[Entry]) -> None:
    example = crop(replace(entries[0], end_hz=24_000.0), None, 0, 0, frames=8)
    tuned = (_tuned(example, np.random.default_rng(seed)) for seed in range(20))
    lower = next(piece for piece in tuned if piece.end_hz < 22_000)
    batch = stack([under(lower, 8_000)])
    last = int((lower.end_hz - 300) / 375)
    assert np.all(batch.weight[0, last:] == 0)
    assert np.all(batch.share[0, last:] == 0)
    assert np.all(batch.share[0, 30 : last - 1] == 1)
