"""``axiom completion``: what a shell needs to complete commands, options and values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Example:
      axiom completion bash > ~/.local/share/bash-completion/completions/axiom
    """
    from .main import axiom

    kind = get_completion_class(shell)
    assert kind is not None, "click knows bash, zsh and fish"
    click.echo(kind(axiom, {}, "axiom", "_AXIOM_COMPLETE").source())
