import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from luthier.errors import BadConfig, Missing, NoRoom, RunFailed, Tampered, Unavailable, UnknownName
from luthier.lm import catalogue, fetch
from luthier.lm import pull as pulling
from luthier.lm.catalogue import Entry
from luthier.lm.pull import folder_digest, local, pull
from tests.lm.test_folders import safetensors

FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": safetensors()}
WHEEL = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder, package, version, members):
    """A wheel that pip downloads; `members` by their path inside. Returns its sha256."""
    stem = f"{package.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", WHEEL)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return sha(path.read_bytes())


def toy(sources, **more):
    fields = {"purpose": "embedding", "about": "a toy", "licence": "MIT", "parameters": 8, "room": 1000}
    return Entry(name="toy", sources=sources, **(fields | more))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of wheels that pip looks into and nowhere else, an empty cache, and a catalogue of one toy."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "home"))
    digest = make_wheel(wheels, "toy-model", "1.0", {f"toy_model/m/{name}": data for name, data in FILES.items()})
    wheel = {"package": "toy-model", "version": "1.0", "take": "toy_model/m/", "sha256": digest, "bytes": 900}
    files = {name: sha(data) for name, data in FILES.items()}
    know(monkeypatch, toy([{"kind": "package", "wheels": [wheel], "files": files}]))
    return wheels


def know(monkeypatch, model):
    for module in (catalogue, pulling):
        monkeypatch.setattr(module, "entries", lambda: {model.name: model})


def change(monkeypatch, **fields):
    """The toy with other fields of its package source; `wheel_…` fields are its wheel's."""
    source = catalogue.entries()["toy"].sources[0].model_dump()
    for name, value in fields.items():
        (source["wheels"][0] if name.startswith("wheel_") else source)[name.removeprefix("wheel_")] = value
    know(monkeypatch, toy([source]))


def left():
    """What stands in the cache beside locks."""
    return sorted(path.name for path in pulling.home().iterdir() if not path.name.endswith(".lock"))


def test_a_package_becomes_a_folder_once(shelf, monkeypatch):
    told = []
    folder = pull("toy", progress=lambda task, done, total: told.append((task, done, total)))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in FILES} == FILES
    assert folder == pulling.home() / "toy" == local("toy")
    assert folder_digest(folder) == folder_digest(folder, reread=True)
    assert told
    assert all(task == "download toy" and 0 <= done <= total for task, done, total in told)
    assert left() == ["toy"]
    monkeypatch.setattr(fetch, "download", None)
    assert pull("toy") == folder


def test_parts_are_joined_in_order(shelf, monkeypatch):
    whole = safetensors(1000)
    for n, data in enumerate((whole[:300], whole[300:]), start=1):
        make_wheel(shelf, f"toy-part{n}", "1", {f"p/part{n}.bin": data})
    wheels = [{"package": f"toy-part{n}", "version": "1", "take": f"p/part{n}.bin"} for n in (1, 2)]
    source = {"kind": "package", "wheels": wheels, "files": {"model.safetensors": sha(whole)}}
    know(monkeypatch, toy([source]))
    monkeypatch.setattr(pulling, "check", lambda folder: None)
    assert (pull("toy") / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"wheel_sha256": "0" * 64}, "the wheel of toy-model 1.0"),
        ({"files": {"model.safetensors": "0" * 64}}, "model.safetensors"),
    ],
)
def test_other_bytes_are_refused_with_both_digests(shelf, monkeypatch, fields, words):
    change(monkeypatch, **fields)
    with pytest.raises(Tampered, match=rf"{words} has the sha256 [0-9a-f]{{64}}, and 0{{64}} was expected") as caught:
        pull("toy")
    assert caught.value.exit_code == 6
    assert left() == []


def test_a_member_that_lacks_or_climbs_out_is_refused(shelf, monkeypatch):
    change(monkeypatch, wheel_take="elsewhere/")
    with pytest.raises(Tampered, match="holds no elsewhere/"):
        pull("toy")
    digest = make_wheel(shelf, "toy-evil", "1", {"m/../../../evil": b"x"})
    change(monkeypatch, wheel_package="toy-evil", wheel_version="1", wheel_take="m/", wheel_sha256=digest)
    with pytest.raises(Tampered, match="outside its folder"):
        pull("toy")
    assert left() == []


def test_unknown_name_and_kind(shelf):
    with pytest.raises(UnknownName, match="did you mean 'toy'"):
        pull("tooy")
    with pytest.raises(BadConfig, match="no source of the kind hub"):
        pull("toy", only="hub")


def test_no_such_package(shelf, monkeypatch):
    change(monkeypatch, wheel_version="2.0")
    with pytest.raises(Missing, match=r"registry has no toy-model 2\.0: set PIP_INDEX_URL"):
        pull("toy")
    assert left() == []


def test_no_network(shelf, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(Unavailable, match="no package registry answers: connect to the network"):
        pull("toy")


def test_no_pip_and_what_else_pip_says():
    wheel = catalogue.Wheel(package="p", version="1", take="x")
    assert isinstance(fetch.pip_failure(wheel, "/usr/bin/python: No module named pip"), Missing)
    assert isinstance(fetch.pip_failure(wheel, "OSError: [Errno 28] No space left on device"), NoRoom)
    odd = fetch.pip_failure(wheel, "ERROR: something odd\n")
    assert isinstance(odd, RunFailed)
    assert "something odd" in str(odd)


def test_a_full_disk_is_noticed_before_and_meanwhile(shelf, monkeypatch):
    know(monkeypatch, toy(catalogue.entries()["toy"].sources, room=10**18))
    with pytest.raises(NoRoom, match=r"takes up to .* GB .* LUTHIER_HOME"):
        pull("toy")
    know(monkeypatch, toy(catalogue.entries()["toy"].sources))

    def full(*_, joined):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "unpack", full)
    with pytest.raises(NoRoom, match="is full"):
        pull("toy")
    assert left() == []


def test_a_cache_that_cannot_be_written(shelf, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "file"))
    with pytest.raises(BadConfig, match="set LUTHIER_HOME"):
        pull("toy")


def test_without_torch_nothing_is_downloaded_in_vain(shelf, monkeypatch):
    change(monkeypatch, gguf="float32")
    monkeypatch.setattr(fetch, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    monkeypatch.setattr(fetch, "download", None)
    with pytest.raises(Missing, match=r"torch is not installed: run: pip install 'luthier\[models\]'"):
        pull("toy")


def test_the_next_source_helps_and_tampering_does_not_pass(shelf, monkeypatch):
    good = catalogue.entries()["toy"].sources[0].model_dump()
    absent = good | {"wheels": [good["wheels"][0] | {"version": "9"}]}
    know(monkeypatch, toy([absent, good]))
    assert pull("toy").is_dir()
    bad = good | {"wheels": [good["wheels"][0] | {"sha256": "0" * 64}]}
    know(monkeypatch, toy([bad, good]))
    (pulling.home() / "toy" / "manifest.json").unlink()
    with pytest.raises(Tampered):
        pull("toy")


def test_two_pulls_at_once_wait_for_each_other(shelf, monkeypatch):
    downloads, told, real = [], [], fetch.download

    def slow(wheel, into, seen):
        downloads.append(wheel)
        time.sleep(0.5)
        return real(wheel, into, seen)

    monkeypatch.setattr(fetch, "download", slow)
    with ThreadPoolExecutor(2) as pool:
        pulls = [pool.submit(pull, "toy", progress=lambda task, *_: told.append(task)) for _ in range(2)]
        assert {each.result() for each in pulls} == {pulling.home() / "toy"}
    assert len(downloads) == 1
    assert "wait for another pull of toy" in told


def test_a_pull_that_is_killed_leaves_nothing_broken(shelf, tmp_path):
    source = catalogue.entries()["toy"].model_dump_json()
    program = f"""
import time
from luthier.lm import catalogue, fetch, pull as pulling
model = catalogue.Entry.model_validate_json({source!r})
catalogue.entries = pulling.entries = lambda: {{"toy": model}}
def half(folder, about):
    (folder / "half.txt").write_text("x")
    print("halfway", flush=True)
    time.sleep(60)
pulling.seal = half
pulling.pull("toy")
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert child.stdout.readline() == "halfway\n"
    assert [name[:5] for name in left()] == [".toy."]
    with pytest.raises(Missing):
        local("toy")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    folder = pull("toy")
    assert not (folder / "half.txt").exists()
    assert left() == ["toy"]


def test_pulled_files_that_vanish_are_noticed(shelf):
    folder = pull("toy")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(Tampered, match="run: luthier models pull toy"):
        local("toy")


def test_pulling_needs_no_torch():
    program = "import luthier.lm.pull, luthier.lm.client, luthier.lm.grounding, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
