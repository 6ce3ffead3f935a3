"""Make a ZIP per system of which one file is double-clicked: `python release/make_zips.py dist/`.

Each holds the start script, the wheel that lies in the folder, and uv, taken from its own wheel.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
# System → the start script's name, and of which platform uv is, as pip calls it.
SYSTEMS = {
    "linux": ("start-nitido.sh", "manylinux_2_17_x86_64"),
    "macos": ("start-nitido.command", "macosx_14_0_arm64"),
    "macos-intel": ("start-nitido.command", "macosx_14_0_x86_64"),
    "windows": ("start-nitido.bat", "win_amd64"),
}
PROGRAM, TEXT = 0o100755, 0o100644


def make_zip(system: str, wheel: Path, uv_wheel: Path, folder: Path) -> Path:
    """Write the ZIP of a system into a folder; return its path."""
    start, _ = SYSTEMS[system]
    path = folder / f"nitido-{system}.zip"
    script = (HERE / start.replace(".command", ".sh")).read_bytes()
    if start.endswith(".bat"):
        script = script.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle,
        zipfile.ZipFile(uv_wheel) as uv,
    ):
        _put(bundle, start, script, PROGRAM)
        _put(bundle, wheel.name, wheel.read_bytes(), TEXT)
        for name in uv.namelist():
            last = Path(name).name
            if last in ("uv", "uv.exe"):
                _put(bundle, last, uv.read(name), PROGRAM)
            elif "licenses/" in name:
                _put(bundle, f"uv-{last}", uv.read(name), TEXT)
    return path


def _put(bundle: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(f"nitido/{name}", (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, where a file says whether it is a program
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    bundle.writestr(entry, content)


def fetch_uv(platform: str, folder: Path) -> Path:
    """Return uv's wheel for a platform, fetched from the index into a folder."""
    ask = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*ask, "--only-binary", ":all:", "--platform", platform, "uv"], check=True)
    (found,) = folder.glob("uv-*.whl")
    return found


def main() -> None:
    """Make the ZIPs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path, help="folder with nitido's wheel; the ZIPs go there")
    parser.add_argument("--system", choices=SYSTEMS, help="only this one")
    given = parser.parse_args()
    wheels = sorted(given.dist.glob("nitido-*.whl"))
    if len(wheels) != 1:
        parser.error(f"{given.dist} holds {len(wheels)} wheels of nitido; it has to be one.")
    for system in [given.system] if given.system else SYSTEMS:
        with tempfile.TemporaryDirectory() as folder:
            uv_wheel = fetch_uv(SYSTEMS[system][1], Path(folder))
            sys.stdout.write(f"{make_zip(system, wheels[0], uv_wheel, given.dist)}\n")


if __name__ == "__main__":
    main()
