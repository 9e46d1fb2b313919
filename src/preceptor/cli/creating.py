"""The command that makes a project: init."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import emitting

if TYPE_CHECKING:
    from preceptor.project.templating import Laid


@click.command("init")
@click.argument("folder", metavar="DIR")
@click.option("--template", metavar="NAME", help="Begin with what a field needs: support, finance, health, legal or sentiment.")
@click.option("--part", metavar="NAME", default="", help="Which part of the template: what people look at (default: its first).")
@click.option("--bound", "bounds", metavar="BOUND", multiple=True, help="What a model must reach: 'accuracy.low >= 0.8'. May be repeated.")
@emitting
def init_command(folder: str, template: str | None, part: str, bounds: tuple[str, ...]) -> Any:
    """Make a new project in DIR, empty or with questions, guidelines, gold, a policy, suites and bounds of a field."""
    from preceptor.evaluation import Bound
    from preceptor.project import Project, templating

    if template is not None:
        if bounds:
            raise click.UsageError("--bound is for a project without a template, which brings its bounds: change them in preceptor.toml.")
        laid = templating.create(folder, template, part)
        return laid.to_dict(), _words(laid)
    if part:
        raise click.UsageError("--part needs --template: a project without a template has no parts.")
    for bound in bounds:
        Bound.parse(bound)  # before a folder is made
    project = Project.create(folder, gate={"bounds": bounds})
    project.close()
    made = f"made {project.folder}; next: preceptor question add FILE, preceptor import FILE"
    unbounded = "; before a model is released, say under [gate] in preceptor.toml what is good enough"
    return {"project": str(project.folder), "bounds": list(bounds)}, made if bounds else made + unbounded


def _words(laid: Laid) -> str:
    """What lies where, and what to do next."""
    said = laid.template.part(laid.part)
    gold = ", ".join(f"{count} for {question}" for question, count in laid.gold.items())
    lines = [
        f"made {laid.folder}: {laid.template.title}, {said['about']}",
        "",
        f"  questions   {', '.join(laid.questions)} (questions/*.toml; their instructions are the guidelines)",
        f"  gold        {gold} (items of our own with answers and why)",
        "  policy      policy.toml, with answers that break it in policy-examples.jsonl",
        f"  suites      {', '.join(sorted(path.removeprefix('suites/').removesuffix('.toml') for path in laid.files if _is_suite(path)))}",
        f"  gate        {'; '.join(laid.bounds)}",
        "  README.md   what to change before anybody is asked; prices are yours to set: [cost] in preceptor.toml",
        "",
        f"next, in {laid.folder.name}, with {said['rows']}:",
        *(f"  {command}" for command in laid.next),
    ]
    others = [f"  --part {name}: {part['about']}" for name, part in laid.template.parts.items() if name != laid.part]
    return "\n".join([*lines, *(["", "also, as a project of its own:", *others] if others else [])])


def _is_suite(path: str) -> bool:
    return path.startswith("suites/") and path.endswith(".toml")
