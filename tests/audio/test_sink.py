import errno
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.signals import cut, noise, pink_noise, silence, sine

from nitido.audio import FORMATS, FileSource, sink, write, write_text
from nitido.dsp.chunks import join
from nitido.dsp.speakers import default_mask, speakers
from nitido.errors import AudioWriteError, ConfigError, SampleRateError

SOUND = pink_noise(seconds=1, channels=2)


def save(path, blocks, wav=SOUND, *, sample_rate=48_000, **options):
    channels, samples = wav.shape
    return write(
        path, blocks, sample_rate=sample_rate, channels=channels, samples=samples, **options
    )


def load(path):
    source = FileSource(path)
    return join(source.blocks(), channels=source.channels)


def run_elsewhere(program):
    """Run a program in a process of its own, with these tests in reach."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "bit_depth", "error_lsb"),
    [("a.wav", 32, 0), ("a.aiff", 32, 0), ("a.wav", 24, 0.5), ("a.flac", None, 0.5)],
)
def test_what_was_written_is_read_back(tmp_path, name, bit_depth, error_lsb):
    save(tmp_path / name, [SOUND], bit_depth=bit_depth)
    assert np.abs(load(tmp_path / name) - SOUND).max() <= error_lsb / 2**23


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac"])
def test_what_24_bit_can_hold_is_held_exactly(tmp_path, name):
    exact = (np.round(SOUND * 2**23) / 2**23).astype(np.float32)
    save(tmp_path / name, [exact])
    assert np.array_equal(load(tmp_path / name), exact)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.mp3"])
def test_lossy_formats_keep_length_channels_and_tune(tmp_path, name):
    tone = np.concatenate([sine(440), sine(660)])
    save(tmp_path / name, [tone], tone)
    found = load(tmp_path / name)
    assert found.shape == tone.shape
    assert np.abs(found - tone)[:, 5_000:-5_000].max() < 0.05


def write_every_format(folder, *sizes):
    """Write the same sound in every format, from blocks of these sizes; return the paths."""
    tags = {"title": ["Song"], "ai-generated": ["yes"]}
    depths = {"a.wav": 32, "b.wav": 16, "a.aiff": 32}
    names = [*depths, "a.flac", "a.ogg", "a.opus", "a.mp3"]
    return [
        save(folder / name, cut(SOUND, *sizes), tags=tags, bit_depth=depths.get(name))
        for name in names
    ]


def test_the_same_sound_gives_the_same_bytes_at_another_time_and_however_it_was_cut(tmp_path):
    (tmp_path / "again").mkdir()
    first = write_every_format(tmp_path, 48_000)
    # a second later, in another process: libsndfile puts time and chance into some headers
    run_elsewhere(
        f"""
        import time, pathlib
        from tests.audio.test_sink import write_every_format
        time.sleep(max(0, 1.01 - time.time() % 1))
        write_every_format(pathlib.Path({str(tmp_path / "again")!r}), 999, 12_345)
        """
    )
    for path in first:
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_silence_in_16_bit_is_dither_of_one_lsb_and_no_more(tmp_path):
    quiet = silence(seconds=4, channels=2)
    save(tmp_path / "a.wav", [quiet], quiet, bit_depth=16)
    steps, _ = sf.read(tmp_path / "a.wav", dtype="int16")
    values, counts = np.unique(steps, return_counts=True)
    assert values.tolist() == [-1, 0, 1]
    assert counts / steps.size == pytest.approx([1 / 8, 3 / 4, 1 / 8], abs=0.01)
    assert abs(np.corrcoef(steps.T)[0, 1]) < 0.02


def test_dither_lets_music_below_one_step_be_heard(tmp_path):
    faint = sine(1000, seconds=4, amplitude=0.4 / 2**15)
    save(tmp_path / "a.wav", [faint], faint, bit_depth=16)
    found = load(tmp_path / "a.wav")
    level = np.dot(found[0], faint[0]) / np.dot(faint[0], faint[0])
    assert level == pytest.approx(1, abs=0.05)


def test_16_bit_is_never_further_off_than_dither_and_rounding(tmp_path):
    save(tmp_path / "a.flac", [SOUND], bit_depth=16)
    assert np.abs(load(tmp_path / "a.flac") - SOUND).max() <= 1.5 / 2**15


def test_beyond_full_scale_integers_clip_and_say_so_and_floats_do_not(tmp_path, caplog):
    loud = sine(100, amplitude=1.5)
    with caplog.at_level(logging.WARNING):
        save(tmp_path / "a.wav", [loud], loud, bit_depth=24)
    assert f"{np.count_nonzero(np.abs(loud) > 1)} samples" in caplog.text
    assert load(tmp_path / "a.wav").max() == 1 - 2**-23
    assert load(tmp_path / "a.wav").min() == -1
    caplog.clear()
    save(tmp_path / "b.wav", [loud], loud, bit_depth=32)
    assert np.array_equal(load(tmp_path / "b.wav"), loud)
    assert caplog.text == ""


def test_full_scale_itself_is_not_called_clipped(tmp_path, caplog):
    square = np.sign(sine(100, phase=0.1))
    save(tmp_path / "a.wav", [square], square)
    assert caplog.text == ""


@pytest.mark.parametrize("channels", [1, 3, 8, 64])
def test_channels_keep_their_order(tmp_path, channels):
    wav = (
        np.arange(1, channels + 1, dtype=np.float32)[:, None] / 128 * np.ones((1, 100), np.float32)
    )
    save(tmp_path / "a.wav", [wav], wav)
    assert np.array_equal(load(tmp_path / "a.wav"), wav)


def chord(channels):
    """A tone of its own for each channel, 300, 400, … Hz."""
    return np.concatenate([sine(300 + 100 * number, amplitude=0.1) for number in range(channels)])


def tones(wav):
    spectra = np.abs(np.fft.rfft(wav[:, 12_000:36_000] * np.hanning(24_000)))
    return (spectra.argmax(axis=1) * 2).tolist()


def ffmpeg_tones(path, *options):
    """The tones in WAVE's order, as another program reads them."""
    command = ["ffmpeg", "-v", "error", "-i", path, *options, "-f", "f32le", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    channels = load(path).shape[0]
    return tones(np.frombuffer(raw, "<f4").reshape(-1, channels).T)


LOW_HZ = 60.0  # all that is left in the channel for low frequencies of Opus


@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.opus"])
def test_each_channel_comes_from_its_own_speaker_in_every_format(tmp_path, name, channels):
    wav = chord(channels)
    if channels >= 6:
        wav[3] = sine(LOW_HZ, amplitude=0.1)
    save(tmp_path / name, [wav], wav)
    assert tones(load(tmp_path / name)) == tones(wav)
    assert FileSource(tmp_path / name).mask == default_mask(channels)
    if shutil.which("ffmpeg"):
        assert ffmpeg_tones(tmp_path / name) == tones(wav)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
def test_what_is_too_short_for_m4a_is_refused_and_what_is_not_keeps_its_length(tmp_path):
    short, long = SOUND[:, :20], SOUND[:, :48]
    with pytest.raises(AudioWriteError, match="less than 1 ms; write wav"):
        save(tmp_path / "a.m4a", [short], short)
    assert not list(tmp_path.iterdir())
    save(tmp_path / "a.m4a", [long], long)
    assert load(tmp_path / "a.m4a").shape == long.shape


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed")
@pytest.mark.parametrize(
    "options",
    [
        ("b.opus", "-c:a", "libopus", "-mapping_family", "1", "-b:a", "400k"),
        ("b.ogg", "-c:a", "libvorbis"),
        ("b.flac",),
        ("b.m4a", "-c:a", "aac", "-b:a", "400k"),
        ("b.caf",),
        ("b.mka", "-c:a", "ac3", "-b:a", "448k"),
    ],
)
def test_surround_that_another_program_wrote_has_each_channel_in_its_place(tmp_path, options):
    name, *codec = options
    wav = chord(6)
    wav[3] = sine(LOW_HZ, amplitude=0.1)
    save(tmp_path / "a.wav", [wav], wav)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", *codec, tmp_path / name]
    subprocess.run(command, check=True)
    assert tones(load(tmp_path / name)) == tones(wav)
    assert speakers(6, FileSource(tmp_path / name).mask)[:4] == speakers(6, default_mask(6))[:4]


SIDES = 0x60F  # 5.1 with its surrounds at the side
LOW = 0xB  # 2.1


def format_tag(path):
    return int.from_bytes(path.read_bytes()[20:22], "little")


@pytest.mark.parametrize("mask", [SIDES, 0])
@pytest.mark.parametrize(
    ("name", "bit_depth"),
    [("a.wav", 16), ("a.wav", 24), ("a.wav", 32), ("a.aiff", 24), ("a.flac", 24)],
)
def test_the_speakers_stay_what_they_were(tmp_path, name, bit_depth, mask):
    wav = noise(seconds=0.1, channels=6)
    save(tmp_path / name, [wav], wav, bit_depth=bit_depth, mask=mask, tags={"title": ["t"]})
    source = FileSource(tmp_path / name)
    assert source.mask == mask
    assert source.tags == {"title": ["t"]}
    if name == "a.wav":
        assert format_tag(tmp_path / name) == 0xFFFE


def test_one_and_two_channels_are_written_as_every_program_reads_them(tmp_path):
    save(tmp_path / "a.wav", [SOUND])
    assert format_tag(tmp_path / "a.wav") == 1


@pytest.mark.parametrize(
    ("mask", "channels", "said"), [(LOW, 3, "low-frequency"), (0, 5, "no speakers")]
)
def test_speakers_that_a_format_cannot_name_are_named_in_a_warning(
    tmp_path, caplog, mask, channels, said
):
    wav = chord(channels)
    save(tmp_path / "a.ogg", [wav], wav, mask=mask)
    assert said in caplog.text
    assert "Write wav or flac to keep them" in caplog.text
    assert tones(load(tmp_path / "a.ogg")) == tones(wav)
    caplog.clear()
    save(tmp_path / "b.ogg", [chord(6)], chord(6), mask=SIDES)
    assert caplog.text == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_an_interruption_leaves_nothing_behind(tmp_path, name, error):
    def interrupted():
        yield SOUND
        raise error

    with pytest.raises(error):
        save(tmp_path / name, interrupted())
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_inside_the_encoder_is_not_swallowed(tmp_path, monkeypatch):
    def interrupted(self, received):
        raise KeyboardInterrupt

    monkeypatch.setattr(sink.OggRewriter, "feed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a.ogg", [SOUND])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_older_file_as_it_was(tmp_path):
    path = save(tmp_path / "a.wav", [SOUND])
    before = path.read_bytes()
    with pytest.raises(AudioWriteError, match="announced"):
        save(path, [SOUND[:, :-1]], overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_full_disk_leaves_nothing_behind_and_says_so(tmp_path, name, monkeypatch):
    real, written = sink.part_file, [0]

    class FullDisk:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, attribute):
            return getattr(self.file, attribute)

        def write(self, piece):
            written[0] += len(piece)
            if written[0] > 5_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(piece)

    @contextmanager
    def full(target, **options):
        with real(target, **options) as file:
            yield FullDisk(file)

    monkeypatch.setattr(sink, "part_file", full)
    with pytest.raises(AudioWriteError, match="No space left"):
        save(tmp_path / name, cut(SOUND, 1000))
    assert list(tmp_path.iterdir()) == []


def test_a_file_size_limit_of_the_system_is_met_the_same_way(tmp_path):
    program = f"""
        import resource, signal
        from tests.audio.test_sink import SOUND, save
        from nitido.errors import AudioWriteError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save({str(tmp_path / "a.wav")!r}, [SOUND])
        except AudioWriteError as error:
            print(error)
        """
    done = run_elsewhere(program)
    assert "larger than" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_read_only_is_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(AudioWriteError, match="does not exist"):
        save(tmp_path / "no" / "a.wav", [SOUND])

    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(AudioWriteError, match="cannot be written to"):
        save(tmp_path / "a.wav", [SOUND])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_real_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(AudioWriteError, match="cannot be written to"):
        save(tmp_path / "a.wav", [SOUND])


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = save(tmp_path / "a.wav", [SOUND])
    with pytest.raises(AudioWriteError, match="exists"):
        save(path, [-SOUND])
    assert np.allclose(load(path), SOUND, atol=1e-6)
    path.chmod(0o640)
    save(path, [-SOUND], overwrite=True)
    assert np.allclose(load(path), -SOUND, atol=1e-6)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    def slowly():
        yield SOUND
        (tmp_path / "a.wav").write_text("mine")

    with pytest.raises(AudioWriteError, match="exists"):
        save(tmp_path / "a.wav", slowly())
    assert (tmp_path / "a.wav").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_input_is_never_written_to_whatever_it_is_called(tmp_path):
    song = save(tmp_path / "song.wav", [SOUND])
    before = song.read_bytes()
    (tmp_path / "symbolic.wav").symlink_to(song)
    (tmp_path / "hard.wav").hardlink_to(song)
    (tmp_path / "folder").mkdir()
    for name in ["song.wav", "symbolic.wav", "hard.wav", "folder/../song.wav"]:
        with pytest.raises(AudioWriteError, match="never written to"):
            save(tmp_path / name, [-SOUND], overwrite=True, forbidden=[song])
    assert song.read_bytes() == before


def test_a_link_to_a_result_stays_a_link(tmp_path):
    result = save(tmp_path / "a.wav", [SOUND])
    link = tmp_path / "latest.wav"
    link.symlink_to(result)
    save(link, [-SOUND], overwrite=True)
    assert link.is_symlink()
    assert np.allclose(load(result), -SOUND, atol=1e-6)


def test_what_is_no_file_is_not_written_to(tmp_path):
    with pytest.raises(AudioWriteError, match="regular"):
        save("/dev/null", [SOUND], format="wav", overwrite=True)
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(AudioWriteError, match="regular"):
        save(tmp_path / "a.wav", [SOUND], overwrite=True)


def test_a_result_is_readable_for_whom_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        assert save(tmp_path / "a.wav", [SOUND]).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    path = tmp_path / ("é" * 125 + ".wav")
    save(path, [SOUND])
    assert list(tmp_path.iterdir()) == [path]


def test_beyond_4_gb_a_wav_file_becomes_rf64_and_an_aiff_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sink, "_RIFF_MAX_BYTES", 1000)
    tags = {"title": ["Long"], "ai-generated": ["yes"]}
    path = save(tmp_path / "a.wav", [SOUND], tags=tags)
    assert path.read_bytes()[:4] == b"RF64"
    assert sf.info(path).frames == SOUND.shape[1]
    assert np.abs(load(path) - SOUND).max() < 1e-7
    assert FileSource(path).tags == tags
    with pytest.raises(AudioWriteError, match="4 GB"):
        save(tmp_path / "a.aiff", [SOUND])


def test_the_format_is_known_by_name_or_by_suffix(tmp_path):
    assert sf.info(save(tmp_path / "a.xyz", [SOUND], format="flac")).format == "FLAC"
    assert sf.info(save(tmp_path / "a.AIF", [SOUND])).format == "AIFF"
    for options in [{"format": "wma"}, {}]:
        with pytest.raises(ConfigError, match=", ".join(FORMATS)):
            save(tmp_path / "b.xyz", [SOUND], **options)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.opus", {"sample_rate": 44_100}, "44100 Hz"),
        ("a.mp3", {"sample_rate": 96_000}, "96000 Hz"),
        ("a.flac", {"bit_depth": 32}, "16, 24 bit"),
        ("a.mp3", {"bit_depth": 16}, "no bit depth"),
        ("a.wav", {"bit_depth": 8}, "16, 24, 32 bit"),
    ],
)
def test_what_a_format_cannot_hold_is_said_before_any_work(tmp_path, name, options, reason):
    def never():
        raise AssertionError
        yield

    with pytest.raises(ConfigError, match=reason):
        save(tmp_path / name, never(), **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "channels"), [("a.flac", 9), ("a.mp3", 3)])
def test_more_channels_than_a_format_holds_are_refused(tmp_path, name, channels):
    wav = noise(seconds=0.1, channels=channels)
    with pytest.raises(ConfigError, match="channels"):
        save(tmp_path / name, [wav], wav)


def test_impossible_rates_and_samples_are_refused(tmp_path):
    with pytest.raises(SampleRateError):
        save(tmp_path / "a.wav", [SOUND], sample_rate=1)
    for name in ["a.wav", "a.flac"]:
        with pytest.raises(AudioWriteError, match="NaN"):
            save(tmp_path / name, [np.full_like(SOUND, np.nan)])
    with pytest.raises(AudioWriteError, match="channels"):
        save(tmp_path / "a.wav", [SOUND[:1]])
    assert list(tmp_path.iterdir()) == []


def test_text_is_written_whole_or_not_at_all(tmp_path):
    path = write_text(tmp_path / "a.json", "{}\n")
    assert path.read_text() == "{}\n"
    with pytest.raises(AudioWriteError, match="exists"):
        write_text(path, "other")
    write_text(path, "ö", overwrite=True)
    assert path.read_bytes() == "ö".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.soak
def test_a_real_file_beyond_4_gb_is_whole(tmp_path):
    """Takes 4.4 GB of disk."""
    block = pink_noise(seconds=30, sample_rate=192_000, channels=2)
    count = 4 * 2**30 // (block.shape[1] * 2 * 4) + 5
    samples = count * block.shape[1]
    path = write(
        tmp_path / "long.wav",
        (block for _ in range(count)),
        sample_rate=192_000,
        channels=2,
        samples=samples,
        bit_depth=32,
        tags={"title": ["Long"]},
    )
    assert path.stat().st_size > 2**32
    with path.open("rb") as opened:
        assert opened.read(4) == b"RF64"
    source = FileSource(path)
    assert (source.samples, source.tags) == (samples, {"title": ["Long"]})
    with sf.SoundFile(path) as file:
        file.seek(samples - block.shape[1])
        assert np.array_equal(file.read(dtype="float32").T, block)
