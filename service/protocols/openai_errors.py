"""What an OpenAI client is told of a request that is not answered.

ServiceError
├── InputRefused        400   something of the request, named by `param`
│   └── NoTexts         400   an empty list
├── NotAnEmbeddingModel 400   a model that answers something else
└── RowFailed           422   the model breaks down over one text; sent again it would again
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from service.errors import ServiceError


class OpenAIError(BaseModel):
    """What was wrong: `type` and `code` are for programs, `param` names the field."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorResponse(BaseModel):
    """Why a request was not answered."""

    error: OpenAIError


class InputRefused(ServiceError):
    """A field of the request that cannot be followed."""

    status = 400

    def __init__(self, message: str, *, param: str | None = "input") -> None:
        super().__init__(message)
        self.param = param


class NoTexts(InputRefused):
    """An input that holds nothing."""

    def __init__(self) -> None:
        super().__init__("input: an empty list; expected a text, or several.")


class NotAnEmbeddingModel(ServiceError):
    """A model that is served, and does not embed texts."""

    status = 400
    param = "model"

    def __init__(self, tag: str, *, task: str, known: Sequence[str]) -> None:
        have = f"Models that embed texts here: {', '.join(known)}." if known else "No model here embeds texts."
        super().__init__(f"model: {tag} answers {task}, which POST /predict takes. {have}")
        self.tag, self.known = tag, tuple(known)


class RowFailed(ServiceError):
    """A text over which the model breaks down."""

    status = 422
    param = "input"

    def __init__(self, model: str, *, said: str) -> None:
        super().__init__(f"{model}: {said}")
        self.model = model


def openai_error(message: str, *, status: int, param: str | None) -> OpenAIErrorResponse:
    """An error as OpenAI's API tells it."""
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    return OpenAIErrorResponse(error=OpenAIError(message=message, type=kind, param=param, code=code))
