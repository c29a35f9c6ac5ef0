import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from luthier.errors import BadConfig, Forbidden, RunFailed, Unavailable, UnknownName
from luthier.lm.client import Client

ASKED = [{"role": "user", "content": "Hi"}]


class Server(ThreadingHTTPServer):
    """Answers each path with what the test has put there, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = {}, []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = json.loads(body) if body else None
        self.server.asked.append((self.path, asked, self.headers.get("authorization")))
        answer = self.server.answers.get(self.path, (404, {"error": {"message": "nothing here"}}))
        status, found = answer(asked) if callable(answer) else answer
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the hasty client is gone
            self.wfile.write(data)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as running:
        yield running
        running.shutdown()


@pytest.fixture
def client(server):
    with Client(server.url, key="sk-1", timeout=5) as open_client:
        yield open_client


def test_a_chat_is_asked_and_read(server, client):
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    choice = {"message": {"content": "Hello"}, "finish_reason": "stop"}
    server.answers["/v1/chat/completions"] = (200, {"id": "chatcmpl-1", "choices": [choice], "usage": usage})
    reply = client.chat(ASKED, "m", max_tokens=5, seed=1, extra={"top_k": 3})
    assert reply[:5] == ("Hello", "stop", 3, 2, "chatcmpl-1")
    path, asked, key = server.asked[0]
    assert asked == {"model": "m", "messages": ASKED, "max_tokens": 5, "temperature": 0.0, "seed": 1, "top_k": 3}
    assert (path, key) == ("/v1/chat/completions", "Bearer sk-1")


def test_a_stream_gives_its_pieces(server, client):
    chunks = [{"choices": [{"delta": {"content": piece}}]} for piece in ("Hel", "", "lo ü")]
    lines = [b": ping", *(b"data: " + json.dumps(chunk).encode() for chunk in [*chunks, {"choices": []}])]
    server.answers["/v1/chat/completions"] = (200, b"\n\n".join([*lines, b"data: [DONE]", b""]))
    assert list(client.stream(ASKED, "m", max_tokens=5)) == ["Hel", "lo ü"]
    server.answers["/v1/chat/completions"] = (200, b"\n\n".join([*lines, b""]))
    with pytest.raises(Unavailable, match="broke off"):
        list(client.stream(ASKED, "m", max_tokens=5))
    server.answers["/v1/chat/completions"] = (200, b'data: {"error": {"message": "out of memory"}}\n\n')
    with pytest.raises(RunFailed, match="out of memory"):
        list(client.stream(ASKED, "m", max_tokens=5))
    server.answers["/v1/chat/completions"] = (404, {"error": {"message": "no model m"}})
    with pytest.raises(UnknownName, match="no model m"):
        list(client.stream(ASKED, "m", max_tokens=5))


def test_embeddings_come_in_order_and_of_length_one(server, client):
    def embed(asked):
        data = [{"index": i, "embedding": [float(len(text)), 1.0]} for i, text in enumerate(asked["input"])]
        return 200, {"data": data[::-1]}

    server.answers["/v1/embeddings"] = embed
    texts = ["x" * (n % 7) for n in range(300)]
    vectors = client.embed(texts, "m")
    assert vectors.dtype == np.float32
    assert vectors.shape == (300, 2)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[:, 0] / vectors[:, 1], [len(text) for text in texts])
    assert client.embed([], "m").shape == (0, 0)
    server.answers["/v1/embeddings"] = (200, {"data": []})
    with pytest.raises(RunFailed, match="one for each text"):
        client.embed(["a"], "m")


def test_models_and_adapters(server, client):
    server.answers["/v1/models"] = (200, {"data": [{"id": "a", "parent": "b"}]})
    server.answers["/v1/load_lora_adapter"] = server.answers["/v1/unload_lora_adapter"] = (200, b"Success")
    assert client.models() == [{"id": "a", "parent": "b"}]
    client.load_adapter("a", "/x")
    client.unload_adapter("a")
    assert [asked for _, asked, _ in server.asked[1:]] == [{"lora_name": "a", "lora_path": "/x"}, {"lora_name": "a"}]


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, {"error": {"message": "too long", "param": "x"}}, BadConfig, "too long"),
        (401, {"error": "bad key"}, Forbidden, "bad key"),
        (404, {"object": "error", "message": "no model"}, UnknownName, "no model"),
        (422, {"detail": [{"msg": "field required"}]}, BadConfig, "field required"),
        (429, {}, Unavailable, "429"),
        (500, b"<html>oops", RunFailed, "oops"),
        (503, b"", Unavailable, "Service Unavailable"),
        (418, b"teapot", BadConfig, "teapot"),
    ],
)
def test_refusals_keep_the_servers_words_and_have_a_mend(server, client, status, body, error, words):
    server.answers["/v1/chat/completions"] = (status, body)
    with pytest.raises(error, match=words) as caught:
        client.chat(ASKED, "m", max_tokens=1)
    assert caught.value.mend


@pytest.mark.parametrize("body", [b"<html>", b"[]", {}, {"choices": []}, {"choices": [{"message": None}]}, b"3"])
def test_what_is_no_openai_server_is_said(server, client, body):
    server.answers["/v1/chat/completions"] = (200, body)
    with pytest.raises(RunFailed, match="does not speak the OpenAI API"):
        client.chat(ASKED, "m", max_tokens=1)


def test_health_and_waiting(server, client):
    assert not client.healthy()
    with pytest.raises(Unavailable, match="not ready within"):
        client.wait(0.05)
    with pytest.raises(Unavailable, match="ended before"):
        client.wait(60, alive=lambda: False)
    server.answers["/health"] = (200, b"")
    client.wait(1)
    assert Client(server.url + "/v1/").healthy()


def test_no_server_and_a_slow_server(server):
    with Client("http://127.0.0.1:1") as nobody:
        assert not nobody.healthy()
        with pytest.raises(Unavailable, match=r"no server answers at http://127.0.0.1:1 .*: start it"):
            nobody.models()
        with pytest.raises(Unavailable, match="no server answers"):
            list(nobody.stream(ASKED, "m", max_tokens=1))
    asleep = threading.Event()
    server.answers["/v1/models"] = lambda _: (asleep.wait(5) and 200, {})
    with Client(server.url, timeout=0.2) as hasty, pytest.raises(Unavailable, match=r"within 0\.2 s"):
        hasty.models()
    asleep.set()


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none(url):
    with pytest.raises(BadConfig, match="is no web address"):
        Client(url)
