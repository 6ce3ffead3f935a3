"""With a stand-in for transformers: the real model is checked by hand, its weights are large."""

import types

import numpy as np
import pytest
from tests.signals import pink_noise

from nitido import optional
from nitido.errors import MissingExtraError, NitidoError
from nitido.metrics.clap import Clap
from nitido.metrics.perceptual import embedding_distances


class Tensor(np.ndarray):
    """An array that can be asked what a tensor can."""

    def cpu(self):
        return self

    def numpy(self):
        return np.asarray(self)


class Inputs(dict):
    def to(self, device):
        return self


class Model:
    """Returns mean, level and length of what it hears."""

    @classmethod
    def from_pretrained(cls, name):
        if name == "nowhere":
            raise OSError("no network, no file")
        return cls()

    def to(self, device):
        return self

    def eval(self):
        return self

    def __call__(self, sound, sampling_rate, return_tensors):
        assert (sampling_rate, return_tensors) == (48_000, "pt")
        return Inputs(sound=sound)

    def get_audio_features(self, sound):
        values = np.array([[sound.mean(), sound.std(), len(sound)]], np.float32)
        return types.SimpleNamespace(pooler_output=values.view(Tensor))


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    class NoGrad:
        def __enter__(self):
            pass

        def __exit__(self, *_):
            pass

    modules = {
        "torch": types.SimpleNamespace(no_grad=NoGrad),
        "transformers": types.SimpleNamespace(ClapFeatureExtractor=Model, ClapModel=Model),
    }
    monkeypatch.setattr("nitido.metrics.clap.load", lambda name, remedy: modules[name])


def test_a_piece_is_heard_in_stretches_of_ten_seconds_every_five():
    clap = Clap()
    for seconds, count in ((2.0, 1), (10.0, 1), (15.0, 2), (21.0, 3)):
        rows = clap(pink_noise(seconds=seconds, sample_rate=16_000, channels=2), 16_000)
        assert rows.shape == (count, 3)
        assert rows[0, 2] == min(seconds, 10.0) * 48_000


def test_it_serves_as_an_embedding():
    loud, quiet = (pink_noise(seconds=30.0, rms=rms, sample_rate=16_000) for rms in (0.2, 0.1))
    distances = embedding_distances(
        estimates=[quiet], references=[loud], sample_rate=16_000, embed=Clap()
    )
    assert distances["fad"] == pytest.approx(0.01, rel=0.3)


def test_weights_that_cannot_be_had_are_one_clear_sentence():
    with pytest.raises(NitidoError, match=r"nowhere are not on this computer.*Clap\('folder'\)"):
        Clap("nowhere")


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("nitido.metrics.clap.load", optional.load)
    monkeypatch.setattr(optional, "available", lambda module: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'nitido\[generate\]'"):
        Clap()
