"""The command `etcdsim`. Results go to stdout, everything else to stderr; a mistake of the user is one line and exit code 2.

Commands import what they need when they run, so that `--help` and mistakes answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from sim.cli.calibrate import calibrate
from sim.cli.compare import compare
from sim.cli.conform import conform
from sim.cli.diagnose import diagnose
from sim.cli.frontier import frontier
from sim.cli.gate import gate
from sim.cli.growth import growth
from sim.cli.interrupt import Interrupted, end_children, terminated_like_interrupted
from sim.cli.metrics import metrics
from sim.cli.probe_disk import probe_disk
from sim.cli.rare import rare
from sim.cli.recommend import recommend
from sim.cli.results import results
from sim.cli.run import run
from sim.cli.scenarios import check, scenarios, schema, show
from sim.cli.sensitivity import sensitivity
from sim.cli.sweep import sweep
from sim.cli.systems import systems
from sim.cli.validate import validate
from sim.errors import InputError

MISTAKE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
"""As a shell reports a program that ends by SIGINT or SIGPIPE."""


_COMMANDS = [
    run, systems, sweep, results, gate, rare, compare, diagnose, scenarios, show, check, schema, metrics, probe_disk, calibrate,
    validate, conform, frontier, recommend, sensitivity, growth,
]  # fmt: skip


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"etcdsim {version('etcdsim')}")
        except PackageNotFoundError:
            click.echo("etcdsim, not installed")
        context.exit()


@click.group(
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="The version.")
@click.pass_context
def etcdsim(context: click.Context) -> None:
    """Predict what Kubernetes controllers do to etcd: keys, bytes, WAL, apply latency, time to quota."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (a difference, a failed point or objective), 2, 3 (undecided), 130, 141."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with terminated_like_interrupted(), etcdsim.make_context("etcdsim", given) as context:
            etcdsim.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        return _refuse(error.format_message())
    except InputError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, click.Abort) as error:
        end_children()
        kept = str(error) if isinstance(error, Interrupted) else "interrupted"
        click.echo(f"etcdsim: {kept}", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on; what is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        # A full disk, a file that may not be read: the user's surroundings, not a fault of ours.
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _refuse(message: str) -> int:
    click.echo(f"etcdsim: {' '.join(message.split())}", err=True)
    return MISTAKE
