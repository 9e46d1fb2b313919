"""Register plug-ins: built-in parts and other people's packages enter by the same way.

A registry knows its built-ins as module names and imports one when it is asked for, so that listing names costs nothing. Other
packages announce theirs by an entry point.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from preceptor.errors import UserError

T = TypeVar("T")


class OptionsBase(BaseModel):
    """The options of one registered part: typed, immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any] | None, *, of: str) -> Self:
        """Validate options from a mapping (strings from the command line included); all faults are raised in one UserError.

        of: the part that the options belong to, for the message.
        """
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            faults = "; ".join(cls._fault(fault) for fault in error.errors())
            place = next((fault["loc"][:-1] for fault in error.errors() if fault["type"] == "extra_forbidden"), ())
            within = f" of {'.'.join(map(str, place))}" if place else ""
            raise UserError(f"options of {of}: {faults}", f"known options{within}: {', '.join(cls._known(place))}") from None

    @classmethod
    def _fault(cls, fault: Any) -> str:
        place = [str(part) for part in fault["loc"]]
        name = ".".join(place)
        if fault["type"] != "extra_forbidden":
            shown = "" if cls._hides(place) else f" (got {fault['input']!r})"
            return f"{name}: {fault['msg']}{shown}"
        return f"no option is called {name!r}{suggest_name(place[-1], cls._known(place[:-1]))}"

    @classmethod
    def _known(cls, place: Sequence[Any]) -> list[str]:
        """List the options in a table of options, given by its path; the path () is that of this class's own."""
        if not place:
            return list(cls.model_fields)
        field = cls.model_fields.get(str(place[0]))
        table = None if field is None else field.annotation
        return table._known(place[1:]) if isinstance(table, type) and issubclass(table, OptionsBase) else []

    @classmethod
    def _hides(cls, place: Sequence[Any]) -> bool:
        """Tell whether a value may hold a secret (a field with repr=False), or is a whole table that has such a field."""
        field = cls.model_fields.get(str(place[0])) if place else None
        if field is None:
            return any(not each.repr for each in cls.model_fields.values())
        table = field.annotation
        return not field.repr or (isinstance(table, type) and issubclass(table, OptionsBase) and table._hides(place[1:]))


class Registry(Generic[T]):
    """A registry of named parts of one kind.

    `built_in` maps a name to the module whose import registers it; `group` is the entry-point group through which other packages
    register theirs.
    """

    def __init__(self, kind: str, *, group: str, built_in: Mapping[str, str]) -> None:
        self.kind = kind
        self._group = group
        self._modules = dict(built_in)
        self._known: dict[str, T] = {}

    def register(self, name: str, *, options: type[OptionsBase] | None = None) -> Callable[[T], T]:
        """Return a decorator that registers a class or function; `options` becomes its `Options`."""

        def keep(thing: T) -> T:
            if options is not None:
                thing.Options = options  # type: ignore[attr-defined]
            self._known[name] = thing
            return thing

        return keep

    def names(self) -> list[str]:
        """Return all names that `get` would find, sorted; nothing is imported."""
        outside = {point.name for point in entry_points(group=self._group)}
        return sorted({*self._modules, *self._known, *outside})

    def get(self, name: str) -> T:
        """Return the part with this name; raises UserError with the nearest known name when there is none."""
        if name not in self._known:
            self._load(name)
        return self._known[name]

    def _load(self, name: str) -> None:
        if name in self._modules:
            import_module(self._modules[name])
            return
        for point in entry_points(group=self._group, name=name):
            self._known[name] = point.load()
            return
        raise UserError(f"no {self.kind} is called {name!r}{suggest_name(name, self.names())}", f"known: {', '.join(self.names())}")


def suggest_name(name: str, known: Any) -> str:
    """Return `, did you mean 'x'?` for the nearest of `known`, or an empty text."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
