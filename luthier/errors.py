"""Every error that Luthier raises on purpose. Each says what happened and how to mend it.

    LuthierError                 exit  http
    ├── BadConfig                  1   400   a project file, a flag or a request is wrong
    │   └── UnknownName            1   404   no such record, model, extension, document
    ├── BadData                    1   422   a source cannot be read, or too much of it is bad
    ├── Missing                    1   424   something has to be installed or fetched first
    ├── Busy                       2   409   another process holds what is needed
    ├── RunFailed                  2   500   the work itself failed
    │   └── NoRoom                 2   507   the disk is full
    ├── Unavailable                2   503   a server cannot be reached
    ├── GateFailed                 3   412   the gate did not let the model pass
    ├── NeedsApproval              4   403   a person has to approve first
    │   └── Forbidden              4   403   this key may not do that
    └── Tampered                   6   409   stored bytes are not what was recorded

Knows nothing of HTTP or the command line: each class carries two numbers, and they have one handler each.
"""

from __future__ import annotations


class LuthierError(Exception):
    """What happened (`what`) and the mend (`mend`), one sentence each. Pickles: both stand in `args`."""

    exit_code = 2
    http_status = 500

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what, mend)
        self.what = what
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}" if self.mend else self.what


def as_dict(error: LuthierError) -> dict[str, str]:
    """The error as JSON data: how a child process tells its parent what went wrong."""
    return {"type": type(error).__name__, "what": error.what, "mend": error.mend}


def from_dict(data: dict[str, str]) -> LuthierError:
    """The error that `as_dict` wrote; of the base class where its type is not known here."""
    named = globals().get(data["type"])
    kind = named if isinstance(named, type) and issubclass(named, LuthierError) else LuthierError
    return kind(data["what"], data["mend"])


class BadConfig(LuthierError):
    exit_code = 1
    http_status = 400


class UnknownName(BadConfig):
    http_status = 404


class BadData(LuthierError):
    exit_code = 1
    http_status = 422


class Missing(LuthierError):
    exit_code = 1
    http_status = 424


class Busy(LuthierError):
    http_status = 409


class RunFailed(LuthierError):
    pass


class NoRoom(RunFailed):
    http_status = 507


class Unavailable(LuthierError):
    http_status = 503


class GateFailed(LuthierError):
    exit_code = 3
    http_status = 412


class NeedsApproval(LuthierError):
    exit_code = 4
    http_status = 403


class Forbidden(NeedsApproval):
    pass


class Tampered(LuthierError):
    exit_code = 6
    http_status = 409
