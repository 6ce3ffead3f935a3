"""Where a checkpoint lies: a local folder, or the cache of huggingface.co, filled if need be.

Only safetensors are read. A pickle runs whatever code its author put into it when it is loaded, and
so does a checkpoint with an `auto_map`: both are refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nitido.audio.validation import read_text
from nitido.errors import AudioReadError, ConfigError, WeightsError
from nitido.generation.settings import OFFICIAL

OFFICIAL_LICENCE = "CC-BY-NC-4.0"
NO_LICENCE = "not stated"
_FILES = ["*.json", "*.safetensors", "*.txt", "spiece.model", "README.md"]
_LICENCE = re.compile(r"^license:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)


@dataclass(frozen=True)
class Home:
    """The folder of a checkpoint, complete.

    Attributes:
        name: as it was asked for.
        folder: on this computer.
        revision: the commit that the folder holds; None for a folder of the user's own.
        licence: of the weights, as their card states it.
        config: what `config.json` holds.
    """

    name: str
    folder: Path
    revision: str | None
    licence: str
    config: dict[str, Any]


def find_home(name: str, *, revision: str | None = None) -> Home:
    """Return the folder of a checkpoint; it is downloaded if it is not in the cache yet.

    Args:
        name: of a repository on huggingface.co, or the path of a local folder.
        revision: branch, tag or commit of the repository; its newest commit if None.

    Raises:
        ConfigError: neither a folder nor a repository has this name, or there is no such revision.
        WeightsError: not in the cache and no network; or the weights are pickles, or missing.
    """
    folder = Path(name).expanduser()
    commit = None
    if folder.is_dir():
        if revision is not None:
            raise ConfigError(
                f"The folder {name} has no revisions; leave revision {revision!r} out."
            )
    else:
        if name.count("/") != 1:
            raise _no_such(name)
        folder = _from_hub(name, revision)
        commit = folder.name  # the cache keeps a folder per commit
    config = _read_config(name, folder)
    _check_weights(name, folder)
    return Home(name, folder, commit, _licence(name, folder), config)


def _no_such(name: str) -> ConfigError:
    close = get_close_matches(f"facebook/{name.removeprefix('facebook/')}", OFFICIAL, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ", such as facebook/musicgen-small."
    return ConfigError(
        f"There is no folder {name!r}, and a checkpoint on huggingface.co is called OWNER/NAME"
        f"{meant}"
    )


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import constants, errors, snapshot_download

    # The option is `cache_dir` so that the constant is read now, not when the module was loaded.
    try:
        path = snapshot_download(
            name, revision=revision, allow_patterns=_FILES, cache_dir=constants.HF_HUB_CACHE
        )
    except errors.HFValidationError:
        raise _no_such(name) from None
    except errors.RevisionNotFoundError:
        raise ConfigError(f"The checkpoint {name} has no revision {revision!r}.") from None
    except errors.GatedRepoError:
        raise WeightsError(
            f"The checkpoint {name} is given only to those whom its owner admits; ask on "
            f"https://huggingface.co/{name}, then run 'hf auth login'."
        ) from None
    except errors.RepositoryNotFoundError:
        close = get_close_matches(name, OFFICIAL, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else "."
        raise ConfigError(f"There is no checkpoint {name!r} on huggingface.co{meant}") from None
    except errors.LocalEntryNotFoundError:
        raise _not_cached(name, revision, constants.HF_HUB_CACHE) from None
    except (errors.HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"The checkpoint {name} cannot be fetched: {reason}") from error
    if not any(Path(path).glob("*.safetensors")):
        raise _without_weights(name, revision, Path(path))
    return Path(path)


def _without_weights(name: str, revision: str | None, folder: Path) -> WeightsError:
    """Return the error for a checkpoint of which everything came but the weights."""
    from huggingface_hub import constants, list_repo_files

    try:
        there = list_repo_files(name, revision=folder.name)
    except Exception:  # no network: what is here is a part
        return _not_cached(name, revision, constants.HF_HUB_CACHE)
    pickles = [file for file in there if file.endswith(".bin")]
    return _only_pickles(name, pickles[0]) if pickles else _no_weights(name, folder)


def _not_cached(name: str, revision: str | None, cache: str) -> WeightsError:
    """Return the error for a checkpoint that is not, or not wholly, on this computer."""
    at = f" --revision {revision}" if revision else ""
    return WeightsError(
        f"The checkpoint {name} is not in the cache {cache} (the variable HF_HOME says where that "
        f"is), and huggingface.co cannot be reached: 'hf download {name}{at}' fills it where there "
        "is a network; a local folder can be given as the model, too."
    )


def _read_config(name: str, folder: Path) -> dict[str, Any]:
    """Return `config.json`, after checking that no file asks to run code of its own."""
    config: dict[str, Any] = {}
    for file in ("config.json", "tokenizer_config.json", "generation_config.json"):
        try:
            if not (folder / file).exists():
                continue
            content = json.loads(read_text(folder / file))
        except (OSError, ValueError, RecursionError) as error:
            raise WeightsError(f"{folder / file} cannot be read: {error}.") from None
        if "auto_map" in json.dumps(content):
            raise WeightsError(
                f"The checkpoint {name} asks to run Python code of its own (auto_map in {file}); "
                "nitido loads weights only."
            )
        if file == "config.json" and isinstance(content, dict):
            config = content
    if not config:
        raise WeightsError(
            f"The folder {folder} holds no config.json, so it is no checkpoint; give one that "
            "save_pretrained or 'hf download' wrote."
        )
    return config


def _check_weights(name: str, folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    raise _only_pickles(name, pickles[0]) if pickles else _no_weights(name, folder)


def _only_pickles(name: str, file: str) -> WeightsError:
    return WeightsError(
        f"The checkpoint {name} has its weights only as a pickle ({file}), which can run any code "
        "when it is loaded; take a revision with safetensors, or save it anew with save_pretrained."
    )


def _no_weights(name: str, folder: Path) -> WeightsError:
    return WeightsError(f"The checkpoint {name} has no weights: no *.safetensors in {folder}.")


def _licence(name: str, folder: Path) -> str:
    """Return the licence of the weights: from the model card, else what is known of the name."""
    try:
        card = read_text(folder / "README.md")
    except AudioReadError:
        card = ""
    head = card.partition("\n---")[0] if card.startswith("---") else ""
    stated = _LICENCE.search(head)
    if stated is not None:
        return stated[1].upper()
    return OFFICIAL_LICENCE if name in OFFICIAL else NO_LICENCE
