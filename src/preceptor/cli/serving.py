"""Commands that let people in: serve, and the links to hand out."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("serve")
@click.option("--project", "folder", default=".", metavar="DIR", help="The project's folder (default: the current one).")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="The port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
@click.option("--json", "as_json", is_flag=True, help="The address as one JSON document on stdout, then serve.")
def serve_command(folder: str, host: str, port: int, workers: int, as_json: bool) -> None:
    """Serve the pages, their API, and OpenAI's interface under /v1, until interrupted."""
    import json

    from preceptor.project import Config
    from preceptor.serving.training import carry_out_forever
    from preceptor.web.running import serve

    _prove(folder)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    click.echo(json.dumps({"address": address}) if as_json else f"{address} (stop with Ctrl+C)", err=not as_json)
    if (links := Config.load(Path(folder)).people.address.rstrip("/")) != address and links.startswith("http://127.0.0.1"):
        click.echo(f"links that were handed out lead to {links}: set [people] address in preceptor.toml, then invite again", err=True)
    serve(folder, host=host, port=port, workers=workers, factory="preceptor.cli.application:worker", beside=(carry_out_forever,))


def _prove(folder: str) -> None:
    """Before a server that draws in this one's place: that it draws from the right models; UserError where it doesn't."""
    from preceptor.project import Config, Project
    from preceptor.project.live.upstream import prove_upstream

    if not Config.load(Path(folder)).serving.upstream:
        return
    project = Project.open(folder)
    try:
        for found in prove_upstream(project):
            click.echo(f"{found['upstream']} is {found['model']}: {found['difference']:.2g} nats a token apart", err=True)
    finally:
        project.close()
