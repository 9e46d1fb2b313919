"""`preceptor serve`: start the web server of a project."""

from __future__ import annotations

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

    from preceptor.web.server import base_url, run_server

    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _prepare_project(folder, base_url(host, port))
    click.echo(json.dumps({"address": address}) if as_json else f"{address} (stop with Ctrl+C)", err=not as_json)
    run_server(folder, host=host, port=port, workers=workers)


def _prepare_project(folder: str, address: str) -> None:
    """Print where links lead; check that an upstream server generates from the right models, and raise UserError where it doesn't."""
    from preceptor.project import Project

    project = Project.open(folder)
    try:
        before = project.address
        if project.config.annotators.address:
            if before != address and before.startswith("http://127.0.0.1"):
                click.echo(f"links lead to {before}: set [annotators] address in preceptor.toml, then invite again", err=True)
        elif before != address:
            click.echo(f"links lead here now; those that were handed out before lead to {before}: invite again", err=True)
        if project.config.serving.upstream:
            for found in project.evaluation.check_upstream_parity():
                click.echo(f"{found['upstream']} is {found['model']}: {found['difference']:.2g} nats a token apart", err=True)
    finally:
        project.close()
