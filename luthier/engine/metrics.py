"""What Prometheus reads, under vLLM's names, so that dashboards and routers made for vLLM work here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from time import monotonic

FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
WHOLE = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960)


class Histogram:
    """Counts of seconds by upper bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def lines(self, name: str, label: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{{label},le="{bound}"}} {total}'
        yield f"{name}_sum{{{label}}} {self.sum:.6f}"
        yield f"{name}_count{{{label}}} {total}"


class Metrics:
    """Counted by the scheduler's thread alone; read by any."""

    def __init__(self, model: str) -> None:
        self.label = f'model_name="{escape(model)}"'
        self.prompt_tokens = self.shared_tokens = self.generated_tokens = 0
        self.ends = {"stop": 0, "length": 0, "abort": 0, "error": 0}
        self.to_first = Histogram(FIRST_TOKEN)
        self.per_token = Histogram(PER_TOKEN)
        self.whole = Histogram(WHOLE)

    def joined(self, prompt: int, shared: int) -> None:
        """A prompt was taken up; `shared` of its tokens did not have to be computed."""
        self.prompt_tokens += prompt
        self.shared_tokens += shared

    def first_token(self, seconds: float) -> None:
        self.to_first.observe(seconds)

    def finished(self, reason: str, generated: int, asked_at: float, first_at: float) -> None:
        """An answer is whole. Times are of the monotonic clock."""
        now = monotonic()
        self.ends[reason] += 1
        self.generated_tokens += generated
        self.whole.observe(now - asked_at)
        if generated > 1:
            self.per_token.observe((now - first_at) / (generated - 1))

    def cancelled(self) -> None:
        self.ends["abort"] += 1

    def failed(self) -> None:
        self.ends["error"] += 1

    def text(self, running: Sequence[str], waiting: Sequence[str], memory: float) -> str:
        """The exposition format. `running` and `waiting`: the adapter of each request, '' for the base."""
        out = [*self.gauges(running, waiting, memory)]
        counters = (
            ("vllm:prompt_tokens_total", "Prompt tokens taken up.", self.prompt_tokens),
            ("vllm:generation_tokens_total", "Tokens generated in finished answers.", self.generated_tokens),
            ("vllm:prefix_cache_queries_total", "Prompt tokens looked for in memory.", self.prompt_tokens),
            ("vllm:prefix_cache_hits_total", "Prompt tokens found there.", self.shared_tokens),
        )
        for name, help_text, value in counters:
            out += [f"# HELP {name} {help_text}", f"# TYPE {name} counter", f"{name}{{{self.label}}} {value}"]
        name = "vllm:request_success_total"
        out += [f"# HELP {name} Finished requests by reason.", f"# TYPE {name} counter"]
        out += [f'{name}{{{self.label},finished_reason="{why}"}} {count}' for why, count in self.ends.items()]
        for name, help_text, histogram in (
            ("vllm:time_to_first_token_seconds", "From the request to its first token.", self.to_first),
            ("vllm:time_per_output_token_seconds", "Mean time of each further token of an answer.", self.per_token),
            ("vllm:e2e_request_latency_seconds", "From the request to its last token.", self.whole),
        ):
            out += [f"# HELP {name} {help_text}", f"# TYPE {name} histogram", *histogram.lines(name, self.label)]
        return "\n".join(out) + "\n"

    def gauges(self, running: Sequence[str], waiting: Sequence[str], memory: float) -> Iterator[str]:
        for name, help_text, value in (
            ("vllm:num_requests_running", "Requests that have a slot.", len(running)),
            ("vllm:num_requests_waiting", "Requests that wait for one.", len(waiting)),
            ("vllm:kv_cache_usage_perc", "Share of the memory for keys and values in use; 1 is all.", round(memory, 6)),
        ):
            yield from (f"# HELP {name} {help_text}", f"# TYPE {name} gauge", f"{name}{{{self.label}}} {value}")
        name = "vllm:lora_requests_info"
        mine, theirs = (",".join(escape(one) for one in sorted(set(names) - {""})) for names in (running, waiting))
        yield from (f"# HELP {name} Adapters of running and waiting requests.", f"# TYPE {name} gauge")
        yield f'{name}{{max_lora="0",running_lora_adapters="{mine}",waiting_lora_adapters="{theirs}"}} 1'


def escape(text: str) -> str:
    """A label's value as the exposition format wants it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
