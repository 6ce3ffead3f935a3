import io

import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr

from nitido.diagnosis.clipping import ClippingAnalyser


def analyse(wav, *, sample_rate=48000, cut=10**9):
    analyser = ClippingAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def music(seconds=2.0, *, sample_rate=48000, channels=1, seed=0):
    """Decaying notes with overtones and a little noise; peaks at 1."""
    rng = np.random.default_rng(seed)
    wav = np.zeros((channels, round(seconds * sample_rate)))
    for begin in range(0, wav.shape[1], sample_rate // 4):
        t = np.arange(min(sample_rate, wav.shape[1] - begin)) / sample_rate
        for overtone in range(1, 8):
            hz = 55 * 2 ** (rng.integers(0, 24) / 12) * overtone
            wav[:, begin : begin + t.size] += np.sin(2 * np.pi * hz * t) * np.exp(-3 * t) / overtone
    wav += 0.01 * rng.standard_normal(wav.shape)
    return (wav / np.abs(wav).max()).astype(np.float32)


def clip(wav, level):
    return np.clip(wav, -level, level).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.1])
def test_clipped_peaks_are_found_at_their_level_also_after_a_gain_change(gain):
    wav = music()
    finding = analyse(clip(wav, 0.4) * np.float32(gain))
    assert finding.found
    assert finding.details["positive_level"] == pytest.approx([0.4 * gain], abs=2e-4)
    assert finding.details["negative_level"] == pytest.approx([-0.4 * gain], abs=2e-4)
    # All of them, but for the tips of one or two samples.
    clipped = np.count_nonzero(np.abs(wav) >= 0.4)
    assert 0.8 * clipped < finding.details["clipped_samples"] <= 1.01 * clipped
    assert finding.value == pytest.approx(finding.details["clipped_samples"] / 2)


def test_clipping_survives_a_16_bit_file_with_dither():
    rng = np.random.default_rng(1)
    wav = clip(music(), 0.4)
    dither = rng.random(wav.shape) - rng.random(wav.shape)
    dithered = (np.round(wav * 32768 + dither) / 32768).astype(np.float32)
    count = analyse(wav).details["clipped_samples"]
    assert analyse(dithered).details["clipped_samples"] == pytest.approx(count, rel=0.05)


def test_the_more_is_clipped_the_worse_it_is():
    wav = music()
    counts = [analyse(clip(wav, level)).value for level in (1.0, 0.7, 0.5, 0.3)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert analyse(clip(wav, 0.3)).severity == "severe"


def test_music_that_merely_touches_full_scale_is_not_clipped():
    wav = music()
    wav[0, 1000::5000] = 1.0
    assert not analyse(wav).found


def test_one_flat_peak_alone_is_a_coincidence():
    wav = 0.5 * music()
    wav[0, 1000:1004] = 0.9
    assert not analyse(wav).found


@pytest.mark.parametrize("hz", [20, 40, 87])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_the_round_top_of_a_slow_wave_is_not_clipped(hz, bits):
    t = np.arange(96000) / 48000
    wav = 0.8 * np.sin(2 * np.pi * hz * t)
    wav = np.round(wav * 2 ** (bits - 1)) / 2 ** (bits - 1)
    if bits > 8:  # coarser than that, a round top and a flat one are the same
        assert not analyse(wav.astype(np.float32)[None]).found


def test_a_square_wave_is_not_clipped():
    t = np.arange(96000) / 48000
    square = 0.5 * np.sign(np.sin(2 * np.pi * 221 * t + 0.1))
    assert not analyse(square.astype(np.float32)[None]).found


def pulse(hz, *, duty=0.5, seconds=4.0):
    return np.where((hz * np.arange(round(seconds * 48000)) / 48000) % 1 < duty, 1.0, -1.0)


@pytest.mark.parametrize("creep", [0.0, 0.3, 0.7])
def test_the_sound_of_a_games_console_is_not_clipped(creep):
    decay = np.ceil(15 * np.exp(-6 * np.tile(np.arange(12000) / 48000, 16))) / 15
    lead = 0.3 * decay * (pulse(330, duty=0.25) + 1)
    stairs = np.floor(16 * np.abs((82.5 * np.arange(lead.size) / 48000) % 1 - 0.5)) / 30
    for wav in (lead, 0.25 * pulse(261) + 0.2 * pulse(65), lead + stairs):
        filtered = scipy.signal.lfilter([1 - creep], [1, -creep], wav)
        assert not analyse(filtered.astype(np.float32)[None]).found


def test_plateaus_that_something_rises_above_are_no_level_to_restore_from():
    wav = clip(music(), 0.4)
    wav[0, 70000] = 0.41
    wav[0, 80000] = -0.41
    details = analyse(wav).details
    assert (details["positive_level"], details["negative_level"]) == ([None], [None])


def mp3(wav, rate):
    file = io.BytesIO()
    soundfile.write(file, wav.T, rate, format="MP3")
    return soundfile.read(io.BytesIO(file.getvalue()), dtype="float32", always_2d=True)[0].T


@pytest.mark.parametrize("coder", [mp3, lambda wav, rate: soxr.resample(wav.T, rate, 44_100).T])
def test_heavy_clipping_is_found_again_in_a_file_that_was_recoded(coder):
    wav = 0.5 * music(seconds=8) / np.abs(music(seconds=8)).max()
    assert not analyse(coder(wav, 48_000)).found
    finding = analyse(coder(clip(wav, 0.25), 48_000))
    assert finding.severity == "moderate"
    assert finding.details["positive_level"] == [None]


@pytest.mark.parametrize("creep", [0.0, 0.3, 0.7])
def test_pulses_that_were_resampled_are_not_clipped(creep):
    wav = 0.25 * pulse(261) + 0.2 * pulse(65)
    wav = scipy.signal.lfilter([1 - creep], [1, -creep], wav)
    assert not analyse(soxr.resample(wav, 48_000, 44_100).astype(np.float32)[None]).found


def test_each_channel_and_polarity_has_its_own_level():
    wav = music(channels=2)
    wav[0] = np.clip(wav[0], -0.5, 0.4)
    wav[1] = 0.9 * wav[1]
    details = analyse(wav).details
    assert details["positive_level"] == [pytest.approx(0.4, abs=2e-4), None]
    assert details["negative_level"] == [pytest.approx(-0.5, abs=2e-4), None]


def test_it_says_where():
    wav = 0.35 * music(seconds=6)
    wav[:, 96000:144000] = clip(2.5 * wav[:, 96000:144000], 0.5)
    finding = analyse(wav)
    assert len(finding.where) > 0
    assert all(1.99 <= start < end <= 3.01 for start, end in finding.where)


def test_at_most_fifty_places_are_listed():
    assert len(analyse(clip(music(seconds=20, channels=2), 0.9)).where) <= 50


@pytest.mark.parametrize("samples", [0, 1, 2, 1000])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_silence_and_constants_are_not_clipped(samples, level):
    finding = analyse(np.full((2, samples), level, np.float32))
    assert finding.value == 0
    assert not finding.found


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (44100, 64), (192000, 2)])
def test_it_works_at_every_rate_and_width(sample_rate, channels):
    wav = clip(music(1, sample_rate=sample_rate, channels=channels), 0.3)
    finding = analyse(wav, sample_rate=sample_rate)
    assert finding.details["positive_level"] == pytest.approx([0.3] * channels, abs=2e-4)


@pytest.mark.parametrize("cut", [61, 997, 48000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = np.concatenate(  # the level creeps up by fractions of the tolerance
        [clip(music(0.5, seed=i), 0.4 + i * 1.3e-5) for i in range(6)], axis=1
    )
    assert analyse(wav, cut=cut) == analyse(wav)


@pytest.mark.parametrize("name", ["castanets", "contrabassoon", "glock", "harpsichord", "strauss"])
def test_good_recordings_are_not_clipped(shared_audio, name):
    wav, sample_rate = soundfile.read(
        shared_audio / "clean" / "test" / f"visqol_{name}.flac", dtype="float32", always_2d=True
    )
    assert not analyse(wav.T, sample_rate=sample_rate).found
