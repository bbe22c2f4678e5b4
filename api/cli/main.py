"""``axiom``: the command line. This file knows the commands' names and how they end; each does its work elsewhere.

Nothing here or in what it imports may be slow: ``axiom --help`` is held to 0.3 s by a test.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from . import exits
from .lazy import LazyGroup

HERE: Final = "axiom.api.cli"
COMMANDS: Final = {
    "demo": (f"{HERE}.demo:demo", "Show it all: compile, run, stream, kill a worker and see the run finish."),
    "dev": (f"{HERE}.dev:dev", "Serve a package on this machine, and reload it when its files change."),
    "serve": (f"{HERE}.serve:serve", "Run the server: HTTP, webhooks, retention. Never runs user code."),
    "worker": (f"{HERE}.worker:worker", "Run a worker, which executes the nodes of packages."),
    "init": (f"{HERE}.init:init", "Make a new package, ready to run."),
    "create": (f"{HERE}.create:create", "Add a node or a message to a package."),
    "validate": (f"{HERE}.compiling:validate", "Check a package and its flows, and report every problem."),
    "compile": (f"{HERE}.compiling:compile_", "Compile flows to artifacts and print their graph ids."),
    "explain": (
        f"{HERE}.compiling:explain",
        "Tell what a flow does, node by node, or what an error code means.",
    ),
    "run": (f"{HERE}.run:run", "Start a flow, and wait for or stream its result."),
    "executions": (f"{HERE}.executions:executions", "List, inspect, follow and cancel executions."),
    "pauses": (f"{HERE}.pauses:pauses", "See and answer what waits for people."),
    "signals": (f"{HERE}.events:signals", "Send events to one execution."),
    "events": (f"{HERE}.events:events", "Send events to whichever execution waits for them."),
    "why": (f"{HERE}.executions:why", "Tell why an execution waits, and what will move it."),
    "migrate": (f"{HERE}.migrate:migrate", "Move runs that are under way to another artifact."),
    "diff": (f"{HERE}.diff:diff", "Compare two executions node by node."),
    "debug": (
        f"{HERE}.debug:debug",
        "Show where a run is stopped and with which inputs; step, continue, edit.",
    ),
    "flows": (f"{HERE}.registry:flows", "List the flows that can be started by name."),
    "aliases": (f"{HERE}.registry:aliases", "Show and move the names of artifacts."),
    "packages": (f"{HERE}.registry:packages", "List the packages that were published."),
    "schedules": (f"{HERE}.schedules:schedules", "List, make, pause and start schedules."),
    "keys": (f"{HERE}.keys:keys", "Create, list and revoke API keys."),
    "configs": (f"{HERE}.configs:configs", "Show and change what runs are configured with."),
    "secrets": (f"{HERE}.secrets:secrets", "Set, rotate, list and delete secrets, and rotate their key."),
    "limits": (f"{HERE}.limits:limits", "List the limits in use, who holds them and how many wait."),
    "workers": (f"{HERE}.workers:workers", "List the workers that are alive."),
    "verify": (f"{HERE}.checking:verify", "Check stored histories against what the engine promises."),
    "prune": (
        f"{HERE}.retention:prune",
        "Delete executions that ended longer ago than their flow keeps them.",
    ),
    "doctor": (f"{HERE}.checking:doctor", "Check this installation and the store's settings."),
    "bench": (f"{HERE}.bench:bench", "Measure the engine against the limits of this machine."),
    "completion": (f"{HERE}.completion:completion", "Print the completion script of a shell."),
}

HELP: Final = """Durable flows of typed nodes, which survive crashes.

\b
Start here:
  axiom demo                        see it work
  axiom init hello && axiom dev hello
"""


def version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the version; only then is the installation's metadata read."""
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version as installed

        click.echo(f"axiom {installed('axiom')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    help=HELP,
    epilog="Exit codes: 0 done, 1 the run failed, 2 usage, 3 not found, 4 server away, 5 cancelled, 6 paused, "
    "124 wait timed out.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--version", is_flag=True, callback=version, expose_value=False, is_eager=True, help="Show the version."
)
def axiom() -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(outcome(arguments))


def outcome(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; errors become one line on stderr."""
    try:
        result: Any = axiom.main(args=arguments, prog_name="axiom", standalone_mode=False)
        return result if isinstance(result, int) else exits.DONE
    except exits.Stop as error:
        return complain(str(error), error.exit_code, error.hint)
    except click.UsageError as error:
        context = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return complain(error.format_message() + context, exits.USAGE)
    except click.ClickException as error:
        return complain(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away: nothing is left to say
        return 141
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        return complain(*known)


def complain(message: str, code: int, hint: str = "") -> int:
    click.echo(f"{click.style('error:', fg='red')} {' '.join(message.split())}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    return code


def explained(error: Exception) -> tuple[str, int, str] | None:
    """Return message, exit code and hint for an error that has a known cause; ``None`` for a defect of ours."""
    code = getattr(error, "code", "")
    if code in ("unknown_setting", "invalid_setting"):
        return str(error), exits.USAGE, ""
    if code in ("store_unavailable", "store_unclear"):
        return str(error), exits.AWAY, "axiom doctor tells more"
    if code in ("store_unusable", "store_full"):
        return str(error), exits.FAILED, "axiom doctor tells more"
    if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)):
        return f"{error.filename or error}: {error.strerror or 'not found'}", exits.USAGE, ""
    return None


if __name__ == "__main__":
    main()
