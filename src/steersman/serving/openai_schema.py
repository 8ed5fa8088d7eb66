"""What clients send and are sent: OpenAI's fields, and `steering` beside them.

A field that changes the answer and that this server does not know is refused, never passed over.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Strength = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Ids = Annotated[list[Annotated[int, Field(strict=True, ge=0)]], Field(min_length=1)]
_Zero = Annotated[float, Field(ge=0, le=0)]


def _in_words(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


_Stop = Annotated[str, Field(min_length=1)]
Stops = Annotated[
    list[_Stop], BeforeValidator(_in_words, json_schema_input_type=_Stop | list[_Stop])
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamOptions(_Strict):
    """How a stream is sent.

    Attributes:
        include_usage: send the counts of tokens at the end.
    """

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class Asked(_Strict):
    """What requests of both kinds have.

    Attributes:
        model: the model that is served, perhaps with steerings behind it: `base+calm:0.8`.
        steering: the strength of each steering in natural units, or of each of its features.
        steering_report: tell what each steering was asked for and what it did.
        steering_tokens: tell of each token where the features were in the state it was chosen from.
        seed: the same request with the same seed has the same answer.
    """

    model: str
    steering: dict[str, Strength | dict[str, Strength]] | None = None
    steering_report: bool = False
    steering_tokens: bool = False
    max_tokens: Annotated[int, Field(strict=True, ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(strict=True, ge=1)] | None = None
    stop: Stops | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    presence_penalty: _Zero | None = None
    frequency_penalty: _Zero | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    user: str | None = None


class TextPart(_Strict):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """One message of a conversation."""

    role: str
    content: str | list[TextPart]
    name: str | None = None
    refusal: None = None
    annotations: None = None
    audio: None = None
    tool_calls: None = None
    function_call: None = None


class ChatRequest(Asked):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(strict=True, ge=1)] | None = None
    logprobs: Literal[False] | None = None
    metadata: dict[str, str] | None = None
    store: Literal[False] | None = None


class CompletionRequest(Asked):
    """`POST /v1/completions`."""

    prompt: str | Ids | Annotated[list[str], Field(min_length=1)] | list[Ids]
    echo: Literal[False] | None = None
    suffix: Literal[""] | None = None
    logprobs: None = None
    best_of: Literal[1] | None = None


class LoadRequest(_Strict):
    """`POST /v1/steerings`.

    Attributes:
        name: of a steering that the server knows.
    """

    name: str


class Usage(BaseModel):
    """How many tokens there were."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Report(BaseModel):
    """What one feature of one steering was asked for and what it did, in natural units.

    Attributes:
        feature: its name, as requests give it.
        strength: what was asked for.
        tokens: how many tokens were steered; nothing more is known where there was none.
        setpoint: where the feature was wanted after the last block, as a mean over those tokens.
        reached: where it was.
        unsteered: where it would have been for the same tokens without steering.
        rms_error: setpoint minus reached.
        effort: the length of all that was added to a token.
        blocks: the same at the input of every block.
    """

    steering: str
    feature: str
    strength: float
    tokens: int
    setpoint: float | None = None
    reached: float | None = None
    unsteered: float | None = None
    rms_error: float | None = None
    effort: float | None = None
    blocks: dict[str, list[float | None]] | None = None


class Reading(BaseModel):
    """Where one feature was in the state that a token was chosen from, in natural units.

    Attributes:
        feature: its name, as requests give it.
        steered: whether that state was steered; null where it is not known.
        setpoint: where it was wanted after the last block; null where the law states no value.
        reached: where it was.
        unsteered: where it would have been without steering; null where no unsteered run is at
            hand, as for a plan.
    """

    feature: str
    steered: bool | None = None
    setpoint: float | None = None
    reached: float | None = None
    unsteered: float | None = None


class TokenReport(BaseModel):
    """A token of an answer; in a stream it comes in the choice whose text it is.

    Attributes:
        id: of the token.
        text: what became certain with it, which may be nothing, or more than its own.
        features: one for each feature that has a strength; null where the engine cannot tell.
    """

    id: int
    text: str
    features: list[Reading] | None = None


class _Choice(BaseModel):
    index: int
    finish_reason: Literal["stop", "length"]
    logprobs: None = None
    steering_report: list[Report] | None = None
    steering_tokens: list[TokenReport] | None = None


class Said(BaseModel):
    """The message that a model wrote."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(_Choice):
    """One answer in a conversation."""

    message: Said


class TextChoice(_Choice):
    """One continuation."""

    text: str


class _Answer(BaseModel):
    id: str
    created: int
    model: str
    usage: Usage


class ChatCompletion(_Answer):
    """The answer to a `ChatRequest` that does not stream."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]


class Completion(_Answer):
    """The answer to a `CompletionRequest` that does not stream."""

    object: Literal["text_completion"] = "text_completion"
    choices: list[TextChoice]


class Model(BaseModel):
    """A name that requests may give as their model.

    Attributes:
        chat: whether it has a chat template; without one, conversations are refused.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["steersman"] = "steersman"
    chat: bool


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class SteeringObject(BaseModel):
    """A steering that the server knows.

    Attributes:
        id: its name.
        loaded: whether requests may ask for it.
        method: how it was made, where it is loaded.
        features: what it steers, where it is loaded.
        summary: a few words for a person, where it is loaded.
        needs_all: whether every feature has to be given a strength, as where it holds each at a
            value; then 0 is a value like any other, and not unsteered.
        in_units: whether one unit of strength is one natural unit of the feature.
    """

    id: str
    object: Literal["steering"] = "steering"
    loaded: bool
    method: str | None = None
    features: list[str] | None = None
    summary: str | None = None
    needs_all: bool | None = None
    in_units: bool | None = None


class SteeringList(BaseModel):
    """All of them.

    Attributes:
        max_strength: the largest that may be asked for, either way.
        max_steerings: how many a request may have.
    """

    object: Literal["list"] = "list"
    data: list[SteeringObject]
    max_strength: float
    max_steerings: int


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every answer that is none."""

    error: ErrorDetail
