import io

import numpy as np
import pytest
import soundfile

from nitido.diagnosis.gaps import GapsAnalyser
from nitido.dsp.chunks import join
from nitido.dsp.resample import resample


def analyse(wav, *, sample_rate=48000, cut=10**9):
    analyser = GapsAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def music(seconds=4.0, *, sample_rate=48000, channels=1):
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wav = 0.2 * np.sin(2 * np.pi * 110 * t) + 0.1 * np.sin(2 * np.pi * 1234 * t)
    return (wav + 0.03 * rng.standard_normal((channels, t.size))).astype(np.float32)


def test_dropouts_are_found_where_they_are():
    wav = music()
    for begin in (10000, 70000, 150000):
        wav[:, begin : begin + 480] = 0
    finding = analyse(wav)
    assert finding.value == 3
    assert finding.found
    starts = [start for start, _ in finding.where]
    assert starts == pytest.approx([10000 / 48000, 70000 / 48000, 150000 / 48000], abs=1e-4)
    assert finding.details["seconds"] == pytest.approx(0.03, abs=1e-3)


@pytest.mark.parametrize(("milliseconds", "count"), [(1, 0), (3, 1), (50, 1), (400, 1), (700, 0)])
def test_a_gap_lasts_from_2_ms_to_half_a_second(milliseconds, count):
    wav = music()
    wav[:, 60000 : 60000 + 48 * milliseconds] = 0
    assert analyse(wav).value == count


def test_a_held_sample_is_a_gap():
    wav = music()
    wav[:, 60000:61000] = wav[:, 59999:60000]
    assert analyse(wav).value == 1


def test_kicks_that_were_cut_off_at_full_scale_are_no_dropouts():
    wav = music(6.0) + 0.1 * np.random.default_rng(1).standard_normal((1, 288_000))
    t = np.arange(4_800) / 48_000
    kick = 8 * np.exp(-80 * t) * np.sin(2 * np.pi * 60 * t)
    for start in (20_000, 61_000, 117_000, 141_000, 222_000):  # out of time
        wav[:, start : start + kick.size] += kick
    assert analyse(np.clip(wav, -1.0, 1.0).astype(np.float32)).value == 0


def resampled(wav, *, from_hz=48000, to_hz=44100):
    channels, samples = wav.shape
    stream = resample([wav], from_hz=from_hz, to_hz=to_hz, samples=samples, channels=channels)
    return join(stream, channels=channels)


def coded(wav, kind, *, sample_rate=48000):
    file = io.BytesIO()
    file.name = f"music.{kind}"
    soundfile.write(file, wav.T, sample_rate, closefd=False)
    file.seek(0)
    return soundfile.read(file, dtype="float32", always_2d=True)[0].T


DROPOUTS = {10_000: 960, 70_000: 1_200, 110_000: 1_440, 150_000: 2_880}


def with_dropouts(wav):
    wav = wav.copy()
    for start, samples in DROPOUTS.items():
        wav[:, start : start + samples] = 0
    return wav


@pytest.mark.parametrize("kind", ["mp3", "ogg"])
def test_dropouts_are_found_after_a_coder_filled_them(kind):
    finding = analyse(coded(with_dropouts(music()), kind))
    lengths = [1000 * (end - start) for start, end in finding.where]
    assert lengths == pytest.approx([samples / 48 for samples in DROPOUTS.values()], abs=3)


@pytest.mark.parametrize("to_hz", [32_000, 44_100, 96_000])
def test_dropouts_are_found_after_the_file_was_resampled(to_hz):
    finding = analyse(resampled(with_dropouts(music()), to_hz=to_hz), sample_rate=to_hz)
    starts = [start for start, _ in finding.where]
    assert starts == pytest.approx([start / 48_000 for start in DROPOUTS], abs=0.003)


def test_a_short_rest_before_a_louder_note_is_not_a_dropout():
    wav = with_dropouts(music())
    for start in DROPOUTS:
        wav[:, start:] *= 2
    peak = np.abs(wav).max()
    assert analyse(resampled(wav / peak), sample_rate=44_100).value == 0


def test_a_short_rest_before_another_sound_is_not_a_dropout():
    wav, noise = with_dropouts(music()), np.random.default_rng(1).standard_normal((1, 192_000))
    wav[:, 90_000:] = np.where(wav[:, 90_000:] == 0, 0, 0.2 * noise[:, 90_000:])
    wav[:, 88_000:90_000] = 0
    late = [start for start, _ in analyse(resampled(wav), sample_rate=44_100).where]
    assert not [start for start in late if abs(start - 88_000 / 48_000) < 0.01]


@pytest.mark.parametrize("kind", ["mp3", "ogg"])
def test_a_fast_gate_has_no_dropouts_after_a_coder_either(kind):
    wav = music(8)
    step = np.arange(wav.shape[1]) % round(60 / 140 / 8 * 48_000)  # 32nds at 140 BPM
    assert analyse(coded((wav * (step < 1_300)).astype(np.float32), kind)).value == 0


@pytest.mark.parametrize("milliseconds", [8, 15])
def test_short_sounds_in_quick_succession_have_no_dropouts(milliseconds):
    wav, rng = np.zeros((1, 48_000 * 8), np.float32), np.random.default_rng(0)
    for begin in np.cumsum(rng.uniform(0.3, 0.6, 16)):
        for start in 48 * np.cumsum(rng.uniform(24, 60, 3)) + 48_000 * begin:
            burst = music(milliseconds / 1000)
            part = wav[:, round(start) :][:, : burst.shape[1]]
            part += burst[:, : part.shape[1]]
    assert analyse(wav).value == 0


def chord(seconds, phases):
    t = np.arange(round(seconds * 48_000)) / 48_000
    partials = [hz * k for hz in (220.0, 277.2, 329.6) for k in range(1, 7)]
    sines = (np.sin(2 * np.pi * hz * t + p) / hz for hz, p in zip(partials, phases, strict=True))
    return 12 * np.sum(list(sines), axis=0)


@pytest.mark.parametrize("kind", ["", "mp3"])
@pytest.mark.parametrize("alike", [True, False])
def test_a_chord_played_again_and_again_by_hand_has_no_dropouts(kind, alike):
    parts, rng = [], np.random.default_rng(3)
    for _ in range(12):
        phases = np.zeros(18) if alike else rng.uniform(0, 2 * np.pi, 18)
        parts += [chord(rng.uniform(0.2, 0.4), phases), np.zeros(int(rng.uniform(1_920, 3_600)))]
    wav = np.concatenate(parts)[None].astype(np.float32)
    assert analyse(coded(wav, kind) if kind else wav).value == 0


def test_a_chord_that_is_held_and_breaks_off_as_often_has_dropouts():
    wav, rng, start = chord(4, np.zeros(18))[None].astype(np.float32), np.random.default_rng(3), 0
    for _ in range(8):
        start += int(rng.uniform(12_000, 20_000))
        wav[:, start : start + int(rng.uniform(1_920, 3_600))] = 0
    assert analyse(coded(wav, "mp3")).value == 8


def test_a_gap_in_one_channel_counts_once_and_in_both_too():
    wav = music(channels=2)
    wav[1, 60000:61000] = 0
    wav[:, 100000:101000] = 0
    assert analyse(wav).value == 2


def test_music_without_gaps_has_none():
    assert analyse(music()).value == 0


def test_a_rest_between_notes_is_not_a_gap():
    note = music(0.3)
    note *= np.minimum(1, np.arange(note.shape[1]) / 200) * np.linspace(1, 0, note.shape[1])
    rest = np.zeros((1, 9600), np.float32)
    wav = np.concatenate([note.astype(np.float32), rest] * 6, axis=1)
    assert analyse(wav).value == 0


def test_a_drum_loop_between_digital_silences_has_no_gaps():
    t = np.arange(9600) / 48000
    drum = 0.5 * np.sin(2 * np.pi * 80 * t) * np.exp(-30 * t)
    wav = np.tile(np.concatenate([drum, np.zeros(4800)]), 10)
    assert analyse((np.round(wav * 32768) / 32768).astype(np.float32)[None]).value == 0


@pytest.mark.parametrize("hz", [30, 55, 110, 220])
def test_a_square_wave_has_no_gaps(hz):
    t = np.arange(96000) / 48000
    square = 0.3 * np.sign(np.sin(2 * np.pi * hz * t + 0.1))
    assert analyse(square.astype(np.float32)[None]).value == 0


def test_a_chord_of_square_waves_has_no_gaps():
    t = np.arange(6 * 44100) / 44100
    wav = sum(0.2 * np.where((hz * t) % 1 < 0.5, 1, -1) for hz in (220, 277, 330))
    assert analyse(wav.astype(np.float32)[None], sample_rate=44100).value == 0


@pytest.mark.parametrize("pattern", ["x.", "x.xx.x.x", "x..x..x."])
def test_a_gated_synthesiser_has_no_dropouts(pattern):
    wav = music(8)
    sixteenth = 60 / 128 / 4 * 48000
    steps = (np.arange(wav.shape[1]) / sixteenth).astype(int) % len(pattern)
    assert analyse(wav * np.array([step == "x" for step in pattern])[steps]).value == 0


def test_lost_packets_are_dropouts_although_all_are_equally_long():
    wav = music(10)
    lost = np.random.default_rng(0).choice(np.arange(5, 490), 40, replace=False)
    for packet in lost:
        wav[:, 960 * packet : 960 * (packet + 1)] = 0
    assert analyse(wav).value > 30


def test_a_quiet_passage_of_a_coarse_file_has_no_gaps():
    wav = np.round(music() * 0.003 * 127) / 127  # mostly zeros at 8 bits
    assert analyse(wav.astype(np.float32)).value == 0


@pytest.mark.parametrize("samples", [0, 1, 480, 96000])
def test_silence_and_moments_have_no_gaps(samples):
    assert analyse(np.zeros((2, samples), np.float32)).value == 0
    assert analyse(np.ones((2, samples), np.float32)).value == 0


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (44100, 64), (192000, 2)])
def test_it_works_at_every_rate_and_width(sample_rate, channels):
    wav = music(1, sample_rate=sample_rate, channels=channels)
    wav[:, sample_rate // 2 : sample_rate // 2 + sample_rate // 50] = 0
    assert analyse(wav, sample_rate=sample_rate).value == 1


@pytest.mark.parametrize("cut", [1009, 47999, 100000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = music(channels=2)
    for begin in (47900, 60000, 95500, 144000):
        wav[:, begin : begin + 1000] = 0
    wav[0, 100000:119000] = 0
    assert analyse(wav, cut=cut) == analyse(wav)
    assert analyse(wav).value == 5
    narrow = resampled(wav)
    whole = analyse(narrow, sample_rate=44_100)
    assert analyse(narrow, sample_rate=44_100, cut=cut) == whole
    assert whole.value == 4  # one is too long to tell it from a rest


@pytest.mark.parametrize("name", ["castanets", "contrabassoon", "glock", "harpsichord", "strauss"])
def test_good_recordings_have_no_gaps(shared_audio, name):
    wav, sample_rate = soundfile.read(
        shared_audio / "clean" / "test" / f"visqol_{name}.flac", dtype="float32", always_2d=True
    )
    assert not analyse(wav.T, sample_rate=sample_rate).found


def test_a_day_of_dropouts_takes_no_more_memory_than_an_hour():
    analyser = GapsAnalyser(sample_rate=8000, channels=2)
    block = music(2.0, sample_rate=8000, channels=2)
    block[:, 4000:4400] = 0
    for _ in range(400):
        analyser.update(block)
    kept = [len(value) for value in vars(analyser).values() if isinstance(value, list)]
    finding = analyser.finish()
    assert finding.details["count"] == 400
    assert finding.details["seconds"] == pytest.approx(400 * 0.05)
    assert len(finding.where) == 50
    assert max(kept) <= 50
