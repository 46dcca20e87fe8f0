"""``pocketbert finetune``, ``distil`` and ``pretrain``: their options come from the fields of a run's settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from pocketbert.command.streams import printing_results, results, say
from pocketbert.errors import InputError

__all__ = ["distil_app", "finetune_command", "own_options", "pretrain_command"]

own_options = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}  # see ``_call``
distil_app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
# what a shell makes of --corpus texts/*.txt: the first file is the option's value
_FILES = {"files": Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More files of the corpus.")]}


def finetune_command(context: typer.Context) -> None:
    """Fine-tune a checkpoint on labeled records."""
    from pocketbert.settings.runs import Finetune

    def command(task: str, **given: Any) -> None:
        """Fine-tune a checkpoint on labeled records; the best model goes into --out."""
        from pocketbert.training.finetune import session

        _train(Finetune, {"task": task, **given}, session)

    argument = Annotated[str, typer.Argument(help=_about(Finetune, "task"))]
    _call(_with_options(command, Finetune, {"task": argument}), context)


@distil_app.command("distilbert", context_settings=own_options)
def distilbert_command(context: typer.Context) -> None:
    """Make a DistilBERT of some of a teacher's layers, which learns from it on unlabeled text."""
    from pocketbert.settings.runs import Distilbert

    def command(files: list[str] | None, **given: Any) -> None:
        """Make a DistilBERT of some of a teacher's layers, which learns from it on unlabeled text."""
        from pocketbert.training.distilbert import session

        _train(Distilbert, _with_files(given, files), session)

    _call(_with_options(command, Distilbert, _FILES), context)


@distil_app.command("mobilebert", context_settings=own_options)
def mobilebert_command(context: typer.Context) -> None:
    """Make a MobileBERT that learns a teacher's layers and then its words on unlabeled text."""
    from pocketbert.settings.runs import Mobilebert

    def command(files: list[str] | None, **given: Any) -> None:
        """Make a MobileBERT that learns a teacher's layers and then its words on unlabeled text."""
        from pocketbert.training.mobilebert import session

        _train(Mobilebert, _with_files(given, files), session)

    _call(_with_options(command, Mobilebert, _FILES), context)


def pretrain_command(context: typer.Context) -> None:
    """Train a model to guess hidden words of unlabeled text."""
    from pocketbert.settings.runs import Pretrain

    def command(files: list[str] | None, **given: Any) -> None:
        """Train a model to guess hidden words of unlabeled text."""
        from pocketbert.training.pretrain import session

        _train(Pretrain, _with_files(given, files), session)

    _call(_with_options(command, Pretrain, _FILES), context)


def _with_files(given: dict[str, Any], files: list[str] | None) -> dict[str, Any]:
    """Return the settings with files that stand behind those of ``--corpus``."""
    corpus = (*(given["corpus"] or ()), *(files or ()))
    return given | {"corpus": corpus or None}


def _call(command: Callable[..., None], context: typer.Context) -> None:
    """Read the arguments with the options of a command that is made only now, since other commands need none of it."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(printing_results(command))
    typer.main.get_command(app).main(context.args, prog_name=context.command_path, standalone_mode=False)


def _with_options(command: Callable[..., None], settings: Any, arguments: Mapping[str, Any]) -> Callable[..., None]:
    """Give a function with ``**given`` one option per setting, as typer reads them; None is one that is not given."""
    from pocketbert.settings.settings import type_of

    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(
            name, positional, annotation=hint, default=None if name == "files" else inspect.Parameter.empty
        )
        for name, hint in arguments.items()
    ]
    for each in fields(settings):
        if each.name not in arguments:
            shown = each.default if each.default not in (None, "", ()) else None
            kind = type_of(settings, each.name)
            hint = list[str] if kind is list else kind
            parameters.append(_option(each.name, hint, each.metadata["about"], shown))
    parameters += [
        _option("recipe", Path, "settings from a TOML file, such as a run's run.toml; options override it"),
        _option("resume", bool, "go on from the latest checkpoint in --out", False, default=False),
        _option("dry_run", bool, "print sizes, steps and the first batch, and stop", False, default=False),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _option(name: str, kind: Any, about: str, shown: object = None, default: Any = None) -> inspect.Parameter:
    """Return a parameter as typer reads it."""
    option = typer.Option(help=about, show_default=False if shown is None else str(shown))
    hint: Any = Annotated[kind if default is not None else kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _about(settings: Any, name: str) -> str:
    return next(str(each.metadata["about"]) for each in fields(settings) if each.name == name)


def _train(settings: Any, given: dict[str, Any], session: Callable[..., Any]) -> None:
    """Make a run from what the command line gave, and print its scores."""
    from pocketbert.command.training_progress import TrainingProgress
    from pocketbert.settings.settings import read_settings
    from pocketbert.training.loop import Stopped
    from pocketbert.training.processes import is_main

    recipe, resume, dry = given.pop("recipe"), given.pop("resume"), given.pop("dry_run")
    values = {name: value for name, value in given.items() if value is not None}
    chosen = settings(**values) if recipe is None else read_settings(settings, recipe, **values)
    for name in settings.needed:
        if not getattr(chosen, name):
            raise InputError(f"--{name} is missing: {_about(settings, name)}")
    if dry:
        print(session(chosen).described(), file=results())
        return
    progress = TrainingProgress()
    try:
        done = session(chosen, [progress]).run(resume)
    except Stopped as stopped:
        if is_main():
            say(f"{stopped}: the same command with --resume")
        raise typer.Exit(128 + stopped.signal if stopped.signal else 0) from None
    finally:
        progress.close()
    if not is_main():
        return
    for name, value in done.scores.items():
        print(f"{name} {value:.4f}", file=results())
    say(f"wrote {done.folder}")
