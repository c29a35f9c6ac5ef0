"""What every workflow has at hand: an open project, its workspace, somebody to tell how far it is, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from luthier.errors import Missing
from luthier.progress import Progress, silent
from luthier.records.project import Project
from luthier.store.workspace import Workspace
from luthier.workflows import project


@dataclass(frozen=True)
class Session:
    """One project being worked on."""

    project: Project
    root: Path
    workspace: Workspace
    progress: Progress = silent
    by: str = "owner"

    @classmethod
    def open(cls, path: Path, *, create: bool = True, progress: Progress = silent, by: str = "owner") -> Session:
        """The project in `path` with its workspace, which is made where there is none yet and `create` says so."""
        opened = project.read(path)
        if not create and not opened.workspace.exists():
            raise Missing(f"nothing was made in {opened.root} yet", "begin with: luthier data build")
        return cls(opened.project, opened.root, Workspace.open(opened.workspace, create=create), progress, by)

    def close(self) -> None:
        """Close the workspace."""
        self.workspace.close()
