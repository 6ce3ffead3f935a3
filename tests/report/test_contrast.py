import pytest

from nitido.report.contrast import sentences


def tell(old=None, new=None, table="artefacts", **more):
    found = {table: {"a": old or {}, "b": new or {}}}
    return sentences(found, before="a", after=["b"], **more)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (5.0, 0.0, "The comb is gone: it stood 5.0 dB out of the music."),
        (5.0, 1.5, "The comb is 3.5 dB lower; it stands 1.5 dB out of the music."),
        (1.5, 5.0, "The comb is 3.5 dB higher; it stands 5.0 dB out of the music."),
        (0.0, 2.0, "There is a comb now, 2.0 dB out of the music."),
        (2.0, 2.1, "The comb stands as high as before, 2.1 dB out of the music."),
    ],
)
def test_the_comb_is_told_as_it_is(old, new, said):
    assert tell({"comb_db": old}, {"comb_db": new}) == [said]


def test_lines_that_only_chance_makes_are_no_whine():
    old, new = {"comb_db": 0.0, "comb_8000_hz_db": 3.0}, {"comb_db": 0.0, "comb_8000_hz_db": 0.0}
    assert tell(old, new) == []
    assert len(tell({**old, "comb_db": 4.0}, new)) == 2


def test_harm_to_the_music_is_told_with_what_was_promised():
    (said,) = tell(new={"chroma_cosine": 0.91, "onset_f1": 1.0}, table="content")
    assert "harmony (chroma cosine) 0.910, 0.98 is what a repair has to keep" in said
    assert tell(new={"protected_si_sdr_db": -3.0}, table="content") == [
        "Up to 7 kHz the waveform was not kept: more changed than stayed."
    ]


def test_clipping_holes_and_ends_are_told_both_ways():
    faults = {"clipped_samples_per_second": 40.0, "holes_percent": 0.5, "end_cut": 1.0}
    none = dict.fromkeys(faults, 0.0)
    assert [text.split()[0] for text in tell(faults, none)] == ["Peaks", "Fewer", "The"]
    assert tell(none, faults)[0] == "Peaks are cut off now: 40 samples per second."
    assert tell(none, none) == []


def test_what_was_not_measured_is_not_told():
    empty = {"comb_db": None, "bandwidth_hz": None, "integrated_lufs": None}
    for table in ("artefacts", "content", "delivery", "fidelity"):
        assert tell(empty, empty, table=table) == []
    assert tell(left_out={"content": "it needs librosa"}) == [
        "The table 'content' is left out: it needs librosa"
    ]
