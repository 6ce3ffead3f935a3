import io
import os
import shutil
import struct
import subprocess
import sys
import textwrap
import tracemalloc
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
import soundfile as sf
from tests.signals import noise, pink_noise, sine

from nitido.audio import ArraySource, FileSource, open_source, validation, write
from nitido.audio.ogg import read_page
from nitido.dsp.chunks import join
from nitido.errors import (
    AudioReadError,
    AudioShapeError,
    AudioTooShortError,
    ConfigError,
    SampleRateError,
)

SOUND = pink_noise(seconds=1, channels=2)


def written(path, wav=SOUND, sample_rate=48_000, **options):
    return write(
        path,
        [wav],
        sample_rate=sample_rate,
        channels=wav.shape[0],
        samples=wav.shape[1],
        **options,
    )


def everything(source, block_samples=2**18):
    return join(source.blocks(block_samples), channels=source.channels)


def wav_header(*, channels=1, sample_rate=48_000, size=None, sound=b"\0" * 400):
    frame = channels * 2
    return b"".join(
        [
            b"RIFF" + struct.pack("<I", 36 + len(sound)) + b"WAVE",
            b"fmt " + struct.pack("<IHHI", 16, 1, channels, sample_rate),
            struct.pack("<IHH", sample_rate * frame & 0xFFFFFFFF, frame & 0xFFFF, 16),
            b"data" + struct.pack("<I", len(sound) if size is None else size) + sound,
        ]
    )


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("block_samples", [1_000, 7_777, 2**18])
def test_a_file_read_in_blocks_is_the_file_read_whole(tmp_path, name, block_samples):
    source = FileSource(written(tmp_path / name))
    whole, _ = sf.read(source.path, dtype="float32", always_2d=True)
    assert (source.channels, source.samples, source.sample_rate) == (2, 48_000, 48_000)
    assert np.array_equal(everything(source, block_samples), whole.T)


@pytest.mark.parametrize("container", ["RF64", "W64", "CAF", "AU"])
def test_less_common_containers_are_read_too(tmp_path, container):
    path = tmp_path / "song.snd"
    sf.write(path, SOUND.T, 48_000, format=container, subtype="PCM_24")
    assert np.abs(everything(FileSource(path)) - SOUND).max() < 2e-7


def test_a_source_can_be_read_again_from_its_start(tmp_path):
    source = FileSource(written(tmp_path / "a.flac"))
    first = next(source.blocks(100))
    assert np.array_equal(next(source.blocks(100)), first)
    assert np.array_equal(everything(source), everything(source))


def test_reading_never_writes_to_the_file(tmp_path):
    path = written(tmp_path / "a.wav")
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    everything(FileSource(path))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_every_real_clip_gives_as_many_samples_as_it_promises(shared_audio):
    for path in sorted((shared_audio / "musicgen").iterdir())[::3]:
        source = FileSource(path)
        assert sum(block.shape[1] for block in source.blocks()) == source.samples


def test_an_mp3_without_a_length_header_loses_nothing(tmp_path):
    whole = written(tmp_path / "a.mp3").read_bytes()
    header = whole.index(b"Xing") - 36
    first = whole.index(whole[header : header + 2], header + 40)
    (tmp_path / "b.mp3").write_bytes(whole[first:])
    source = FileSource(tmp_path / "b.mp3")
    assert source.samples >= 48_000
    assert everything(source).shape[1] == source.samples


def test_two_mp3_files_joined_are_read_to_the_end(tmp_path):
    once = written(tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(once + once)
    assert FileSource(tmp_path / "b.mp3").samples >= 2 * 48_000


@pytest.mark.parametrize("trailer", [b"TAG".ljust(128, b"x"), bytes(500)])
def test_what_follows_the_last_frame_of_an_mp3_is_no_reason_to_refuse_it(tmp_path, trailer):
    whole = written(tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(whole + trailer)
    assert FileSource(tmp_path / "b.mp3").samples == 48_000


def test_a_wrong_size_in_an_mp3_is_put_right_and_the_decoder_has_nothing_to_say(tmp_path, capfd):
    whole = bytearray(written(tmp_path / "a.mp3").read_bytes())
    size = whole.index(b"Xing") + 12
    assert int.from_bytes(whole[size : size + 4], "big") > 12_345
    whole[size : size + 4] = (12_345).to_bytes(4, "big")
    (tmp_path / "b.mp3").write_bytes(whole)
    same = everything(FileSource(tmp_path / "b.mp3")) == everything(FileSource(tmp_path / "a.mp3"))
    assert same.all()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_number_of_frames_that_is_off_by_one_takes_nothing_from_the_start_of_an_mp3(
    tmp_path, off_by
):
    whole = bytearray(written(tmp_path / "a.mp3").read_bytes())
    at = whole.index(b"Xing") + 8
    frames = int.from_bytes(whole[at : at + 4], "big")
    whole[at : at + 4] = (frames + off_by).to_bytes(4, "big")
    (tmp_path / "b.mp3").write_bytes(whole)
    found = everything(FileSource(tmp_path / "b.mp3"))
    assert found.shape == SOUND.shape
    assert np.corrcoef(found[0], SOUND[0])[0, 1] > 0.95  # a sample late: 0.76


def test_of_a_stream_whose_beginning_is_looked_at_the_decoder_has_nothing_to_say(
    tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(validation, "_SNIFFED_BYTES", 8_000)
    with written(tmp_path / "a.mp3").open("rb") as stream:
        assert open_source(stream).samples == 48_000
    assert capfd.readouterr().err == ""


def wrapped(content, *, tag, channels=2, sample_rate=48_000):
    """A WAV file with coded sound, and a chunk behind it."""
    head = struct.pack("<HHIIHHH", tag, channels, sample_rate, 16_000, 1, 0, 0)
    chunks = [(b"fmt ", head), (b"data", content + b"\0" * (len(content) % 2)), (b"LIST", b"INFO")]
    body = b"".join(name + struct.pack("<I", len(chunk)) + chunk for name, chunk in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def test_an_mp3_in_a_wav_file_is_the_mp3_and_the_decoder_has_nothing_to_say(tmp_path, capfd):
    mp3 = written(tmp_path / "a.mp3")
    (tmp_path / "b.wav").write_bytes(wrapped(mp3.read_bytes(), tag=0x55))
    found = everything(FileSource(tmp_path / "b.wav"))
    assert np.array_equal(found, everything(FileSource(mp3)))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("missing", [1, 8, 44])
@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_a_size_that_promises_a_few_bytes_too_many_accuses_nobody(tmp_path, name, missing):
    whole = bytearray(written(tmp_path / name).read_bytes())
    sound, order = {"a.wav": (b"data", "<I"), "a.aiff": (b"SSND", ">I")}[name]
    at = whole.index(sound) + 4
    struct.pack_into(order, whole, at, struct.unpack_from(order, whole, at)[0] + missing)
    (tmp_path / f"b{name}").write_bytes(whole)
    found = everything(FileSource(tmp_path / f"b{name}"))
    assert np.array_equal(found[:, :48_000], everything(FileSource(tmp_path / name)))


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_joined_ogg_streams_are_refused_rather_than_all_but_one_lost(tmp_path, name):
    once = written(tmp_path / name).read_bytes()
    (tmp_path / f"b{name}").write_bytes(once + once)
    with pytest.raises(AudioReadError, match=f"several Ogg streams .* from byte {len(once)} on"):
        FileSource(tmp_path / f"b{name}")


@pytest.mark.parametrize("comment", ["", "c" * 70_000])
@pytest.mark.parametrize("parts", [1, 3, 12])  # that the last page of the headers is cut to
def test_the_sound_on_the_page_where_the_headers_end_is_heard(tmp_path, comment, parts):
    whole = written(tmp_path / "a.ogg", tags={"comment": [comment]} if comment else None)
    content, pages, position = whole.read_bytes(), [], 0
    while found := read_page(content, position):
        pages.append(found[0])
        position = found[1]
    last = 2 if comment else 1  # of the pages with headers
    headers, sound = pages[last], pages[last + 1]
    cuts = [len(headers.lacing) * part // parts for part in range(parts + 1)]
    cut = [
        headers._replace(
            flags=1 if start and headers.lacing[start - 1] == 255 else headers.flags * (not start),
            granule=0 if min(headers.lacing[start:stop]) < 255 else -1,
            lacing=headers.lacing[start:stop],
            body=headers.body[sum(headers.lacing[:start]) : sum(headers.lacing[:stop])],
        )
        for start, stop in pairwise(cuts)
    ]
    cut[-1] = cut[-1]._replace(
        granule=sound.granule, lacing=cut[-1].lacing + sound.lacing, body=cut[-1].body + sound.body
    )
    pages[last : last + 2] = cut
    path = tmp_path / "b.ogg"
    path.write_bytes(
        b"".join(page._replace(sequence=number).pack() for number, page in enumerate(pages))
    )
    found = everything(FileSource(path))
    np.testing.assert_allclose(found, everything(FileSource(whole)), atol=1e-6)


def ape_footer(size: int) -> bytes:
    return b"APETAGEX" + struct.pack("<IIII", 2000, size, 0, 0) + bytes(8)


def test_a_footer_that_claims_more_than_the_file_is_none(tmp_path):
    whole = bytearray(written(tmp_path / "a.mp3").read_bytes())
    (tmp_path / "b.mp3").write_bytes(whole + ape_footer(2**31))
    assert FileSource(tmp_path / "b.mp3").samples == 48_000
    whole[whole.index(b"Xing") + 7] &= 0xFE  # the header says no number of frames
    (tmp_path / "c.mp3").write_bytes(whole + ape_footer(2**31))
    assert FileSource(tmp_path / "c.mp3").samples >= 48_000
    (tmp_path / "d.mp3").write_bytes(whole + ape_footer(len(whole) + 32))  # all of it is the tag
    with pytest.raises(AudioReadError):
        FileSource(tmp_path / "d.mp3")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
def test_a_wav_file_written_to_a_pipe_is_read_to_its_end(tmp_path, size):
    whole = bytearray(written(tmp_path / "a.wav").read_bytes())
    struct.pack_into("<I", whole, 4, 0xFFFFFFFF)
    struct.pack_into("<I", whole, whole.index(b"data") + 4, size)
    (tmp_path / "b.wav").write_bytes(whole)
    assert np.abs(everything(FileSource(tmp_path / "b.wav")) - SOUND).max() < 1e-6


def test_a_flac_file_written_to_a_pipe_is_read_to_its_end(tmp_path):
    whole = bytearray(written(tmp_path / "a.flac").read_bytes())
    whole[21] &= 0xF0
    whole[22:26] = bytes(4)
    (tmp_path / "b.flac").write_bytes(whole)
    source = FileSource(tmp_path / "b.flac")
    assert source.samples == 48_000
    assert np.abs(everything(source) - SOUND).max() < 1e-6


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_refused(tmp_path, name, kept):
    whole = written(tmp_path / name).read_bytes()
    path = tmp_path / f"short{name}"
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(AudioReadError, match="cut short"):
        everything(FileSource(path))


@pytest.mark.parametrize(
    ("name", "least"),
    [
        *(("a.wav", 0.6), ("a.aiff", 0.6), ("a.caf", 0.6), ("a.au", 0.6), ("a.flac", 0.5)),
        *(("a.ogg", 0.5), ("a.opus", 0.45), ("a.mp3", 0.5)),
    ],
)
def test_what_is_there_of_a_file_that_was_cut_short_is_taken_where_the_user_says_so(
    tmp_path, name, least, capfd
):
    long = pink_noise(seconds=4, channels=2)
    if name in ("a.caf", "a.au"):
        sf.write(tmp_path / name, long.T, 48_000, subtype="PCM_24")
        whole = tmp_path / name
    else:
        whole = written(tmp_path / name, long)
    path = tmp_path / f"short_{name}"
    content = whole.read_bytes()
    path.write_bytes(content[: round(len(content) * 0.7)])
    with pytest.raises(AudioReadError, match='restore what is there of it with `damaged="take"`'):
        everything(FileSource(path))
    source = FileSource(path, damaged="take")
    found = everything(source, 7_777)
    assert found.shape == (2, source.samples)
    assert least * long.shape[1] <= source.samples <= 0.75 * long.shape[1]
    end = source.samples - 2_000  # a coder fades at the cut
    assert np.array_equal(found[:, :end], everything(FileSource(whole))[:, :end])
    (warning,) = source.warnings
    assert f"the {source.samples / 48_000:.2f} s that are there are taken" in warning
    assert capfd.readouterr().err == ""


def test_up_to_where_a_flac_file_is_damaged_it_is_taken(tmp_path):
    whole = bytearray(written(tmp_path / "a.flac").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 64] = bytes(64)
    (tmp_path / "b.flac").write_bytes(whole)
    source = FileSource(tmp_path / "b.flac", damaged="take")
    assert 15_000 < source.samples < 24_000
    good = everything(FileSource(tmp_path / "a.flac"))
    assert np.array_equal(everything(source), good[:, : source.samples])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_of_a_whole_file_all_is_taken_and_nothing_said(tmp_path, name):
    path = written(tmp_path / name)
    source = FileSource(path, damaged="take")
    assert source.warnings == ()
    assert np.array_equal(everything(source), everything(FileSource(path)))


def test_what_to_do_with_damage_is_one_of_two_words(tmp_path):
    with pytest.raises(ConfigError, match="'refuse' or 'take'"):
        FileSource(written(tmp_path / "a.wav"), damaged="repair")


@pytest.mark.parametrize("container", ["RF64", "W64", "CAF", "AU"])
def test_less_common_containers_that_were_cut_short_are_refused(tmp_path, container):
    memory = io.BytesIO()
    sf.write(memory, SOUND.T, 48_000, format=container, subtype="PCM_24")
    path = tmp_path / "song.snd"
    path.write_bytes(memory.getvalue()[:200_000])
    with pytest.raises(AudioReadError, match="cut short"):
        FileSource(path)


def test_a_flac_file_in_which_something_looks_like_an_mp3_is_a_flac_file(tmp_path):
    song = written(tmp_path / "a.flac").read_bytes()
    frames = written(tmp_path / "a.mp3").read_bytes()[:40_000]
    found = tmp_path / "found.flac"  # another program's block, behind the 42 bytes that begin each
    found.write_bytes(song[:42] + b"\2" + len(frames).to_bytes(3, "big") + frames + song[42:])
    np.testing.assert_array_equal(
        everything(FileSource(found)), everything(FileSource(tmp_path / "a.flac"))
    )


def test_a_program_in_which_something_looks_like_an_mp3_is_no_sound_but_one_behind_rubbish_is(
    tmp_path,
):
    song = written(tmp_path / "a.mp3").read_bytes()
    (tmp_path / "program.exe").write_bytes(b"MZ" + bytes(5_000) + song[:5_000] + bytes(20_000))
    with pytest.raises(AudioReadError, match="not an audio file"):
        FileSource(tmp_path / "program.exe")
    frames = song[song.index(b"\xff\xfb", 1_000) :][:1_200]  # two or three of them
    (tmp_path / "zone").write_bytes(b"TZif" + bytes(900) + frames)
    with pytest.raises(AudioReadError, match="not an audio file"):
        FileSource(tmp_path / "zone")
    (tmp_path / "b.mp3").write_bytes(b"rubbish." * 16 + song)
    assert FileSource(tmp_path / "b.mp3").samples == 48_000


def test_an_aiff_file_in_a_codec_that_cannot_seek_is_read_to_its_end(tmp_path):
    sf.write(tmp_path / "a.aiff", SOUND[0], 48_000, format="AIFF", subtype="DWVW_16")
    found = everything(FileSource(tmp_path / "a.aiff"), 7_777)
    np.testing.assert_allclose(found, SOUND[:1], atol=1e-4)


def test_a_flac_file_damaged_inside_is_refused_while_it_is_read(tmp_path):
    whole = bytearray(written(tmp_path / "a.flac").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 64] = bytes(64)
    (tmp_path / "b.flac").write_bytes(whole)
    with pytest.raises(AudioReadError, match="damaged"):
        everything(FileSource(tmp_path / "b.flac"))


@pytest.mark.parametrize(
    "content",
    [
        wav_header(size=2**31 - 2),
        wav_header(channels=65_535),
        wav_header(channels=100),
        wav_header(channels=0),
        wav_header(sample_rate=4_000_000_000),
        wav_header(sample_rate=7_999),
        wav_header(sample_rate=0),
        wav_header(sound=b""),
        b"",
        b"R",
        b"These are not the samples you are looking for.\n" * 50,
        *(
            magic + b"\xff" * 3000
            for magic in (b"RIFF", b"OggS", b"fLaC", b"ID3", b"riff", b"caff")
        ),
        b"\xff\xfb" * 2000,
    ],
)
def test_headers_that_lie_are_refused_at_once(tmp_path, content):
    path = tmp_path / "song.wav"
    path.write_bytes(content)
    with pytest.raises(AudioReadError, match=r"song\.wav"):
        everything(FileSource(path))


def test_a_flac_header_that_promises_days_is_refused_at_once(tmp_path):
    whole = bytearray(written(tmp_path / "a.flac").read_bytes())
    for promised in (b"\x0f\xff\xff\xff\xff", b"\x00\x10\x00\x00\x00"):
        whole[21] = whole[21] & 0xF0 | promised[0]
        whole[22:26] = promised[1:]
        (tmp_path / "b.flac").write_bytes(whole)
        with pytest.raises(AudioReadError):
            FileSource(tmp_path / "b.flac")


def test_damage_anywhere_in_a_header_gives_sound_or_one_clear_error(tmp_path):
    rng = np.random.default_rng(0)
    short = SOUND[:, :2000]
    for name in ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.mp3"]:
        whole = written(tmp_path / name, short, tags={"title": ["t"]}).read_bytes()
        for _ in range(25):
            broken = bytearray(whole)
            for at in rng.integers(0, 300, 3):
                broken[at] = rng.integers(0, 256)
            (tmp_path / f"b{name}").write_bytes(broken)
            with suppress(AudioReadError):
                everything(FileSource(tmp_path / f"b{name}"))


@pytest.mark.parametrize("container", ["SVX", "VOC", "IRCAM", "AVR", "PAF", "NIST", "MAT4"])
def test_formats_of_the_past_are_not_shown_to_their_decoders(tmp_path, container):
    path = tmp_path / "song.wav"
    sf.write(path, SOUND[0], 44_100, format=container, subtype="PCM_16")
    with pytest.raises(AudioReadError, match="not an audio file"):
        FileSource(path)


def test_one_sample_is_sound_enough(tmp_path):
    path = written(tmp_path / "a.wav", np.full((1, 1), 0.5, np.float32))
    assert everything(FileSource(path)).tolist() == [[0.5]]


def test_nan_comes_out_as_it_stands_in_the_file(tmp_path):
    sf.write(tmp_path / "a.wav", np.array([0.0, np.nan, np.inf], np.float32), 48_000, "FLOAT")
    found = everything(FileSource(tmp_path / "a.wav"))[0]
    assert found[0] == 0
    assert np.isnan(found[1])
    assert np.isposinf(found[2])


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 192_000])
@pytest.mark.parametrize("channels", [1, 8, 64])
def test_any_usual_rate_and_number_of_channels_is_read(tmp_path, sample_rate, channels):
    wav = noise(seconds=0.01, channels=channels)
    source = FileSource(written(tmp_path / "a.wav", wav, sample_rate, bit_depth=32))
    assert (source.sample_rate, source.channels) == (sample_rate, channels)
    assert np.array_equal(everything(source), wav)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for name, reason in [("nope.wav", "does not exist"), ("", "folder"), ("pipe.wav", "pipe")]:
        with pytest.raises(AudioReadError, match=reason):
            FileSource(tmp_path / name)
    with pytest.raises(AudioReadError, match="device"):
        FileSource("/dev/zero")


def test_m4a_without_ffmpeg_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "song.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    with pytest.raises(AudioReadError, match=r"pip install .nitido\[m4a\]"):
        FileSource(tmp_path / "song.m4a")


FFMPEG = """\
    #!{python}
    import sys, struct
    assert "file:{song}" in sys.argv
    out = sys.stdout.buffer
    out.write(b"RIFF" + b"\\xff" * 4 + b"WAVEfmt ")
    out.write(struct.pack("<IHHIIHH", 16, 3, 2, 44100, 0, 8, 32))
    out.write(b"data" + b"\\xff" * 4)
    for n in range(1000):
        out.write(struct.pack("<ff", n / 1000, -n / 1000))
    out.flush()
    if {failing}:
        print("moov atom not found", file=sys.stderr)
        sys.exit(1)
"""


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """Return a function that puts a stand-in for the ffmpeg program on the PATH."""

    def install(song, *, failing=False):
        program = tmp_path / "ffmpeg"
        text = textwrap.dedent(FFMPEG).format(python=sys.executable, song=song, failing=failing)
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


def test_m4a_with_ffmpeg_is_read_like_any_other(tmp_path, ffmpeg):
    song = tmp_path / "-y.m4a"
    song.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    ffmpeg(song)
    source = FileSource(song)
    assert (source.sample_rate, source.channels, source.samples) == (44_100, 2, 1000)
    ramp = np.arange(1000, dtype=np.float32) / 1000
    assert np.allclose(everything(source, 300), [ramp, -ramp])


def test_without_ffmpeg_on_the_path_that_of_the_extra_is_used(tmp_path, ffmpeg, monkeypatch):
    song = tmp_path / "a.m4a"
    song.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    ffmpeg(song)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing here"))
    monkeypatch.syspath_prepend(tmp_path)
    exe = f"def get_ffmpeg_exe():\n    return {str(tmp_path / 'ffmpeg')!r}\n"
    (tmp_path / "imageio_ffmpeg.py").write_text(exe)
    assert FileSource(song).samples == 1000
    del sys.modules["imageio_ffmpeg"]  # or every later test has this one's ffmpeg


real_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed"
)


def run_ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, arguments)], check=True)


@real_ffmpeg
def test_dsd_is_read_at_a_rate_that_holds_its_music(tmp_path):
    rate, blocks = 2_822_400, 9
    wanted = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(blocks * 8 * 4_096) / rate)
    bits, error = np.zeros(len(wanted), np.uint8), 0.0
    for number, value in enumerate(wanted):  # a modulator of the first order
        bits[number] = error + value >= 0
        error += value - (2.0 * bits[number] - 1.0)
    sound = np.packbits(bits, bitorder="little").tobytes()
    form = struct.pack("<IIIIIIQII", 1, 0, 1, 1, rate, 1, len(wanted), 4_096, 0)
    chunks = b"fmt " + struct.pack("<Q", 12 + len(form)) + form
    chunks += b"data" + struct.pack("<Q", 12 + len(sound)) + sound
    path = tmp_path / "a.dsf"
    path.write_bytes(b"DSD " + struct.pack("<QQQ", 28, 28 + len(chunks), 0) + chunks)
    source = FileSource(path)
    found = everything(source)
    assert (source.sample_rate, source.samples) == (88_200, pytest.approx(len(wanted) / 32, abs=40))
    spectrum = np.abs(np.fft.rfft(found[0] * np.hanning(found.shape[1])))[:2_000]
    assert np.argmax(spectrum) * 88_200 / found.shape[1] == pytest.approx(1_000, abs=15)
    assert "DSD" in source.warnings[0]


@real_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *(("m4a", "aac"), ("m4a", "alac"), ("mka", "aac"), ("aac", "aac"), ("wv", "wavpack")),
        *(("caf", "alac"), ("ac3", "ac3"), ("eac3", "eac3"), ("ts", "aac"), ("mpg", "mp2")),
        *(("avi", "libmp3lame"), ("flv", "aac"), ("ogg", "flac"), ("wav", "ac3"), ("wma", "wmav2")),
        *(("tta", "tta"), ("webm", "libopus")),
    ],
)
def test_the_real_ffmpeg_reads_what_it_is_there_for(tmp_path, suffix, codec):
    song = tmp_path / f"song.{suffix}"
    run_ffmpeg("-i", written(tmp_path / "a.wav"), "-c:a", codec, song)
    source = FileSource(song)
    assert (source.sample_rate, source.channels) == (48_000, 2)
    assert 47_000 <= source.samples < 54_000  # the last frame of a WMA file is lost
    assert everything(source).shape == (2, source.samples)
    with pytest.raises(AudioReadError, match="max_seconds="):
        FileSource(song, max_seconds=0.5)


@real_ffmpeg
@pytest.mark.parametrize("seconds", [1.0, 0.7])
def test_an_m4a_is_as_long_as_its_edit_list_says(tmp_path, seconds):
    wav = SOUND[:, : round(seconds * 48_000)]
    run_ffmpeg("-i", written(tmp_path / "a.wav", wav), "-c:a", "aac", tmp_path / "a.m4a")
    source = FileSource(tmp_path / "a.m4a")
    assert everything(source).shape == wav.shape
    assert source.samples == wav.shape[1]


@real_ffmpeg
@pytest.mark.parametrize(("codec", "container"), [("aac", "adts"), ("flac", "flac")])
def test_an_id3_tag_in_front_hides_no_sound(tmp_path, codec, container):
    run_ffmpeg("-i", written(tmp_path / "a.wav"), "-c:a", codec, "-f", container, tmp_path / "a")
    tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
    (tmp_path / "b").write_bytes(tag + (tmp_path / "a").read_bytes())
    found = everything(FileSource(tmp_path / "b"))
    assert np.array_equal(found, everything(FileSource(tmp_path / "a")))


@real_ffmpeg
@pytest.mark.parametrize("sample_rate", [48_000, 24_000])
@pytest.mark.parametrize("container", ["mp2", "wav"])
def test_an_mp2_is_whole_and_so_it_is_in_a_wav_file(tmp_path, container, sample_rate, capfd):
    song = tmp_path / f"b.{container}"
    a = written(tmp_path / "a.wav")
    run_ffmpeg("-i", a, "-ar", sample_rate, "-c:a", "mp2", "-b:a", "64k", song)
    source = FileSource(song)
    assert sample_rate <= source.samples < sample_rate + 2 * 1152
    assert everything(source).shape == (2, source.samples)
    assert capfd.readouterr().err == ""
    song.write_bytes(song.read_bytes()[:-200])
    with pytest.raises(AudioReadError, match="cut short"):
        FileSource(song)


@pytest.fixture
def film(tmp_path):
    """Return a function that makes a film from more inputs of ffmpeg, and options."""

    def make(*arguments):
        picture = ["-f", "lavfi", "-i", "color=blue:s=16x16:r=25:d=1.5"]
        run_ffmpeg(*picture, *arguments, "-c:v", "mpeg4", "-c:a", "aac", tmp_path / "film.mp4")
        return tmp_path / "film.mp4"

    return make


@real_ffmpeg
def test_a_film_without_sound_is_said_to_have_none(film):
    with pytest.raises(AudioReadError, match="holds no sound, only a picture"):
        FileSource(film())


@real_ffmpeg
def test_of_several_streams_of_sound_the_default_one_is_taken_and_said(tmp_path, film):
    mono = ["-f", "lavfi", "-i", "sine=300:d=1"]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-disposition:a:0", "0"]
    other = written(tmp_path / "a.wav")
    source = FileSource(film(*mono, "-i", other, *maps, "-disposition:a:1", "default"))
    assert source.channels == 2
    (warning,) = source.warnings
    assert "2 streams of sound; the default one is taken, number 2" in warning


@real_ffmpeg
def test_sound_that_begins_after_its_picture_has_silence_before_it(tmp_path, film):
    tone = sine(440, seconds=1)
    wav = written(tmp_path / "a.wav", tone)
    source = FileSource(film("-itsoffset", "0.5", "-i", wav))
    found = everything(source, 1_000)
    assert found.shape[1] == source.samples
    assert np.abs(found[:, :22_000]).max() == 0
    start = np.flatnonzero(np.abs(found[0]) > 0.1)[0]
    assert start == pytest.approx(24_000, abs=300)
    assert "begins 0." in source.warnings[0]


@real_ffmpeg
def test_what_is_there_of_an_m4a_that_was_cut_short_is_taken(tmp_path):
    song = tmp_path / "a.m4a"
    run_ffmpeg("-i", written(tmp_path / "a.wav"), "-movflags", "+faststart", song)
    whole = everything(FileSource(song))
    song.write_bytes(song.read_bytes()[:-4_000])
    with pytest.raises(AudioReadError, match='with `damaged="take"`'):
        FileSource(song)
    source = FileSource(song, damaged="take")
    assert 20_000 < source.samples < 48_000
    assert np.array_equal(everything(source)[:, :20_000], whole[:, :20_000])
    assert "are taken" in source.warnings[0]


@real_ffmpeg
@pytest.mark.parametrize(("container", "packet"), [("avi", 4_000), ("wma", 3_200)])
def test_a_file_that_ends_between_two_packets_is_cut_short_all_the_same(
    tmp_path, container, packet
):
    song = tmp_path / f"a.{container}"
    codec = {"avi": "libmp3lame", "wma": "wmav2"}[container]
    run_ffmpeg("-i", written(tmp_path / "a.wav"), "-c:a", codec, song)
    whole = FileSource(song)
    content = song.read_bytes()
    song.write_bytes(content[:-packet])
    with pytest.raises(AudioReadError, match=r"promises \d+ bytes, the file ends after"):
        FileSource(song)
    source = FileSource(song, damaged="take")
    assert 0 < source.samples < whole.samples
    assert "are taken" in source.warnings[0]


@real_ffmpeg
def test_where_nothing_can_be_decoded_the_error_says_what_to_do(tmp_path):
    song = tmp_path / "a.mka"
    run_ffmpeg("-i", written(tmp_path / "a.wav"), song)
    song.write_bytes(song.read_bytes()[:54])
    with pytest.raises(AudioReadError, match=r"Nothing of a\.mka .* get the file again"):
        FileSource(song, damaged="take")


def test_what_ffmpeg_cannot_decode_to_the_end_is_refused_with_its_reason(tmp_path, ffmpeg):
    song = tmp_path / "song.m4a"
    song.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    ffmpeg(song, failing=True)
    with pytest.raises(AudioReadError, match="moov atom"):
        FileSource(song)


def test_an_array_is_a_source_like_a_file():
    source = open_source(SOUND, 32_000)
    assert (source.channels, source.samples, source.sample_rate) == (2, 48_000, 32_000)
    assert np.array_equal(everything(source, 1000), SOUND)
    assert source.tags == {}


def test_the_array_given_cannot_be_written_to_through_its_source():
    wav = SOUND.copy()
    block = next(ArraySource(wav, 48_000).blocks())
    with pytest.raises(ValueError, match="read-only"):
        block[:] = 0
    wav[0, 0] = 0.25  # its owner still can


def test_an_array_needs_a_rate_and_samples():
    with pytest.raises(ConfigError, match="sample_rate"):
        open_source(SOUND)
    with pytest.raises(SampleRateError):
        open_source(SOUND, 500)
    with pytest.raises(AudioTooShortError):
        open_source(np.zeros((2, 0), np.float32), 48_000)
    with pytest.raises(AudioShapeError):
        open_source(object(), 48_000)


@pytest.mark.parametrize("how", ["replaced", "written to", "moved"])
def test_a_file_that_is_no_longer_the_one_that_was_opened_is_not_read(tmp_path, how):
    path = written(tmp_path / "a.wav")
    source = FileSource(path)
    sha256 = source.sha256
    if how == "replaced":
        written(tmp_path / "b.wav", -SOUND).replace(path)
    elif how == "written to":
        path.write_bytes(path.read_bytes() + b"more")
    else:
        path.rename(tmp_path / "b.wav")
    with pytest.raises(AudioReadError, match="changed or moved"):
        everything(source)
    assert source.sha256 == sha256


def test_a_file_that_came_back_as_it_was_is_read(tmp_path):
    path = written(tmp_path / "a.wav")
    source = FileSource(path)
    path.write_bytes(path.read_bytes())
    assert everything(source).shape == SOUND.shape


def test_what_is_done_to_an_array_later_does_not_change_its_source():
    wav = SOUND.copy()
    source = ArraySource(wav, 48_000)
    wav[:] = 0
    assert np.array_equal(everything(source), SOUND)


def test_the_same_sound_has_the_same_fingerprint(tmp_path):
    assert open_source(SOUND, 48_000).sha256 == open_source(SOUND.copy(), 48_000).sha256
    assert open_source(SOUND, 48_000).sha256 != open_source(-SOUND, 48_000).sha256
    assert len(FileSource(written(tmp_path / "a.flac")).sha256) == 64


def test_a_file_far_larger_than_its_sound_is_refused_before_it_is_read_through(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(size=400))
    os.truncate(path, 2**33)  # of which the disk keeps nothing
    with pytest.raises(AudioReadError, match=r"holds 8589934592 bytes for 200 samples"):
        FileSource(path)
    size = 2**30
    head = wav_header(sound=b"")[:-8]
    with path.open("wb") as file:
        file.write(head[:4] + bytes(4) + head[8:] + b"junk" + struct.pack("<I", size))
        file.seek(size, 1)
        file.write(b"data" + bytes(4 + 400))  # as written to a pipe, but for the junk
    tracemalloc.start()
    with pytest.raises(AudioReadError):
        FileSource(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_an_address_is_said_to_be_one():
    with pytest.raises(AudioReadError, match=r"https://example\.org/a\.wav is an address"):
        FileSource("https://example.org/a.wav")
