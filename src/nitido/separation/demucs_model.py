"""Load a Demucs model: an official one by its name, or one from a folder in the hub's layout.

Such a folder holds `NAME.yaml`, which lists the signatures of the models that work together, and
for each its weights, `SIG.safetensors` or `SIG-CHECKSUM.safetensors`. Demucs imports whatever class
the weights name, so that name is checked against Demucs's own classes first. Where the hub cannot
be reached Demucs would fall back to pickles, which can run any code when they are opened: here
that is the end of it.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nitido.audio.validation import check_regular, read_text
from nitido.errors import AudioReadError, ConfigError, WeightsError, shown
from nitido.optional import available, load

CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")
NAMESPACE = "adefossez"  # of the official models at Hugging Face
CHANNELS = 2  # that a model takes and gives
SAMPLE_RATES_HZ = (8_000, 192_000)
SEGMENT_SECONDS_MAX = 120.0
COUNT_MAX = 16  # of models, and of layers of a kind; official ones have up to 6
NFFT_MAX = 2**16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]{0,63}")  # no '-': it parts signature and checksum
_BAG_MAX_BYTES = 2**16
_STEM = re.compile(r"[a-z][a-z0-9_]{0,31}")
_COUNTS = (
    *("sources", "depth", "multi_freqs", "dconv_depth", "lstm_layers", "t_layers"),
    *("end_iters", "wiener_iters"),
)
_FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)  # of a network whose settings make no sense
_QUANTISED = "_q"  # names of official models that need one more library to unpack
RESIDUAL = "residual"  # what a model cannot call a stem
NEED, REMEDY = "Separation", "pip install 'nitido[demucs]'"

Find = Callable[[str], Path]


def load_model(name: str, folder: Path | None = None) -> Any:
    """Return a `demucs.apply.BagOfModels` on the CPU, ready to be applied.

    Args:
        name: an official model such as ``htdemucs``; or of a bag or a signature in `folder`.
        folder: in the hub's layout; None: official models, fetched once and cached.

    Raises:
        ConfigError: no such model.
        MissingExtraError: Demucs is not installed.
        WeightsError: files that cannot be had, are damaged, or name what they must not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name of a Demucs model; it is one word such as 'htdemucs', no address "
            "and no path (`demucs_repo=` names a folder)."
        )
    apply = load("demucs.apply", need=NEED, remedy=REMEDY)
    bag, find = _official(name) if folder is None else _in_folder(name, folder)
    models = [read_weights(find(signature)) for signature in bag["models"]]
    stems = [tuple(model.sources) for model in models]
    lengths = {(model.samplerate, model.segment) for model in models}
    if len(set(stems)) > 1 or (bag.get("segment") is None and len(lengths) > 1):
        raise WeightsError(
            f"The models of {name} do not fit each other; stems, sample rate and segment are the "
            "same in all of them."
        )
    weights = bag.get("weights")
    if weights is not None and [len(row) for row in weights] != [len(stems[0])] * len(models):
        raise WeightsError(f"{name}.yaml has to give each of its models a weight for each stem.")
    return apply.BagOfModels(models, weights, bag.get("segment")).eval()


def missing(name: str) -> str | None:
    """Return why an official model cannot be used here and now, without network; None if it can."""
    if not available("demucs"):
        return f"Demucs is not installed: {REMEDY}"
    hub = load("huggingface_hub", need=NEED, remedy=REMEDY)
    repository = _repository(name)

    def cached(filename: str) -> str | None:
        path = hub.try_to_load_from_cache(repository, filename)
        return path if isinstance(path, str) else None

    bag = cached(f"{name}.yaml")
    if bag is not None:
        signatures = _read_bag(Path(bag))["models"]
        if all(cached(f"{signature}.safetensors") for signature in signatures):
            return None
    return f"the weights of {name} are not in the cache: hf download {repository}"


def read_weights(path: Path) -> Any:
    """Return the model in a safetensors file; what the file names is checked beforehand.

    Raises:
        WeightsError: not safetensors, damaged, or not a Demucs model for stereo.
    """
    hf = load("demucs.hf", need=NEED, remedy=REMEDY)
    try:
        check_regular(path)
    except AudioReadError as error:
        raise WeightsError(str(error)) from error
    _check_checksum(path)
    metadata = _metadata(path)
    check_metadata(path, metadata)
    try:
        _check_shapes(path, metadata)
        model = hf.load_safetensors_model(path)
    except WeightsError:
        raise
    except _FAILURES as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path.name} is no working Demucs model: {reason}") from error
    _check_model(path, model)
    return model


def check_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Check what a weights file says of itself, before anything that it names is imported.

    Raises:
        WeightsError: a class that is not one of Demucs's models, or a quantised state.
    """
    named = metadata.get("klass", "")
    if named not in CLASSES:
        raise WeightsError(
            f"{path.name} names the class {named!r}, which is not one of Demucs's models "
            f"({', '.join(CLASSES)}); nothing of it was loaded."
        )
    if "structure" in metadata:
        raise WeightsError(
            f"{path.name} is quantised, and its metadata may name classes to unpack it; nitido "
            "loads plain models only, such as htdemucs."
        )
    for key in ("args", "kwargs"):
        try:
            json.loads(metadata.get(key, ""))
        except (ValueError, RecursionError):
            raise WeightsError(f"{path.name} is damaged: its {key} are not JSON.") from None


def _metadata(path: Path) -> Mapping[str, str]:
    safetensors = load("safetensors", need=NEED, remedy=REMEDY)
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            return file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}.") from error


def _check_shapes(path: Path, metadata: Mapping[str, str]) -> None:
    """Hold the network that the metadata describe against the tensors, before it takes memory.

    It is built without any: 190 bytes can describe more than a computer holds.
    """
    hf, torch = (load(name, need=NEED, remedy=REMEDY) for name in ("demucs.hf", "torch"))
    module, name = metadata["klass"].rsplit(".", 1)
    made = getattr(importlib.import_module(module), name)
    args, kwargs = (hf._decode_json(json.loads(metadata[key])) for key in ("args", "kwargs"))
    signature = inspect.signature(made)
    kwargs = {key: value for key, value in kwargs.items() if key in signature.parameters}
    settings = signature.bind(*args, **kwargs).arguments
    most = {**dict.fromkeys(_COUNTS, COUNT_MAX), "nfft": NFFT_MAX}
    for key, limit in most.items():
        value = settings.get(key) or 0
        count = len(value) if isinstance(value, list | tuple) else value
        if not 0 <= count <= limit:
            raise WeightsError(f"{path.name} has {key} {shown(value)}; it is {limit} at most.")
    with torch.device("meta"):
        described = made(*args, **kwargs).state_dict()
    safetensors = load("safetensors", need=NEED, remedy=REMEDY)
    with safetensors.safe_open(str(path), framework="np") as file:
        there = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    wrong = [key for key, tensor in described.items() if there.get(key) != tuple(tensor.shape)]
    if wrong or len(there) != len(described):
        raise WeightsError(
            f"{path.name} is no working Demucs model: of the {len(described)} tensors that its "
            f"metadata describe, {len(described) - len(wrong)} are among its {len(there)}."
        )


def _check_checksum(path: Path) -> None:
    """Hold the file against the checksum in its name, if there is one."""
    _, dash, wanted = path.stem.partition("-")
    if not dash:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not wanted or not found.startswith(wanted):
        raise WeightsError(
            f"{path.name} is damaged: its SHA-256 begins with {found[:8]}, its name says "
            f"{wanted or 'nothing'}; get the file again from where it came from."
        )


def _check_model(path: Path, model: Any) -> None:
    stems = list(model.sources)
    low, high = SAMPLE_RATES_HZ
    wrong = [stem for stem in stems if not isinstance(stem, str) or not _STEM.fullmatch(stem)]
    if wrong or len(set(stems)) < len(stems) or RESIDUAL in stems:
        raise WeightsError(f"{path.name} calls its stems {stems}; each is another lower-case word.")
    if model.audio_channels != CHANNELS:
        raise WeightsError(
            f"{path.name} is a model for {model.audio_channels} channels; nitido uses models for "
            f"{CHANNELS}."
        )
    if not low <= model.samplerate <= high or not 0 < model.segment <= SEGMENT_SECONDS_MAX:
        raise WeightsError(
            f"{path.name} works at {model.samplerate} Hz in segments of {float(model.segment):g} s;"
            f" nitido uses {low} to {high} Hz and up to {SEGMENT_SECONDS_MAX:g} s."
        )


def _read_bag(path: Path) -> dict[str, Any]:
    """Return what `NAME.yaml` says: models, and perhaps weights and segment."""
    yaml = load("yaml", need=NEED, remedy=REMEDY)
    try:
        text = read_text(path, max_bytes=_BAG_MAX_BYTES)
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise WeightsError(f"{path.name} refers to parts of itself; write them out.")
        bag = yaml.safe_load(text)
    except AudioReadError as error:
        raise WeightsError(str(error)) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise WeightsError(f"{path} cannot be read as YAML: {type(error).__name__}.") from error
    if not isinstance(bag, dict) or not isinstance(bag.get("models"), list) or not bag["models"]:
        raise WeightsError(f"{path.name} lists no models.")
    if len(bag["models"]) > COUNT_MAX:
        raise WeightsError(
            f"{path.name} lists {len(bag['models'])} models; {COUNT_MAX} at most work together."
        )
    for name in bag["models"]:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise WeightsError(
                f"{path.name} lists {shown(name)}; a model is named by its signature."
            )
    rows, segment = bag.get("weights"), bag.get("segment")
    if rows is not None and not (
        isinstance(rows, list)
        and all(isinstance(row, list) and all(map(_is_number, row)) for row in rows)
    ):
        raise WeightsError(f"{path.name} has weights that are not lists of numbers.")
    if segment is not None and not (_is_number(segment) and 0 < segment <= SEGMENT_SECONDS_MAX):
        raise WeightsError(
            f"{path.name} has a segment of {shown(segment)}; it is a number of seconds up to "
            f"{SEGMENT_SECONDS_MAX:g}."
        )
    return bag


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_folder(name: str, folder: Path) -> tuple[dict[str, Any], Find]:
    """Return the bag of that name in a folder, or the single model, and where its weights are."""
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} is not a folder; `demucs_repo=` names one with NAME.yaml in it."
        )

    def find(signature: str) -> Path:
        files = sorted(folder.iterdir())
        found = [file for file in files if file.stem.partition("-")[0] == signature]
        weights = [file for file in found if file.suffix == ".safetensors"]
        if len(weights) == 1:
            return weights[0]
        if weights:
            raise WeightsError(
                f"{folder} holds {signature} {len(weights)} times; keep one of them."
            )
        if any(file.suffix == ".th" for file in found):
            raise WeightsError(
                f"{folder} holds {signature} only as a pickle (.th), which can run any code when "
                "it is opened; nitido reads .safetensors."
            )
        raise WeightsError(f"{folder} holds no weights {signature}.safetensors.")

    bag = folder / f"{name}.yaml"
    if bag.is_file():
        return _read_bag(bag), find
    if any(file.stem.partition("-")[0] == name for file in folder.iterdir()):
        return {"models": [name]}, find
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    raise ConfigError(
        f"There is no model {name!r} in {folder}; there are {', '.join(known) or 'none'}."
    )


def _repository(name: str) -> str:
    """Return where an official model lies at Hugging Face."""
    return f"{NAMESPACE}/{load('demucs.hf', need=NEED, remedy=REMEDY).hf_repo_name(name)}"


def _official(name: str) -> tuple[dict[str, Any], Find]:
    """Return an official bag, and how its weights are fetched from the hub, as Demucs does it."""
    package = load("demucs", need=NEED, remedy=REMEDY)
    remote = Path(package.__file__).parent / "remote"
    known = sorted(file.stem for file in remote.glob("*.yaml") if _QUANTISED not in file.stem)
    if name not in known:
        quantised = " (quantised models are not read)" if name.endswith(_QUANTISED) else ""
        raise ConfigError(
            f"There is no official Demucs model {name!r}{quantised}; there are {', '.join(known)}."
        )
    repository = _repository(name)
    hub = load("huggingface_hub", need=NEED, remedy=REMEDY)

    def fetch(filename: str) -> Path:
        try:
            return Path(hub.hf_hub_download(repository, filename))
        except (OSError, ValueError, RuntimeError) as error:  # no network, offline, no such file
            raise WeightsError(
                f"The weights of {name} are not in the cache (HF_HOME) and cannot be fetched; go "
                f"online once with 'hf download {repository}', or give a folder that holds them "
                "with `demucs_repo=`."
            ) from error

    return _read_bag(fetch(f"{name}.yaml")), lambda signature: fetch(f"{signature}.safetensors")
