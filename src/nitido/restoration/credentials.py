"""Content Credentials (C2PA) of a result: signed, naming the input and what was done to it.

Signing needs a certificate, which only its owner has: nitido brings none. Without one the
credentials of an input are kept aside, and no claim is made.

Source: C2PA Technical Specification 2.1; the variables are those of c2patool.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nitido.errors import AudioWriteError, ConfigError
from nitido.optional import load
from nitido.version import __version__

logger = logging.getLogger(__name__)

CERTIFICATE, KEY = "C2PA_SIGN_CERT", "C2PA_PRIVATE_KEY"
_FORMATS = frozenset({"wav", "flac", "mp3", "m4a"})  # that can hold them
_MAGICS = {b"RIFF": "wav", b"RF64": "wav", b"fLaC": "flac", b"ID3": "mp3", b"\xff": "mp3"}
_NO_NETWORK = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def wanted() -> bool:
    """Return whether results are to be signed: whether a certificate or a key is given."""
    return bool(os.environ.get(CERTIFICATE) or os.environ.get(KEY))


def signer() -> Any:
    """Return what signs for the owner of the certificate.

    Raises:
        ConfigError: certificate or key is missing, or is none.
        MissingExtraError: the extra `c2pa` is not installed.
    """
    c2pa = _c2pa()
    certificate, key = os.environ.get(CERTIFICATE), os.environ.get(KEY)
    if not certificate or not key:
        missing = KEY if certificate else CERTIFICATE
        raise ConfigError(
            f"{missing} is empty; signing needs the certificates in {CERTIFICATE} and the private "
            f"key in {KEY}, both as PEM text, or neither."
        )
    try:
        load("cryptography.x509").load_pem_x509_certificates(certificate.encode())
        info = c2pa.C2paSignerInfo(_algorithm(key), certificate.encode(), key.encode(), None)
        return c2pa.Signer.from_info(info)
    except (c2pa.C2paError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{CERTIFICATE} and {KEY} cannot be used: {error}; they hold PEM text, the chain from "
            "your certificate up, and its key without a password."
        ) from error


def sign(
    path: Path,
    form: str,
    *,
    title: str,
    source: Path | None,
    kind: str | None,
    edits: Sequence[str],
) -> bool:
    """Put credentials into a file of a result, in place; tell whether that was done.

    It is where a certificate is given, the format can hold credentials, and it is known what the
    piece was made from: a file, or a generator that says so.

    Args:
        path: of the file.
        form: name of its format, of `nitido.audio.FORMATS`.
        title: of the piece that came in.
        source: the file that came in, if it was one.
        kind: digital source type of the piece (IPTC), if it is known.
        edits: what was done to it, a line each.

    Raises:
        AudioWriteError: it cannot be signed.
        ConfigError: see `signer`.
        MissingExtraError: see `signer`.
    """
    if not wanted():
        return False
    if form not in _FORMATS:
        logger.warning("%s is not signed: %s holds no Content Credentials.", path.name, form)
        return False
    if source is None and kind is None:
        logger.warning("%s is not signed: nothing says what it was made from.", path.name)
        return False
    c2pa, by = _c2pa(), signer()
    manifest = {
        "title": path.name,
        "claim_generator_info": [{"name": "nitido", "version": __version__}],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": list(_actions(source is not None, kind, edits))},
            }
        ],
    }
    signed = path.with_name(f"{path.name}.signed")
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(_NO_NETWORK))
        with c2pa.Builder(manifest, context) as builder:
            if source is not None:
                about = {"title": title, "relationship": "parentOf", "label": "input"}
                with source.open("rb") as opened:
                    builder.add_ingredient(about, _format(source), opened)
            with path.open("rb") as unsigned, signed.open("x+b") as written:
                builder.sign(by, form, unsigned, written)
        signed.replace(path)
    except (c2pa.C2paError, OSError) as error:
        signed.unlink(missing_ok=True)
        raise AudioWriteError(
            f"{path.name} cannot be signed: {error}; without {CERTIFICATE} and {KEY} it is "
            "written unsigned."
        ) from error
    return True


def _actions(
    from_file: bool, kind: str | None, edits: Sequence[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield where the piece comes from, then each edit."""
    source_type = {"digitalSourceType": kind} if kind else {}
    if from_file:
        yield {"action": "c2pa.opened", "parameters": {"ingredientIds": ["input"]}, **source_type}
    else:
        yield {"action": "c2pa.created", **source_type}
    agent = {"softwareAgent": {"name": "nitido", "version": __version__}}
    for edit in edits:
        yield {"action": "c2pa.edited", "description": edit, **agent}
    yield {"action": "c2pa.transcoded", **agent}


def _format(path: Path) -> str:
    """Return what C2PA calls the format of a file; by its suffix where that is one of them."""
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:8] == b"ftyp":
        return "m4a"
    suffix = path.suffix.lower().removeprefix(".")
    known = (form for magic, form in _MAGICS.items() if head.startswith(magic))
    return suffix if suffix in _FORMATS else next(known, suffix or "audio")


def _algorithm(key: str) -> str:
    """Return the name of the signature algorithm that a private key is for."""
    primitives = "cryptography.hazmat.primitives"
    loaded = load(f"{primitives}.serialization").load_pem_private_key(key.encode(), password=None)
    if size := getattr(getattr(loaded, "curve", None), "key_size", None):
        return {256: "es256", 384: "es384"}.get(size, "es512")
    return "ps256" if hasattr(loaded, "key_size") else "ed25519"


def _c2pa() -> Any:
    return load(
        "c2pa", need="Signing with Content Credentials", remedy="pip install 'nitido[c2pa]'"
    )
