"""The versions that everybody installs: of each dependency one, and nothing that ties them to a machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
OF_THE_MACHINE = re.compile(r"torch$|triton|nvidia-|cuda-")


def test_each_dependency_has_a_version_that_its_range_allows():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    every = [*about["dependencies"], *(each for extra in about["optional-dependencies"].values() for each in extra)]
    needed = [each for each in map(Requirement, every) if each.name not in ("preceptor", "torch")]
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    assert len(needed) > 30
    assert [str(each) for each in needed if not each.specifier.contains(pins.get(canonicalize_name(each.name), "0"))] == []


def test_nothing_in_it_is_of_one_machine():
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)] == []
    assert [name for name in PINS if OF_THE_MACHINE.match(name)] == []
