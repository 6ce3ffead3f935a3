import unicodedata

import pytest

from nitido.batch import Job, read_shard, shard
from nitido.errors import ConfigError


def songs(count: int) -> list[Job]:
    return [Job(f"in/song{n}.wav", f"out/song{n}.wav", place=f"song{n}.wav") for n in range(count)]


def test_each_piece_is_in_exactly_one_shard() -> None:
    jobs = songs(200)
    parts = [shard(jobs, number, 7) for number in range(1, 8)]
    assert sorted((job for part in parts for job in part), key=jobs.index) == jobs
    assert min(map(len, parts)) > 10


def test_a_piece_stays_in_its_shard_when_others_come_and_the_folder_moves() -> None:
    before = {job.place for job in shard(songs(50), 2, 3)}
    moved = [
        Job(job.source.replace("in/", "/mnt/in/"), job.output, place=job.place) for job in songs(80)
    ]
    after = {job.place for job in shard(moved, 2, 3)}
    assert before == after & {job.place for job in songs(50)}


def test_an_accent_in_one_character_or_two_is_the_same_name() -> None:
    for number in range(20):
        name = f"Café {number}.wav"
        composed = Job("a", "b", place=unicodedata.normalize("NFC", name))
        apart = Job("a", "b", place=unicodedata.normalize("NFD", name))
        assert [len(shard([composed], k, 5)) for k in range(1, 6)] == [
            len(shard([apart], k, 5)) for k in range(1, 6)
        ]


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "-1/4", "1/0", "1/2/3", "a/b", "1 / 2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="K/N"):
        read_shard(text)
