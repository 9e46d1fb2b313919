"""`Project`: the whole loop as methods, and what belongs to a project as a whole: configuration, lineage, release, demo."""

from preceptor.project.access import ROLES, SCOPES, Access, Forbidden, Locked, Visitor
from preceptor.project.config import Config
from preceptor.project.importing import ImportReport
from preceptor.project.project import Project

__all__ = ["ROLES", "SCOPES", "Access", "Config", "Forbidden", "ImportReport", "Locked", "Project", "Visitor"]
