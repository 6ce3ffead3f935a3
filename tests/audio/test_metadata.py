"""What the work makes untrue in a file's metadata is put right or left out; the rest stays."""

import struct

import pytest

from nitido.audio.metadata import SOURCE_TYPE_TAG, Edit, true_metadata
from nitido.audio.tag_blocks import id3_frames
from nitido.audio.tags import RawChunk

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LOUDNESS = {
    "integrated_lufs": -14.02,
    "range_lu": 5.5,
    "true_peak_dbtp": -1.1,
    "momentary_max_lufs": -9.0,
    "short_term_max_lufs": -11.254,
}


def work(**other) -> Edit:
    return Edit(
        **{
            "from_hz": 44_100,
            "to_hz": 48_000,
            "from_channels": 2,
            "to_channels": 2,
            "changed": True,
            "by": "nitido 1",
            "bit_depth": 24,
            **other,
        }
    )


def put_right(name: bytes, content: bytes, **other) -> bytes:
    ((found, content),) = true_metadata({}, [RawChunk(name, content)], work(**other)).chunks
    assert found == name
    return content


# ── Tags ─────────────────────────────────────────────────────────────────────────────────────────

OF_THE_LEVEL = [
    "replaygain_track_gain",
    "replaygain_album_peak",
    "r128_track_gain",
    "r128_album_gain",
    "itunnorm",
    "mp3gain_minmax",
    "mp3gain_undo",
]


@pytest.mark.parametrize("name", OF_THE_LEVEL)
def test_a_gain_for_the_level_before_is_left_out_and_said(name):
    found = true_metadata({name: ["-2.00 dB"], "title": ["Song"]}, [], work())
    assert found.tags == {"title": ["Song"]}
    assert found.notes == (f"Left out, as they speak of the level before: {name}.",)


def test_a_gain_stays_where_only_the_rate_is_another():
    tags = {"replaygain_track_gain": ["-2.00 dB"], "title": ["Song"]}
    assert true_metadata(tags, [], work(changed=False)) == (tags, (), ())


def test_delay_and_padding_of_the_old_encoder_are_left_out():
    assert true_metadata({"itunsmpb": [" 00000000 00000840"]}, [], work(changed=False)).tags == {}


# ── Broadcast WAV ────────────────────────────────────────────────────────────────────────────────


def bext(*, reference=44_100 * 600, version=2, history=b"", loudness=(-2000, 500, -600, -1, -2)):
    head = b"Description".ljust(256, b"\0") + bytes(82) + struct.pack("<QH", reference, version)
    umid = bytes(range(64))
    return head + umid + struct.pack("<5h", *loudness) + bytes(range(180)) + history


def test_a_time_reference_still_means_the_same_time():
    new = put_right(b"bext", bext())
    assert struct.unpack_from("<Q", new, 338)[0] == 48_000 * 600


def test_a_time_reference_beyond_32_bits_is_scaled_to_the_sample():
    new = put_right(b"bext", bext(reference=2**33 + 1))
    assert struct.unpack_from("<Q", new, 338)[0] == round((2**33 + 1) * 48_000 / 44_100)


@pytest.mark.parametrize(
    ("loudness", "values"), [(LOUDNESS, [-1402, 550, -110, -900, -1125]), (None, [0x7FFF] * 5)]
)
def test_loudness_in_bext_is_that_of_the_result_or_unused(loudness, values):
    new = put_right(b"bext", bext(), loudness=loudness)
    assert list(struct.unpack_from("<5h", new, 412)) == values


def test_a_bext_of_before_there_was_loudness_gets_none():
    new = put_right(b"bext", bext(version=1), loudness=LOUDNESS)
    assert struct.unpack_from("<5h", new, 412) == (-2000, 500, -600, -1, -2)
    assert struct.unpack_from("<H", new, 346) == (1,)


@pytest.mark.parametrize("history", [b"", b"A=ANALOGUE,M=stereo,T=Studer\r\n", b"no end of a line"])
def test_the_coding_history_is_added_to(history):
    new = put_right(b"bext", bext(history=history + b"\0\0"))
    before = history if history.endswith(b"\n") or not history else history + b"\r\n"
    assert new[602:] == before + b"A=PCM,F=48000,W=24,M=stereo,T=nitido 1\r\n"


def test_all_else_in_bext_stays_byte_for_byte():
    old, new = bext(), put_right(b"bext", bext(), loudness=LOUDNESS)
    for start, end in [(0, 338), (346, 412), (422, 602)]:
        assert new[start:end] == old[start:end]


IXML = """<?xml version="1.0"?>
<BWFXML><IXML_VERSION>2.0</IXML_VERSION><NOTE>44100 &amp; ü</NOTE>
<SPEED><FILE_SAMPLE_RATE>44100</FILE_SAMPLE_RATE><AUDIO_BIT_DEPTH>16</AUDIO_BIT_DEPTH>
<DIGITIZER_SAMPLE_RATE>44100</DIGITIZER_SAMPLE_RATE>
<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>1</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>
<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>4</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>
<TIMESTAMP_SAMPLE_RATE>44100</TIMESTAMP_SAMPLE_RATE></SPEED>
<SYNC_POINT_LIST><SYNC_POINT><SYNC_POINT_LOW>44100</SYNC_POINT_LOW>
<SYNC_POINT_HIGH>0</SYNC_POINT_HIGH></SYNC_POINT>
<SYNC_POINT><SYNC_POINT_LOW>88200</SYNC_POINT_LOW></SYNC_POINT></SYNC_POINT_LIST>
<TRACK_LIST><TRACK_COUNT>1</TRACK_COUNT></TRACK_LIST>
<LOUDNESS><LOUDNESS_VALUE>-20.0</LOUDNESS_VALUE></LOUDNESS></BWFXML>"""


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_rates_and_positions_in_ixml_are_put_right_and_the_rest_stays(codec):
    expected = IXML
    midnight = round((2**32 + 4) * 48_000 / 44_100)
    for old, new in [
        ("FILE_SAMPLE_RATE>44100", "FILE_SAMPLE_RATE>48000"),
        ("TIMESTAMP_SAMPLE_RATE>44100", "TIMESTAMP_SAMPLE_RATE>48000"),
        ("AUDIO_BIT_DEPTH>16", "AUDIO_BIT_DEPTH>24"),
        ("MIDNIGHT_LO>4", f"MIDNIGHT_LO>{midnight - 2**32}"),
        ("POINT_LOW>44100", "POINT_LOW>48000"),
        ("POINT_LOW>88200", "POINT_LOW>96000"),
        ("<LOUDNESS><LOUDNESS_VALUE>-20.0</LOUDNESS_VALUE></LOUDNESS>", ""),
    ]:
        assert old in expected
        expected = expected.replace(old, new)
    assert put_right(b"iXML", IXML.encode(codec)).decode(codec) == expected


def test_a_list_of_one_track_does_not_stay_with_a_stereo_file():
    new = put_right(b"iXML", IXML.encode(), from_channels=1)
    assert b"TRACK_LIST" not in new
    assert b"SYNC_POINT_LIST" in new


AXML = b'<audioTrackUID UID="ATU_1" sampleRate="44100" bitDepth="16"/><x sampleRate="44100"/>'


def test_tracks_of_an_audio_definition_model_have_the_rate_of_the_file():
    new = put_right(b"axml", AXML)
    assert new == AXML.replace(b'"44100" bitDepth="16"', b'"48000" bitDepth="24"')
    assert put_right(b"chna", bytes(44)) == bytes(44)


def test_an_audio_definition_model_of_other_channels_is_left_out_and_said():
    found = true_metadata(
        {}, [RawChunk(b"axml", AXML), RawChunk(b"chna", b"")], work(to_channels=1)
    )
    assert found.chunks == ()
    assert found.notes == tuple(
        f"Left out, as it speaks of 2 channel(s): {name}." for name in ("axml", "chna")
    )


def test_rates_in_xmp_are_put_right_as_attribute_and_as_element():
    xmp = '<a xmpDM:audioSampleRate="44100" x="1"/><xmpDM:audioSampleType>16Int</xmpDM:x>'
    right = xmp.replace("44100", "48000").replace("16Int", "24Int")
    assert put_right(b"_PMX", xmp.encode()).decode() == right
    assert true_metadata({"xmp": [xmp]}, [], work()).tags == {"xmp": [right]}


# ── ID3 ──────────────────────────────────────────────────────────────────────────────────────────

FRAMES = {
    b"TIT2": b"\3Song",
    b"TXXX": b"\1" + "REPLAYGAIN_TRACK_GAIN\0".encode("utf-16") + "-2 dB".encode("utf-16"),
    b"COMM": b"\0engiTunNORM\0 0000",
    b"RVA2": b"track\0\1\0\0\0",
    b"GEOB": b"\0application/c2pa\0c2pa\0\0\0\0\0\x20jumb",
    b"PRIV": b"owner\0\xff\0\xfe",
}


def id3(version: int) -> bytes:
    def plain(size: int) -> bytes:
        return struct.pack(">I", size) if version == 3 else synchsafe(size)

    body = b"".join(n + plain(len(c)) + b"\0\0" + c for n, c in FRAMES.items()) + bytes(50)
    return b"ID3" + bytes([version, 0, 0]) + synchsafe(len(body)) + body


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


@pytest.mark.parametrize("version", [3, 4])
def test_untrue_frames_of_an_id3_chunk_are_left_out_and_the_others_stay(version):
    new = put_right(b"id3 ", id3(version))
    assert {f.id: f.content for f in id3_frames(new)} == {
        name: FRAMES[name] for name in (b"TIT2", b"PRIV")
    }


def test_a_volume_frame_that_is_left_out_is_said():
    found = true_metadata({}, [RawChunk(b"id3 ", id3(4))], work())
    assert found.notes == ("Left out, as they speak of the level before: RVA2.",)
    assert true_metadata({}, [RawChunk(b"id3 ", id3(4))], work(changed=False)).notes == ()


def test_an_id3_chunk_in_which_all_is_true_stays_byte_for_byte():
    tag = b"ID3\4\0\0" + synchsafe(60) + b"TIT2\0\0\0\5\0\0\3Song" + bytes(45)
    assert put_right(b"id3 ", tag) == tag


def test_a_whole_tag_that_is_unsynchronised_is_read():
    frame = b"PRIV" + struct.pack(">I", 3) + b"\0\0" + b"\xff\xe0\0"
    body = frame.replace(b"\xff", b"\xff\0")
    tag = b"ID3\3\0\x80" + synchsafe(len(body)) + body
    assert [f.content for f in id3_frames(tag)] == [b"\xff\xe0\0"]


# ── Where it comes from ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [b"C2PA", b"_PMX"])
def test_the_mark_of_the_machine_becomes_a_tag(name):
    chunk = RawChunk(name, b"\x81\xa1" + TRAINED.encode() + b'"\xff')
    assert true_metadata({}, [chunk], work()).tags == {SOURCE_TYPE_TAG: [TRAINED]}


def test_a_manifest_of_the_sound_before_is_not_in_the_result():
    assert true_metadata({}, [RawChunk(b"C2PA", b"store")], work(changed=False)).chunks == ()


HOSTILE = {  # what takes hours where each is looked for through all that follow
    b"iXML": b"<SYNC_POINT>" * 200_000 + b"<LOUDNESS>" * 200_000 + b"<TRACK_LIST>" * 200_000,
    b"axml": b"<audioTrackUID " * 200_000,
    b"_PMX": b"xmpDM:audioSampleRate" * 100_000 + b" " * 10**6,
    b"id3 ": b"ID3\4\0\0" + synchsafe(11 * 10**6) + b"TXXX\0\0\0\1\0\0\0" * 10**6,
    b"bext": b"short",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_chunk_made_to_keep_us_busy_does_not(name):
    put_right(name, HOSTILE[name], from_channels=1 if name == b"iXML" else 2)


def test_numbers_of_any_length_in_ixml_do_no_harm():
    digits = b"9" * 10_000
    text = b"<FILE_SAMPLE_RATE>" + digits + b"</FILE_SAMPLE_RATE>"
    text += text.replace(b"FILE_SAMPLE_RATE", b"BWF_TIME_REFERENCE_LOW")
    assert b"<FILE_SAMPLE_RATE>48000</" in put_right(b"iXML", text)
