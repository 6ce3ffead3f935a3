"""The ComfyUI node, by its documented contract: loaded and called as ComfyUI does, without it."""

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import nitido
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.errors import ConfigError

torch = pytest.importorskip("torch")
FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
RATE = 32_000
DEFAULTS = {"comb": 1.0, "treble": 1.0, "width": 1.0, "loudness": "as it is", "loop": False}


@pytest.fixture(scope="module")
def node():
    """Load the folder as ComfyUI's `load_custom_node` does, and make the node."""
    spec = importlib.util.spec_from_file_location("custom_nodes_nitido", FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (name,) = module.NODE_CLASS_MAPPINGS
    assert set(module.NODE_DISPLAY_NAME_MAPPINGS) == {name}
    return module.NODE_CLASS_MAPPINGS[name]()


@pytest.fixture(scope="module")
def audio():
    """Two pieces as MusicGen makes them: mono, with the comb."""
    pieces = [
        add_comb(render(seconds=4, sample_rate=RATE)[:1] * gain, sample_rate=RATE)
        for gain in (np.float32(0.3), np.float32(0.2))
    ]
    return {"waveform": torch.from_numpy(np.stack(pieces)), "sample_rate": RATE}


def run(node, audio, preset="musicgen", **widgets):
    return getattr(node, node.FUNCTION)(audio=audio, preset=preset, **{**DEFAULTS, **widgets})


@pytest.fixture(scope="module")
def outputs(node, audio):
    return dict(zip(node.RETURN_NAMES, run(node, audio), strict=True))


def test_every_widget_has_a_default_that_it_allows(node) -> None:
    inputs = node.INPUT_TYPES()["required"]
    assert inputs.pop("audio") == ("AUDIO",)
    for kind, options in inputs.values():
        default = options["default"]
        if isinstance(kind, list):
            assert default in kind
        elif kind == "FLOAT":
            assert options["min"] <= default <= options["max"]
        else:
            assert kind == "BOOLEAN"
    assert set(inputs) == {"preset", *DEFAULTS}


def test_the_restored_batch_is_what_nitido_makes_of_each_piece(outputs, audio) -> None:
    restored = outputs["restored"]
    assert restored["sample_rate"] == 48_000
    assert restored["waveform"].dtype == torch.float32
    for piece, wav in zip(audio["waveform"], restored["waveform"], strict=True):
        settings = {"loudness.target_lufs": None}
        with nitido.restore(piece.numpy(), sample_rate=RATE, settings=settings) as alone:
            np.testing.assert_array_equal(wav.numpy(), alone.wav)


def test_restored_and_removed_add_up_to_the_input_whatever_is_done(node, audio) -> None:
    one = {"waveform": audio["waveform"][:1], "sample_rate": RATE}
    much, little = (run(node, one, preset=preset) for preset in ("musicgen", "gentle"))
    totals = [
        (restored["waveform"] + removed["waveform"]).mean(dim=1)
        for restored, removed, _, _ in (much, little)
    ]
    assert torch.allclose(*totals, atol=1e-5)
    assert much[1]["waveform"].abs().max() > 0.001


def test_the_report_is_one_picture_a_piece_and_the_sentences_a_paragraph(outputs) -> None:
    report = outputs["report"]
    assert report.dtype == torch.float32
    assert report.shape[0] == 2
    assert report.shape[3] == 3
    assert 0 <= report.min() < report.max() <= 1
    assert len(outputs["sentences"].split("\n\n")) == 2


def test_less_treble_is_asked_for_in_the_preset_s_own_measure(node, audio) -> None:
    one = {"waveform": audio["waveform"][:1], "sample_rate": RATE}

    def treble(**widgets) -> float:
        wav = run(node, one, **widgets)[0]["waveform"][0].numpy()
        power = np.abs(np.fft.rfft(wav.mean(axis=0))) ** 2
        return float(power[round(17_000 * len(power) / 24_000) :].sum())

    assert treble(treble=0.0) < treble(treble=0.5) < treble()
    assert treble(preset="gentle") < treble()


def test_a_mono_piece_beside_one_that_was_widened_is_on_both_sides(node, audio) -> None:
    silence = torch.zeros_like(audio["waveform"][:1])
    batch = {"waveform": torch.cat([audio["waveform"][:1], silence]), "sample_rate": RATE}
    wide, mono = run(node, batch)[0]["waveform"]
    assert (wide[0] - wide[1]).abs().max() > 0.001
    assert torch.equal(mono[0], mono[1])


def test_an_error_is_nitido_s_sentence(node) -> None:
    empty = {"waveform": torch.zeros(1, 1, 0), "sample_rate": RATE}
    with pytest.raises(nitido.NitidoError):
        run(node, empty)
    with pytest.raises(ConfigError, match="no preset"):
        run(node, empty, preset="loud")


def test_comfyui_s_bar_goes_to_its_end_and_can_cancel(node, audio, monkeypatch) -> None:
    shown = []

    class ProgressBar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update_absolute(self, value: int) -> None:
            shown.append(value / self.total)
            if value > 0.5 * self.total:
                raise InterruptedError

    for name, content in (("comfy", {}), ("comfy.utils", {"ProgressBar": ProgressBar})):
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(InterruptedError):
        run(node, audio)
    assert shown == sorted(shown)
    assert shown[-1] > 0.5


def test_the_registry_s_file_names_the_version_and_needs_nitido() -> None:
    content = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))
    assert content["project"]["version"] == nitido.__version__
    requirements = (FOLDER / "requirements.txt").read_text("utf-8").split()
    assert content["project"]["dependencies"] == requirements
    assert set(content["tool"]["comfy"]) == {"PublisherId", "DisplayName"}
