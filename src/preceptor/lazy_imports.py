"""Load modules when something of them is first used, so that a package and a project's services stay quick to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


class LazyModule:
    """A module that is imported when an attribute of it is first read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def lazy_modules(package: str, names: str) -> dict[str, LazyModule]:
    """Return stand-ins for modules of a package by name, each imported when an attribute of it is first read.

    names: the modules, separated by spaces.
    """
    return {name: LazyModule(f"{package}.{name}") for name in names.split()}


def lazy_attributes(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`: it takes each public name from the module of the package that defines it.

    homes: module -> its names, separated by spaces.
    """
    modules = {name: module for module, names in homes.items() for name in names.split()}

    def find_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return find_attribute
