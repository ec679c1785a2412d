"""The root of Baton's errors: each has a stable code, a title a person reads, and the HTTP status it shows as.

BatonError
├── InvalidInput     what was sent has no meaning here; `problems` point at each part that is wrong
└── api.problems.*   what only the HTTP door says
"""

from dataclasses import dataclass


class BatonError(Exception):
    """Something a caller can be told: `code` never changes, `title` belongs to it, `detail` says what happened."""

    def __init__(self, code: str, title: str, status: int, detail: str | None = None) -> None:
        super().__init__(detail or title)
        self.code = code
        self.title = title
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one part of an input; `pointer` is an RFC 6901 JSON pointer."""

    pointer: str
    detail: str


class InvalidInput(BatonError):  # noqa: N818 -- says what was sent
    """Some of an input has no meaning; nothing of it was taken."""

    def __init__(self, *problems: FieldProblem, detail: str | None = None) -> None:
        super().__init__("invalid_request", "The request is not valid", 422, detail)
        self.problems = problems


def pointer(*parts: str | int) -> str:
    """The RFC 6901 pointer through these keys and positions."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
