"""Every recipe is a run whose settings hold; a run's own file gives the run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pocketbert import ConfigError, InputError
from pocketbert.settings import runs
from pocketbert.settings.settings import read_settings, to_toml

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
KINDS = {cls.__name__.lower(): cls for cls in (runs.Finetune, runs.Distilbert, runs.Mobilebert, runs.Pretrain)}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_run(path, tmp_path):
    kind = path.read_text("utf-8").split('kind = "')[1].split('"')[0]
    settings = read_settings(KINDS[kind], path, out="there")
    settings.check()
    assert settings.out == "there"
    again = tmp_path / "run.toml"
    again.write_text(to_toml(settings), "utf-8")
    assert read_settings(KINDS[kind], again) == settings


def test_strings_survive(tmp_path):
    settings = replace(runs.Finetune(), out='a "b" \\ \n é \x7f', train="x")
    (tmp_path / "run.toml").write_text(to_toml(settings), "utf-8")
    assert read_settings(runs.Finetune, tmp_path / "run.toml") == settings


def test_what_is_no_recipe_is_refused(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('kind = "pretrain"\n')
    with pytest.raises(ConfigError, match="describes a pretrain, not a finetune"):
        read_settings(runs.Finetune, path)
    path.write_text("epochs = \n")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_settings(runs.Finetune, path)
    path.write_text("epoch = 3\n")
    with pytest.raises(InputError, match="no setting 'epoch'; did you mean 'epochs'"):
        read_settings(runs.Finetune, path)
