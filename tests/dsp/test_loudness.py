import numpy as np
import pyloudnorm
import pytest

from nitido.dsp.loudness import (
    MARGIN,
    LoudnessMeter,
    TruePeakMeter,
    integrated_lufs,
    k_weighting,
    peaks_between,
    rows_reach,
    true_peak_dbtp,
)
from nitido.errors import AudioShapeError
from nitido.metrics import delivery
from nitido.metrics.catalogue import CATALOGUE


def tone(level_dbfs, seconds, *, sample_rate=48000, channels=2, hz=997.0):
    """Sine whose peaks lie at `level_dbfs`, the same in all channels."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wav = 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * t)
    return np.tile(wav.astype(np.float32), (channels, 1))


def steps(*levels_and_seconds):
    return np.concatenate([tone(level, seconds) for level, seconds in levels_and_seconds], axis=1)


def noise(seconds, *, sample_rate=48000, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    wav = 0.1 * rng.standard_normal((channels, round(seconds * sample_rate)))
    wav *= np.repeat(rng.uniform(0.05, 1, 20), -(-wav.shape[1] // 20))[: wav.shape[1]]
    return wav.astype(np.float32)


def surround(*levels_dbfs):
    return np.concatenate([tone(level, 20, channels=1, hz=1000.0) for level in levels_dbfs])


@pytest.mark.parametrize(
    ("levels_dbfs", "mask"),
    [
        ((-28, -28, -24, -30, -30), None),
        ((-28, -28, -24, -30, -30), 0x607),  # the surrounds as side speakers
        ((-28, -28, -24, 0, -30, -30), None),
        ((-28, -28, -24, 0, -30, -30), 0x3F),
    ],
)
def test_ebu_3341_surround_reads_as_the_standard_says_and_low_frequencies_count_nothing(
    levels_dbfs, mask
):
    wav = surround(*levels_dbfs)
    loudness = LoudnessMeter(48000, len(wav), mask)
    loudness.update(wav)
    assert loudness.integrated_lufs == pytest.approx(-23, abs=0.1)


def test_channels_without_speakers_and_pairs_count_alike():
    for wav, mask in ((surround(*[-30] * 6), 0), (surround(-30, -30), 0x30)):
        loudness = LoudnessMeter(48000, len(wav), mask)
        loudness.update(wav)
        expected = -30 - 3.01 + 10 * np.log10(len(wav))
        assert loudness.integrated_lufs == pytest.approx(expected, abs=0.05)


def test_beside_side_speakers_those_at_the_back_count_one():
    wav = surround(-30, -30, -30, 0, -30, -30, -30, -30)
    expected = -30 - 3.01 + 10 * np.log10(5 + 2 * 1.41)
    assert integrated_lufs(wav, sample_rate=48000) == pytest.approx(expected, abs=0.05)


def meter(wav, sample_rate=48000, cut=10**9):
    loudness = LoudnessMeter(sample_rate, wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        loudness.update(wav[:, start : start + cut])
    return loudness


def test_the_filter_at_48_khz_is_that_of_the_standard():
    shelf, high_pass = k_weighting(48000)
    assert shelf[:3] == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285])
    assert shelf[4:] == pytest.approx([-1.69065929318241, 0.73248077421585])
    assert high_pass[:3] == pytest.approx([1, -2, 1], abs=1e-6)
    assert high_pass[4:] == pytest.approx([-1.99004745483398, 0.99007225036621])


@pytest.mark.parametrize("sample_rate", [32000, 44100, 48000, 96000, 192000])
def test_a_full_scale_997_hz_sine_in_one_channel_is_3_01_lu_under_zero(sample_rate):
    wav = tone(0, 5, sample_rate=sample_rate, channels=1)
    assert integrated_lufs(wav, sample_rate=sample_rate) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize(
    ("levels_and_seconds", "lufs"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_ebu_3341_tones_read_as_the_standard_says(levels_and_seconds, lufs):
    wav = steps(*levels_and_seconds)
    assert integrated_lufs(wav, sample_rate=48000) == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize(
    ("levels", "range_lu"),
    [([-20, -30], 10), ([-20, -15], 5), ([-40, -20], 20), ([-50, -35, -20, -35, -50], 15)],
)
def test_ebu_3342_tones_have_the_loudness_range_the_standard_says(levels, range_lu):
    wav = steps(*((level, 20) for level in levels))
    assert meter(wav).range_lu == pytest.approx(range_lu, abs=0.5)


def test_a_short_burst_is_louder_for_a_moment_than_over_three_seconds():
    wav = steps((-60, 5), (-20, 0.5), (-60, 5))
    assert meter(wav).momentary_max_lufs == pytest.approx(-20, abs=0.1)
    # Half a second of three carries a sixth of the energy.
    assert meter(wav).short_term_max_lufs == pytest.approx(-20 - 10 * np.log10(6), abs=0.1)


@pytest.mark.parametrize("start_seconds", [0.02, 0.06, 0.15])
def test_a_burst_is_as_loud_wherever_it_begins(start_seconds):
    wav = steps((-np.inf, start_seconds), (-23, 0.4), (-np.inf, 1))
    assert meter(wav).momentary_max_lufs == pytest.approx(-23, abs=0.1)  # EBU Tech 3341, case 13


@pytest.mark.parametrize("sample_rate", [32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_music_like_noise_reads_as_in_pyloudnorm(sample_rate, channels):
    wav = noise(10, sample_rate=sample_rate, channels=channels)
    lufs = integrated_lufs(wav, sample_rate=sample_rate)
    exact = pyloudnorm.Meter(sample_rate, filter_class="DeMan").integrated_loudness(wav.T)
    rounded = pyloudnorm.Meter(sample_rate).integrated_loudness(wav.T)
    # Away from 48 kHz its high-pass gains or loses up to 0.03 dB; its default filter, 0.04 dB.
    assert lufs == pytest.approx(exact, abs=0.02 if sample_rate >= 44100 else 0.03)
    assert lufs == pytest.approx(rounded, abs=0.06)


def test_loudness_does_not_depend_on_how_the_piece_is_cut():
    wav = noise(7)
    whole = meter(wav)
    for cut in (977, 48000, 131072):
        parts = meter(wav, cut=cut)
        assert parts.integrated_lufs == pytest.approx(whole.integrated_lufs, abs=1e-6)
        assert parts.range_lu == pytest.approx(whole.range_lu, abs=1e-6)
        assert parts.momentary_max_lufs == pytest.approx(whole.momentary_max_lufs, abs=1e-6)


def test_6_db_more_are_6_lu_more():
    wav = noise(5)
    louder = integrated_lufs(2 * wav, sample_rate=48000)
    assert louder - integrated_lufs(wav, sample_rate=48000) == pytest.approx(6.02, abs=0.01)


def test_low_rumble_counts_less_than_a_voice():
    rumble = integrated_lufs(tone(-20, 3, hz=20), sample_rate=48000)
    voice = integrated_lufs(tone(-20, 3, hz=2000), sample_rate=48000)
    assert rumble < voice - 12


@pytest.mark.parametrize("samples", [0, 1, 4800, 96000])
def test_silence_and_next_to_nothing_have_no_loudness(samples):
    silence = np.zeros((2, samples), np.float32)
    assert integrated_lufs(silence, sample_rate=48000) is None
    assert meter(silence).range_lu is None
    assert true_peak_dbtp(silence, sample_rate=48000) is None


@pytest.mark.parametrize("sample_rate", [8000, 44100, 48000, 96000])
def test_a_sine_at_a_quarter_of_the_rate_peaks_3_db_over_its_samples(sample_rate):
    t = np.arange(sample_rate)
    wav = (0.5 * np.sin(np.pi / 2 * t + np.pi / 4)).astype(np.float32)[None]
    wav *= np.minimum(1, np.minimum(t, t[::-1]) / 500).astype(np.float32)  # no step at the edges
    assert 20 * np.log10(np.abs(wav).max()) == pytest.approx(-9.03, abs=0.01)
    assert true_peak_dbtp(wav, sample_rate=sample_rate) == pytest.approx(-6.02, abs=0.02)


@pytest.mark.parametrize(("fraction", "phase_degrees"), [(4, 0), (4, 45), (6, 60), (8, 67.5)])
def test_ebu_3341_true_peak_tones_read_minus_6_dbtp(fraction, phase_degrees):
    t = np.arange(48000)
    wav = 0.5 * np.sin(2 * np.pi / fraction * t + np.deg2rad(phase_degrees))
    wav = (wav * np.minimum(1, np.minimum(t, t[::-1]) / 500)).astype(np.float32)[None]
    assert -6.4 < true_peak_dbtp(wav, sample_rate=48000) < -5.8


def test_the_true_peak_found_by_skipping_is_that_of_oversampling_everything():
    rng = np.random.default_rng(3)
    wav = (0.1 * rng.standard_normal((2, 50000))).astype(np.float32)
    spectrum = np.fft.rfft(wav)
    spectrum[:, round(0.4 * 50000) :] = 0  # where the interpolator is flat
    wav = np.fft.irfft(spectrum).astype(np.float32)
    padded = np.zeros((2, 4 * 50000 // 2 + 1), complex)
    padded[:, : spectrum.shape[1]] = spectrum
    dense = np.fft.irfft(padded) * 4
    expected = np.abs(dense[:, 400:-400]).max()  # the FFT wraps around, the meter does not
    peak = 10 ** (true_peak_dbtp(wav[:, 100:-100], sample_rate=48000) / 20)
    assert peak == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_nothing_between_samples_exceeds_the_reach_of_their_row(factor):
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((300, 64 + MARGIN)).astype(np.float32)
    rows[:100] = np.sign(rows[:100])  # alternating at random: the worst there is
    rows[100:200] = np.sin(np.arange(64 + MARGIN) * rng.uniform(0.01, 0.2, (100, 1)))
    found = peaks_between(rows, outputs=64, factor=factor)
    reach = rows_reach(rows, factor=factor)
    assert (found <= reach).all()
    assert (
        reach[100:200] < 1.03 * np.abs(rows[100:200]).max(axis=1)
    ).all()  # smooth waves: nearly it


def test_true_peak_does_not_depend_on_how_the_piece_is_cut():
    wav = noise(1)
    whole = true_peak_dbtp(wav, sample_rate=48000)
    for cut in (1, 63, 64, 1000):
        peak = TruePeakMeter(48000, 2)
        for start in range(0, 3000 if cut == 1 else wav.shape[1], cut):
            peak.update(wav[:, start : start + cut])
        reference = true_peak_dbtp(wav[:, :3000], sample_rate=48000) if cut == 1 else whole
        assert 20 * np.log10(peak.true_peak) == pytest.approx(reference, abs=1e-4)


def test_asking_for_the_peak_in_between_changes_nothing():
    wav = noise(0.5)
    asked = TruePeakMeter(48000, 2)
    for start in range(0, wav.shape[1], 5000):
        asked.update(wav[:, start : start + 5000])
        assert asked.true_peak >= asked.sample_peak
    reference = true_peak_dbtp(wav, sample_rate=48000)
    assert 20 * np.log10(asked.true_peak) == pytest.approx(reference, abs=1e-4)


@pytest.mark.parametrize("sample_rate", [8000, 192000])
def test_a_single_click_is_measured_at_its_height(sample_rate):
    wav = np.zeros((64, 1), np.float32)
    wav[7] = -0.5
    assert true_peak_dbtp(wav, sample_rate=sample_rate) == pytest.approx(-6.02, abs=0.01)


def test_every_measure_is_in_the_catalogue_and_agrees_with_the_meters():
    wav = noise(10)
    scores = delivery.evaluate(estimate=wav, sample_rate=48000)
    assert set(scores) == {measure.name for measure in CATALOGUE["delivery"]}
    assert scores["integrated_lufs"] == integrated_lufs(wav, sample_rate=48000)
    assert scores["true_peak_dbtp"] == true_peak_dbtp(wav, sample_rate=48000)
    difference = scores["true_peak_dbtp"] - scores["integrated_lufs"]
    assert scores["peak_to_loudness_db"] == difference
    assert scores["short_term_max_lufs"] == meter(wav).short_term_max_lufs


def test_correlation_goes_from_upside_down_to_mono():
    left, right = noise(3, channels=2)
    mixes = [left * share + right * (1 - abs(share)) for share in (-1, -0.5, 0, 0.5, 1)]
    found = [delivery.correlation(estimate=np.stack([left, mix])) for mix in mixes]
    assert found == sorted(found)
    assert found[0] == pytest.approx(-1)
    assert found[2] == pytest.approx(0, abs=0.05)
    assert found[4] == pytest.approx(1)
    assert delivery.correlation(estimate=left[None]) == pytest.approx(1)


@pytest.mark.parametrize("level_dbfs", [-60, -40, -20])
def test_an_offset_is_found_at_its_level_in_the_worst_channel(level_dbfs):
    wav = tone(-20, 1)
    wav[1] += 10 ** (level_dbfs / 20)
    assert delivery.dc_dbfs(estimate=wav) == pytest.approx(level_dbfs, abs=0.05)


@pytest.mark.parametrize("samples", [1, 4800, 48000])
def test_silence_and_short_pieces_have_what_they_can_have(samples):
    scores = delivery.evaluate(estimate=np.zeros((2, samples), np.float32), sample_rate=48000)
    assert set(scores.values()) == {None}
    with pytest.raises(AudioShapeError):
        delivery.evaluate(estimate=np.zeros((2, 0), np.float32), sample_rate=48000)
