"""`windsock completion`: what makes a shell complete commands and options."""

from __future__ import annotations

import click

from windsock.cli.base import accept_config, examples


@click.command(short_help="Let your shell complete commands.", epilog=examples(
    "completion bash > ~/.local/share/bash-completion/completions/windsock",
    'completion zsh > "${fpath[1]}/_windsock"',
    "completion fish > ~/.config/fish/completions/windsock.fish",
))  # fmt: skip
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@accept_config
def completion(shell: str) -> None:
    """Print a script that lets a shell complete what begins with windsock."""
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # nosec B101 - the choices are those that click knows
    click.echo(kind(root.command, {}, "windsock", "_WINDSOCK_COMPLETE").source())
