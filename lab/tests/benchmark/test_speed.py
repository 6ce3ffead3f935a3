import json

import numpy as np
from click.testing import CliRunner

import nitido
from nitido_lab.benchmark.faulty import SAMPLE_RATE, faulty_piece
from nitido_lab.benchmark.speed import Speed, floor
from nitido_lab.cli import main


def test_the_piece_has_the_faults_that_the_stages_are_for() -> None:
    piece = faulty_piece(8.0)
    assert piece.shape == (2, 8 * SAMPLE_RATE)
    diagnosis = nitido.diagnose(piece, sample_rate=SAMPLE_RATE)
    found = {finding.kind for finding in diagnosis.findings if finding.found}
    assert found >= {"comb", "bandwidth", "loudness"}


def test_the_floor_is_one_resampling_and_one_transform() -> None:
    piece = faulty_piece(1.0)
    assert floor(piece).shape == (2, SAMPLE_RATE * 3 // 2)


def test_on_a_busy_computer_the_figures_say_so() -> None:
    busy, idle = (Speed(60.0, 2.0, 1.0, 2, 1.0, 260.0, (), 5, load=load) for load in (6.3, 0.1))
    assert "busy: 6.3 processes at work on 2 cores" in busy.sentences()[-1]
    assert idle.sentences() == []


def test_the_figures_are_of_this_run() -> None:
    result = CliRunner().invoke(
        main, ["benchmark", "speed", "--seconds", "2", "--runs", "1", "--json"]
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert np.isclose(said["real_time_factor"], 2 / said["restore_seconds"])
    assert np.isclose(said["ratio"], said["restore_seconds"] / said["floor_seconds"])
    assert said["memory_mib"] > 50
    assert "bandwidth" in said["stages"]
    assert 0 < said["processes"]["import"] < said["processes"]["restore"]
    assert 0 < said["processes"]["diagnose"] < said["processes"]["restore"]
