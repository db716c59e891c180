"""`harness completion SHELL`: what a shell needs to complete commands, options and files."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell, to be evaluated where it starts.

    bash: `eval "$(harness completion bash)"` in ~/.bashrc; zsh: the same with zsh in ~/.zshrc;
    fish: `harness completion fish | source` in its config.fish.
    """
    from click.shell_completion import get_completion_class

    from harness.cli.main import command as root

    made = get_completion_class(shell)
    assert made is not None, "click knows all three"
    click.echo(made(root, {}, "harness", "_HARNESS_COMPLETE").source())
