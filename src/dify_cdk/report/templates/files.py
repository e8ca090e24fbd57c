"""Read synthesized templates from files and from ``cdk.out`` folders of any CDK app."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.templates.template import mapping

_MANIFEST = "manifest.json"
_STACK = "aws:cloudformation:stack"
_UNKNOWN_REGION = "unknown-region"

_SUFFIXES = (".template.json", ".json", ".template")
_YAML_SUFFIXES = (".yaml", ".yml")


class TemplateFileError(ValueError):
    """A template cannot be read; the message is one line for the user."""


def read_templates(path: Path) -> dict[Path, Mapping[str, object]]:
    """The template in a file, or every template of a cloud assembly with its nested ones.

    Raises:
        TemplateFileError: If there is nothing to read, or it is not a CloudFormation template in JSON.
    """
    if not path.is_dir():
        return {path: _read(path)}
    # Stages are assemblies of their own inside the folder; other folders in it hold assets.
    patterns = ("*.template.json", "assembly-*/**/*.template.json")
    files = sorted(file for pattern in patterns for file in path.glob(pattern))
    if not files:
        raise TemplateFileError(f"no *.template.json in folder {path}; is it the output of cdk synth?")
    return {file: _read(file) for file in files}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A subject that was read, and the files it was read from.

    Attributes:
        subject: The template, or all templates of the folder.
        files: The file of each part.
    """

    subject: Subject
    files: tuple[Path, ...]


def read_source(path: Path) -> Source:
    """A file, or a ``cdk.out`` folder with all its stacks, as one subject.

    Stacks have the names and regions of the assembly's manifest. The stack with the most resources comes
    first, as the main one: a manifest does not say which one that is.

    Raises:
        TemplateFileError: If there is nothing to read, or it is not a CloudFormation template in JSON.
    """
    templates = read_templates(path)
    stacks = dict(_stacks(path)) if path.is_dir() else {}
    order = sorted(templates, key=lambda file: -len(mapping(templates[file].get("Resources"))))
    parts = []
    for file in order:
        name, region = stacks.get(file, (short_name(file), None))
        parts.append(Part(name=name, template=templates[file], region=region))
    name = parts[0].name if len(parts) == 1 else path.name or str(path)
    return Source(subject=Subject(name=name, parts=tuple(parts)), files=tuple(order))


def _stacks(folder: Path) -> Iterator[tuple[Path, tuple[str, str | None]]]:
    """Template file to name and region of its stack, from the manifests of an assembly and of its stages."""
    for manifest in (folder / _MANIFEST, *sorted(folder.glob(f"assembly-*/**/{_MANIFEST}"))):
        try:
            document = json.loads(manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # the templates are there all the same
        for id, body in mapping(mapping(document).get("artifacts")).items():
            artifact = mapping(body)
            properties = mapping(artifact.get("properties"))
            file = properties.get("templateFile")
            if artifact.get("type") == _STACK and isinstance(file, str):
                name = properties.get("stackName")
                yield manifest.parent / file, (name if isinstance(name, str) else id, _region(artifact))


def _region(artifact: Mapping[str, object]) -> str | None:
    """The region of ``aws://account/region``, unless the stack leaves it open."""
    environment = artifact.get("environment")
    region = environment.rpartition("/")[2] if isinstance(environment, str) else ""
    return None if region in ("", _UNKNOWN_REGION) else region


def short_name(path: Path) -> str:
    """The file's name without what every template's name ends with: the stack's name in a ``cdk.out``."""
    suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), "")
    return path.name.removesuffix(suffix) or path.name


def _read(path: Path) -> Mapping[str, object]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
        document = json.loads(text)
    except FileNotFoundError as error:
        raise TemplateFileError(f"no such file: {path}") from error
    except OSError as error:
        raise TemplateFileError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TemplateFileError(f"{path} is not a text file in UTF-8") from error
    except json.JSONDecodeError as error:
        raise TemplateFileError(_not_json(path, text, error)) from error
    except RecursionError as error:
        raise TemplateFileError(f"{path} is not a template: it is nested too deeply") from error
    except ValueError as error:  # a number beyond what Python reads
        raise TemplateFileError(f"{path} is not a template: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateFileError(f"{path} is not a CloudFormation template: it has no Resources")
    return cast("Mapping[str, object]", document)


def _not_json(path: Path, text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return f"{path} is empty"
    yaml = path.suffix in _YAML_SUFFIXES or "\nResources:" in f"\n{text}"
    if yaml:
        return f"{path} is YAML; give the JSON that cdk synth writes to cdk.out/*.template.json"
    return f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
