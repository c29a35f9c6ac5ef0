"""A hub of a few lines that huggingface_hub takes for the real one."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from luthier.errors import Tampered, Unavailable
from luthier.lm import catalogue
from luthier.lm import pull as pulling
from luthier.lm.pull import pull
from tests.lm.test_pull import FILES, know, left, sha, toy

COMMIT = "c" * 40
THERE = {**FILES, "pytorch_model.bin": b"pickle", "1_Pooling/config.json": b"{}"}


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        name = self.path.split(f"/resolve/{COMMIT}/")[-1]
        if self.path.startswith("/api/models/some/toy") and "/tree/" in self.path:
            files = [{"type": "file", "path": p, "size": len(d), "oid": git_oid(d)} for p, d in THERE.items()]
            self.reply(json.dumps(files).encode())
        elif self.path.startswith("/api/models/some/toy"):
            siblings = [{"rfilename": path} for path in THERE]
            self.reply(json.dumps({"id": "some/toy", "sha": COMMIT, "siblings": siblings}).encode())
        elif name in THERE:
            self.reply(THERE[name], {"etag": f'"{git_oid(THERE[name])}"', "x-repo-commit": COMMIT})
        else:
            self.reply(b"{}", status=404)

    def reply(self, body, headers=None, status=200):
        self.send_response(status)
        for key, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD = answer

    def log_message(self, *args):
        pass


def git_oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "home"))
    files = {"model.safetensors": sha(FILES["model.safetensors"])}
    know(monkeypatch, toy([{"kind": "hub", "repo": "some/toy", "revision": COMMIT, "bytes": 500, "files": files}]))
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
        yield running
        running.shutdown()


def test_a_commit_of_the_hub_becomes_a_folder(hub):
    folder = pull("toy", only="hub")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*FILES, "1_Pooling/config.json", "manifest.json"}


def test_other_weights_are_refused(hub, monkeypatch):
    source = catalogue.entries()["toy"].sources[0].model_dump() | {"files": {"model.safetensors": "0" * 64}}
    know(monkeypatch, toy([source]))
    with pytest.raises(Tampered):
        pull("toy")
    assert left() == []


def test_a_hub_that_lacks_it_or_is_not_there(hub, monkeypatch):
    source = catalogue.entries()["toy"].sources[0].model_dump() | {"repo": "some/other"}
    know(monkeypatch, toy([source]))
    with pytest.raises(Unavailable, match="some/other cannot be fetched from the model hub"):
        pull("toy")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="HF_ENDPOINT"):
        pull("toy")
    assert pulling.home().is_dir()
