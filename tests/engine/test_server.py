"""The server as a process of its own, over its sockets: vLLM's routes, its errors, its way to start and to end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.engine.conftest import Folders, Server, command

HELLO = {"messages": [{"role": "user", "content": "How do I block my card?"}], "max_tokens": 8, "temperature": 0}


def lines(reply: httpx.Response) -> list[dict[str, object] | str]:
    found = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
    return [line if line == "[DONE]" else json.loads(line) for line in found]


def figure(http: httpx.Client, name: str) -> float:
    line = next(line for line in http.get("/metrics").text.splitlines() if line.startswith(name))
    return float(line.rsplit(" ", 1)[1])


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_models_name_their_parent_and_root(http: httpx.Client, folders: Folders) -> None:
    cards = {card["id"]: card for card in http.get("/v1/models").json()["data"]}
    assert cards["tiny"]["parent"] is None
    assert cards["tiny"]["max_model_len"] == 512
    assert cards["rooted"]["parent"] == "tiny"
    assert cards["rooted"]["root"] == str(folders.adapters["rooted"])
    assert http.get("/v1/models/rooted").json() == cards["rooted"]
    assert http.get("/v1/models/nobody").status_code == 404


def test_a_stream_says_what_the_whole_says(http: httpx.Client) -> None:
    whole = http.post("/v1/chat/completions", json=HELLO | {"model": "plain"}).json()
    asked = HELLO | {"model": "plain", "stream": True, "stream_options": {"include_usage": True}}
    with http.stream("POST", "/v1/chat/completions", json=asked) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        *chunks, usage, done = lines(reply)
    assert done == "[DONE]"
    assert usage["usage"] == whole["usage"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "length"


def test_many_at_once_of_many_adapters_say_what_each_says_alone(http: httpx.Client) -> None:
    names = ["tiny", "plain", "rooted", "narrow"]
    bodies = [HELLO | {"model": names[n % 4], "max_tokens": 4 + n} for n in range(12)]
    expected = [http.post("/v1/chat/completions", json=body).json()["choices"] for body in bodies]
    got: list[object] = [None] * len(bodies)

    def ask(place: int) -> None:
        got[place] = http.post("/v1/chat/completions", json=bodies[place]).json()["choices"]

    threads = [threading.Thread(target=ask, args=[place]) for place in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected


def test_a_seed_repeats_and_choices_differ(http: httpx.Client) -> None:
    body = HELLO | {"temperature": 1.5, "seed": 3, "n": 3}
    first, again = (http.post("/v1/chat/completions", json=body).json() for _ in range(2))
    assert first["choices"] == again["choices"]
    assert len({choice["message"]["content"] for choice in first["choices"]}) == 3
    assert first["usage"]["completion_tokens"] == 24


def test_a_stop_string_ends_an_answer_before_it(http: httpx.Client) -> None:
    text = http.post("/v1/chat/completions", json=HELLO | {"max_tokens": 20}).json()["choices"][0]["message"]["content"]
    stop = text[5:8]
    choice = http.post("/v1/chat/completions", json=HELLO | {"max_tokens": 20, "stop": stop}).json()["choices"][0]
    assert choice["message"]["content"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_completions_score_their_prompt(http: httpx.Client) -> None:
    ids = http.post("/tokenize", json={"prompt": "Call the hotline at once"}).json()["tokens"]
    body = {"prompt": [ids, ids[:3]], "echo": True, "logprobs": 2, "max_tokens": 1, "temperature": 0}
    choices = http.post("/v1/completions", json=body).json()["choices"]
    first, second = (choice["logprobs"] for choice in choices)
    assert len(first["tokens"]) == len(ids) + 1
    assert "".join(first["tokens"]) == choices[0]["text"]
    assert first["token_logprobs"][0] is None
    assert first["text_offset"][:2] == [0, len(first["tokens"][0])]
    assert second["token_logprobs"][:3] == pytest.approx(first["token_logprobs"][:3], abs=1e-4)
    assert max(first["top_logprobs"][-1].values()) == pytest.approx(first["token_logprobs"][-1])


def test_embeddings_are_unit_vectors(http: httpx.Client) -> None:
    reply = http.post("/v1/embeddings", json={"input": ["a card", "", "a card"], "model": "encoder"}).json()
    vectors = [one["embedding"] for one in reply["data"]]
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-5)
    assert sum(x * x for x in vectors[1]) == pytest.approx(1, abs=1e-5)
    assert reply["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"\xff\xfe", 400),
        ("/v1/chat/completions", b"", 400),
        ("/v1/chat/completions", b"[" * 100_000, 400),
        ("/v1/chat/completions", b"[1]", 400),
        ("/v1/chat/completions", b'{"messages": []}', 400),
        ("/v1/chat/completions", json.dumps(HELLO | {"model": "nobody"}).encode(), 404),
        ("/v1/chat/completions", json.dumps(HELLO | {"max_tokens": 5000}).encode(), 400),
        ("/v1/completions", b'{"prompt": "\\ud800"}', 400),
        ("/v1/completions", b'{"prompt": ""}', 400),
        ("/v1/completions", b'{"prompt": [99999]}', 400),
        ("/v1/completions", b'{"prompt": [-1]}', 400),
        ("/v1/completions", json.dumps({"prompt": "long " * 600}).encode(), 400),
        ("/v1/completions", json.dumps({"prompt": "x" * (17 << 20)}).encode(), 400),
        ("/v1/embeddings", b'{"input": [[1, 2]]}', 400),
        ("/v1/load_lora_adapter", b'{"lora_name": "x", "lora_path": "/nowhere"}', 404),
        ("/v1/load_lora_adapter", b'{"lora_name": "x"}', 400),
        ("/v1/unload_lora_adapter", b'{"lora_name": "x"}', 404),
        ("/v1/nothing", b"{}", 404),
    ],
)
def test_wrong_requests_are_refused_in_openais_shape(
    http: httpx.Client, path: str, content: bytes, status: int
) -> None:
    reply = http.post(path, content=content)
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert http.get("/health").status_code == 200


def test_the_codes_that_clients_know(http: httpx.Client) -> None:
    unknown = http.post("/v1/chat/completions", json=HELLO | {"model": "nobody"}).json()["error"]
    assert (unknown["code"], unknown["param"]) == ("model_not_found", "model")
    long = http.post("/v1/chat/completions", json=HELLO | {"max_tokens": 5000}).json()["error"]
    assert long["code"] == "context_length_exceeded"


def test_adapters_come_and_go(http: httpx.Client, folders: Folders) -> None:
    load = {"lora_name": "guest", "lora_path": str(folders.adapters["rooted"])}
    reply = http.post("/v1/load_lora_adapter", json=load)
    assert reply.status_code == 200
    assert "luthier.json" in reply.text
    assert http.post("/v1/load_lora_adapter", json=load).status_code == 400
    assert http.post("/v1/load_lora_adapter", json=load | {"load_inplace": True}).status_code == 200
    guest, rooted = (
        http.post("/v1/chat/completions", json=HELLO | {"model": name}).json() for name in ("guest", "rooted")
    )
    assert guest["choices"] == rooted["choices"]
    assert http.post("/v1/unload_lora_adapter", json={"lora_name": "guest"}).status_code == 200
    assert http.post("/v1/chat/completions", json=HELLO | {"model": "guest"}).status_code == 404


@pytest.mark.parametrize("stream", [True, False])
def test_who_hangs_up_frees_the_slot(http: httpx.Client, server: Server, stream: bool) -> None:
    body = HELLO | {"max_tokens": 490, "ignore_eos": True, "stream": stream, "n": 8}
    gone = figure(http, 'vllm:request_success_total{model_name="tiny",finished_reason="abort"')
    with httpx.Client(base_url=server.url, timeout=0.5) as caller:
        if stream:
            with caller.stream("POST", "/v1/chat/completions", json=body) as reply:
                next(reply.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                caller.post("/v1/chat/completions", json=body)
    wait_until(lambda: figure(http, "vllm:num_requests_running") + figure(http, "vllm:num_requests_waiting") == 0)
    assert figure(http, 'vllm:request_success_total{model_name="tiny",finished_reason="abort"') > gone


def test_metrics_count(http: httpx.Client) -> None:
    before = figure(http, "vllm:generation_tokens_total")
    http.post("/v1/chat/completions", json=HELLO)
    assert figure(http, "vllm:generation_tokens_total") == before + 8
    assert figure(http, "vllm:time_to_first_token_seconds_count") > 0


def test_a_key_and_a_drain(start: Callable[..., Server], folders: Folders) -> None:
    """Without the key only the probes answer; on SIGTERM what was begun is finished."""
    server = start("--base", str(folders.base), "--api-key", "sk-engine")
    with httpx.Client(base_url=server.url, timeout=30) as http:
        assert http.get("/health").status_code == 200
        assert http.get("/v1/models").status_code == 401
        http.headers["Authorization"] = "Bearer sk-engine"
        assert http.get("/v1/models").status_code == 200
        body = HELLO | {"max_tokens": 200, "ignore_eos": True, "stream": True}
        with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            stream = reply.iter_lines()
            next(stream)
            server.process.send_signal(signal.SIGTERM)
            assert [line for line in stream if line][-1] == "data: [DONE]"
    assert server.process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health")


def refused(*flags: str) -> tuple[int, str]:
    done = subprocess.run(command(*flags), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr.strip()


def test_a_taken_port_is_one_sentence_and_exit_code_2(folders: Folders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, told = refused("--base", str(folders.base), "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert len(told.splitlines()) == 1
    assert "--port" in told


def test_no_model_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    code, told = refused("--base", str(tmp_path / "nothing"), "--port", "0")
    assert code == 1
    assert len(told.splitlines()) == 1
