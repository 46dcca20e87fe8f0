"""``pocketbert convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketbert.command.streams import results
from pocketbert.notices import printable


def convert_command(
    source: Annotated[Path, typer.Argument(metavar="BERT_FOLDER", help="Folder of a BERT encoder.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made if absent.")],
) -> None:
    """Turn a BERT encoder into the DistilBERT checkpoint that computes the same, tokenizer files included."""
    from pocketbert.checkpoint.convert import convert_bert_to_distilbert

    typer.echo(printable(f"wrote {convert_bert_to_distilbert(source, target)}"), file=results())
