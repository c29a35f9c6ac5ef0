"""What a caller may ask for: HTTP bodies → typed values, each wrong field refused by name. No model in sight.

The bodies are OpenAI's, with the few extra fields of vLLM that we use. A field that would change the answer and that
this engine does not know how to honour is refused rather than ignored; any other unknown field is ignored.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from luthier.engine.sampling import Sampling
from luthier.errors import BadConfig
from luthier.records.data import Message

MOST_ALTERNATIVES = 20
MOST_CHOICES = 16
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "suffix": ("",),
    "use_beam_search": (False,),
    "response_format": ({"type": "text"},),
    "guided_json": (),
    "guided_regex": (),
    "structured_outputs": (),
}
"""Fields that are refused, but for the values that ask for nothing."""


class BadRequest(BadConfig):
    """A wrong request; `param` names the field and `code` is OpenAI's word for what is wrong, if it has one."""

    def __init__(self, what: str, mend: str = "", param: str | None = None, code: str | None = None) -> None:
        super().__init__(what, mend)
        self.param, self.code = param, code


class StreamOptions(BaseModel):
    """Whether the last chunk of a stream tells the token counts."""

    include_usage: bool = False


class Body(BaseModel):
    """A chat completion (`messages`) or a plain completion (`prompt`)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str = ""
    messages: list[dict[str, Any]] = []
    prompt: str | list[int] | list[str] | list[list[int]] = []
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=0)
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=-1)
    seed: int | None = None
    stop: str | list[str] = []
    n: int = Field(default=1, ge=1, le=MOST_CHOICES)
    best_of: int | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    logprobs: bool | int | None = None
    top_logprobs: int = Field(default=0, ge=0, le=MOST_ALTERNATIVES)
    return_tokens_as_token_ids: bool = False
    """vLLM's: log-probabilities name tokens as `token_id:123`, which no text can be mistaken for."""
    echo: bool = False
    ignore_eos: bool = False

    @property
    def most(self) -> int | None:
        """The caller's limit on new tokens."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def sampling(self, max_tokens: int, choice: int, *, chat: bool) -> Sampling:
        """How choice number `choice` is to be generated. Choices of one seeded request differ by their seeds."""
        if chat:
            logprobs = self.top_logprobs if self.logprobs else None
        else:
            logprobs = None if self.logprobs is None or self.logprobs is False else int(self.logprobs)
        return Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(0, self.top_k),
            seed=None if self.seed is None else self.seed + choice,
            stops=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop),
            logprobs=logprobs,
            echo=self.echo and not chat,
            ignore_eos=self.ignore_eos,
        )


class EmbeddingBody(BaseModel):
    """Texts to embed."""

    model: str = ""
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


class LoadBody(BaseModel):
    """An adapter to load. `load_inplace` replaces one of the same name."""

    lora_name: str = Field(min_length=1, max_length=256)
    lora_path: str = Field(min_length=1)
    load_inplace: bool = False


class UnloadBody(BaseModel):
    """An adapter to forget."""

    lora_name: str


class TokenizeBody(BaseModel):
    """A text, or a dialogue as it would be fed to the model."""

    prompt: str | None = None
    messages: list[dict[str, Any]] = []


T = TypeVar("T", bound=BaseModel)


def parse(kind: type[T], body: Any) -> T:
    """`body` as `kind`; nulls count as left out. Raises BadRequest that names the field."""
    if not isinstance(body, dict):
        raise BadRequest("the body is no JSON object", "send {…} with Content-Type: application/json")
    given = {name: value for name, value in body.items() if value is not None}
    for name in given.keys() & NEUTRAL.keys():
        if given[name] not in NEUTRAL[name]:
            raise BadRequest(f"{name} is not served by this engine", f"leave {name} out", param=name)
    try:
        parsed = kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else None
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"{where}: {first['msg']}", "see OpenAI's API reference", param=name) from error
    if isinstance(parsed, Body):
        check(parsed)
    return parsed


def check(body: Body) -> None:
    """What pydantic's bounds cannot say."""
    if body.best_of not in (None, 1, body.n):
        raise BadRequest("best_of is not served by this engine", "leave best_of out", param="best_of")
    if any(not stop for stop in ([body.stop] if isinstance(body.stop, str) else body.stop)):
        raise BadRequest("stop holds an empty string", "leave it out", param="stop")
    if type(body.logprobs) is int and not 0 <= body.logprobs <= MOST_ALTERNATIVES:
        raise BadRequest(f"logprobs is {body.logprobs}", f"ask for 0 to {MOST_ALTERNATIVES}", param="logprobs")
    if body.stream and body.echo and body.logprobs is not None:
        raise BadRequest("echoed log-probabilities are not streamed", "leave stream out", param="stream")


def messages(given: list[dict[str, Any]]) -> list[Message]:
    """The dialogue. Text alone: an image or a sound is refused."""
    if not given:
        raise BadRequest("messages is empty", "send at least one message", param="messages")
    return [message(one, f"messages.{place}") for place, one in enumerate(given)]


def message(given: dict[str, Any], where: str) -> Message:
    content = given.get("content")
    if isinstance(content, list):
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise BadRequest(f"{where}.content holds something other than text", "send text", param="messages")
        content = "".join(str(part.get("text", "")) for part in content)
    role = "system" if given.get("role") == "developer" else given.get("role")
    known = {name: given[name] for name in ("name", "tool_calls", "tool_call_id") if given.get(name)}
    try:
        return Message.model_validate(known | {"role": role, "content": "" if content is None else content})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"{where}.{field}: {first['msg']}", "see OpenAI's API reference", param="messages") from error


def prompts(given: str | list[int] | list[str] | list[list[int]]) -> list[str | list[int]]:
    """One or many prompts, each a text or token ids."""
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [[token for token in given if isinstance(token, int)]]
    several = [one for one in given if not isinstance(one, int)]
    if not several:
        raise BadRequest("prompt is missing", "send a text, token ids, or a list of either", param="prompt")
    return several
