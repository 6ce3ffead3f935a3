"""Content Credentials (C2PA) of an input are kept, and a result is signed where its owner can."""

import datetime
import json
import shutil
import struct

import numpy as np
import pytest
from tests.signals import noise

import nitido
from nitido.audio import ArraySource, FileSource, Picture, RawChunk, open_source, read_chunks, write
from nitido.dsp.chunks import join
from nitido.errors import AudioWriteError, ConfigError
from nitido.generation.result import Generation

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_SAID = b"\0\0\0\x1ejumdc2pa" + bytes(18) + TRAINED.encode()
STORE = struct.pack(">I", 8 + len(_SAID)) + b"jumb" + _SAID
PLAIN = {"stages": ["loudness"], "settings": {"loudness.target_lufs": -20}}
COVER = Picture(b"\x89PNG\r\n\x1a\n" + bytes(99))


def saved(path, **options):
    wav = noise(seconds=1, channels=2)
    options = {"sample_rate": 48_000, "channels": 2, "samples": wav.shape[1], **options}
    return write(path, [wav], tags={"title": ["Song"]}, pictures=[COVER], **options)


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def with_credentials(path):
    """Save a piece that holds a store of manifests, as its format has it."""
    if path.suffix == ".wav":
        return saved(path, chunks=[RawChunk(b"C2PA", STORE)])
    geob = b"\0application/c2pa\0c2pa\0c2pa manifest store\0" + STORE
    frame = b"GEOB" + synchsafe(len(geob)) + b"\0\0" + geob
    saved(path)
    path.write_bytes(b"ID3\4\0\0" + synchsafe(len(frame)) + frame + path.read_bytes())
    return path


@pytest.fixture
def certificate(monkeypatch):
    """Let results be signed, with a certificate made for this test."""
    c2pa = pytest.importorskip("c2pa")
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "owner")}

    def named(name):
        oid = x509.oid.NameOID
        return x509.Name(
            [x509.NameAttribute(kind, name) for kind in (oid.COMMON_NAME, oid.ORGANIZATION_NAME)]
        )

    pem = b""
    for name, key in reversed(keys.items()):
        authority = name == "authority"
        use = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment"),
                *("data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
                *("encipher_only", "decipher_only"),
            ),
            False,
        )
        use["key_cert_sign" if authority else "digital_signature"] = True
        built = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(**use), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["authority"].public_key()),
                critical=False,
            )
        )
        if not authority:
            mail = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            built = built.add_extension(mail, critical=False)
        signed = built.sign(keys["authority"], hashes.SHA256())
        pem += signed.public_bytes(serialization.Encoding.PEM)
    key = keys["owner"].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    monkeypatch.setenv("C2PA_SIGN_CERT", pem.decode())
    monkeypatch.setenv("C2PA_PRIVATE_KEY", key.decode())
    return c2pa


def credentials(c2pa, path):
    """Return the state of a file's manifest, and the manifest."""
    with c2pa.Reader(path) as reader:
        return reader.get_validation_state(), reader.get_active_manifest()


def actions(manifest):
    (found,) = (a["data"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    return [action["action"] for action in found["actions"]]


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac"])
def test_credentials_of_the_input_are_kept_aside_and_said_to_be(tmp_path, name):
    result = nitido.restore(with_credentials(tmp_path / name), **PLAIN)
    path = result.write(tmp_path / "b.wav")
    assert (tmp_path / "b.wav.ingredient.c2pa").read_bytes() == STORE
    assert not [chunk for chunk in read_chunks(path) if chunk.id == b"C2PA"]
    assert TRAINED in str(FileSource(path).tags)
    sidecar = json.loads((tmp_path / "b.wav.nitido.json").read_text())
    assert any("kept beside the result" in sentence for sentence in sidecar["sentences"])


def test_credentials_are_still_there_after_a_second_restoration(tmp_path):
    first = nitido.restore(with_credentials(tmp_path / "a.wav"), **PLAIN)
    nitido.restore(first, **PLAIN).write(tmp_path / "b.wav")
    assert (tmp_path / "b.wav.ingredient.c2pa").read_bytes() == STORE


def test_credentials_that_were_kept_aside_are_not_replaced_unasked(tmp_path):
    result = nitido.restore(with_credentials(tmp_path / "a.wav"), **PLAIN)
    (tmp_path / "b.wav.ingredient.c2pa").write_bytes(b"of another")
    with pytest.raises(AudioWriteError, match="exists already"):
        result.write(tmp_path / "b.wav")
    assert not (tmp_path / "b.wav").exists()
    result.write(tmp_path / "b.wav", overwrite=True)
    assert (tmp_path / "b.wav.ingredient.c2pa").read_bytes() == STORE


@pytest.mark.parametrize("name", ["b.wav", "b.mp3", "b.flac", "b.m4a"])
def test_a_signed_result_names_its_input_and_what_was_done(tmp_path, name, certificate):
    if name == "b.m4a" and shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program is not installed")
    result = nitido.restore(saved(tmp_path / "a.flac"), **PLAIN)
    path = result.write(tmp_path / name)
    state, manifest = credentials(certificate, path)
    assert state == "Valid"
    assert [i["title"] for i in manifest["ingredients"]] == ["a.flac"]
    assert actions(manifest) == ["c2pa.opened", "c2pa.edited", "c2pa.transcoded"]
    assert any("signed with your certificate" in sentence for sentence in result.sentences())
    signed = open_source(path)
    assert signed.tags["title"] == ["Song"]
    assert signed.pictures == (COVER,)


def test_an_array_that_comes_with_tags_keeps_its_mark(tmp_path):
    source = ArraySource(noise(seconds=1), 48_000, tags={"ai-generated": ["true"]})
    path = nitido.restore(source, **PLAIN).write(tmp_path / "b.mp3")
    assert open_source(path).tags["ai-generated"] == ["true"]


def test_signing_does_not_touch_the_sound(tmp_path, certificate, monkeypatch):
    result = nitido.restore(saved(tmp_path / "a.wav"), **PLAIN)
    signed = result.write(tmp_path / "signed.flac")
    monkeypatch.delenv("C2PA_SIGN_CERT")
    monkeypatch.delenv("C2PA_PRIVATE_KEY")
    unsigned = result.write(tmp_path / "unsigned.flac")
    assert signed.read_bytes() != unsigned.read_bytes()
    one, other = (join(open_source(path).blocks(), channels=2) for path in (signed, unsigned))
    assert np.array_equal(one, other)


def test_a_signed_result_carries_the_manifest_of_its_input(tmp_path, certificate):
    first = nitido.restore(saved(tmp_path / "a.wav"), **PLAIN).write(tmp_path / "b.wav")
    second = nitido.restore(first, **PLAIN).write(tmp_path / "c.flac")
    state, manifest = credentials(certificate, second)
    (_, of_first) = credentials(certificate, first)
    assert state == "Valid"
    assert [i["active_manifest"] for i in manifest["ingredients"]] == [of_first["label"]]
    assert not list(tmp_path.glob("*.ingredient.c2pa"))


def test_what_a_generator_made_is_signed_as_created(tmp_path, certificate):
    wav = noise(seconds=1, sample_rate=32_000)
    piece = Generation(wav, 32_000, "calm piano", 1, "facebook/musicgen-small", None, "CC", {})
    state, manifest = credentials(certificate, nitido.restore(piece).write(tmp_path / "a.wav"))
    assert state == "Valid"
    assert actions(manifest)[0] == "c2pa.created"
    assert TRAINED in json.dumps(manifest)


def test_a_format_that_holds_no_credentials_has_those_of_the_input_aside(
    tmp_path, certificate, caplog
):
    result = nitido.restore(with_credentials(tmp_path / "a.wav"), **PLAIN)
    result.write(tmp_path / "b.ogg")
    assert (tmp_path / "b.ogg.ingredient.c2pa").read_bytes() == STORE
    assert "b.ogg is not signed: ogg holds no Content Credentials" in caplog.text


def test_credentials_without_their_file_are_kept_aside_though_the_result_is_signed(
    tmp_path, certificate
):
    source = ArraySource(noise(seconds=1), 48_000, chunks=(RawChunk(b"C2PA", STORE),))
    path = nitido.restore(source, **PLAIN).write(tmp_path / "b.wav")
    assert credentials(certificate, path)[0] == "Valid"
    assert (tmp_path / "b.wav.ingredient.c2pa").read_bytes() == STORE


def test_what_comes_from_nowhere_is_not_signed(tmp_path, certificate, caplog):
    path = nitido.restore(noise(seconds=1), sample_rate=48_000, **PLAIN).write(tmp_path / "b.wav")
    assert not read_chunks(path)
    assert "nothing says what it was made from" in caplog.text


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("C2PA_PRIVATE_KEY", "", "C2PA_PRIVATE_KEY is empty"),
        ("C2PA_SIGN_CERT", "", "C2PA_SIGN_CERT is empty"),
        ("C2PA_PRIVATE_KEY", "no PEM", "cannot be used"),
        ("C2PA_SIGN_CERT", "no PEM", "cannot be used"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_and_nothing_is_written(
    tmp_path, certificate, monkeypatch, variable, value, said
):
    result = nitido.restore(saved(tmp_path / "a.wav"), **PLAIN)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=said):
        result.write(tmp_path / "b.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
