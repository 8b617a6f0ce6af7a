"""`windsock spec`: the document, as the server serves it, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import click

from windsock.cli.base import accept_config, examples


@click.group()
def spec() -> None:
    """The OpenAPI document of the API."""


@spec.command(epilog=examples(
    "spec export > v1.yaml", "spec export --format postman --output windsock.postman_collection.json",
))  # fmt: skip
@click.option("--format", "form", type=click.Choice(["yaml", "json", "postman"]), default="yaml", show_default=True,
              help="YAML, JSON, or a collection of Postman.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False, writable=True), metavar="FILE",
              help="Where to write it. Default: to standard output.")  # fmt: skip
@click.option("--server", metavar="URL", default="http://localhost:8080/api/v1", show_default=True,
              help="The address of the API that importers shall send requests to.")  # fmt: skip
@accept_config
def export(form: str, output: Path | None, server: str) -> None:
    """Write the document as importers and code generators take it."""
    from windsock import postman, published

    document = published.document(server.rstrip("/"))
    if form == "yaml":
        text = published.as_yaml(document)
    else:
        found = document if form == "json" else postman.collection(document)
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
