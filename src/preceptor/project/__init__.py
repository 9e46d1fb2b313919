"""`Project`: the whole loop as methods, and what belongs to a project as a whole: configuration, lineage, release, demo."""

from preceptor.project.config import Config
from preceptor.project.importing import ImportReport
from preceptor.project.project import Project

__all__ = ["Config", "ImportReport", "Project"]
