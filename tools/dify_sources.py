"""What upstream's trees say about the variables of each component: defaults of code, image and Compose.

One function for each format. The trees are read as text; nothing of them is imported or run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from dify_cdk.dify.components import Component
from dify_defaults import canonical

ENV = "docker/.env.example"
COMPOSE = "docker/docker-compose.yaml"
SANDBOX_CONFIG = "docker/volumes/sandbox/conf/config.yaml"
SQUID = "docker/ssrf_proxy/squid.conf.template"

_BACKEND_SERVICES = {
    Component.API: "api",
    Component.API_WEBSOCKET: "api_websocket",
    Component.WORKER: "worker",
    Component.BEAT: "worker_beat",
    Component.MIGRATION: "api",  # Compose migrates in api
}
_DAEMON_IMAGE = "docker/local.dockerfile"
_GO = "internal/types/app"


@dataclass(frozen=True, slots=True)
class Found:
    """A default.

    Attributes:
        value: In canonical spelling; None where the file names the variable and says nothing, or empties it.
        file: Where it stands, as a path in the tree.
    """

    value: str | None
    file: str


Names = dict[str, Found]


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """All defaults of one component.

    Attributes:
        code: Of the program.
        image: Of the image's entry script and its Dockerfile.
        compose: Of an installation with Docker Compose.
    """

    code: Names = field(default_factory=dict)
    image: Names = field(default_factory=dict)
    compose: Names = field(default_factory=dict)

    def reads(self, variable: str) -> bool:
        """Whether the component names the variable, or Compose gives it to this service alone."""
        return (
            variable in self.code
            or variable in self.image
            or (variable in self.compose and self.compose[variable].file == COMPOSE)
        )

    def own(self, variable: str) -> str | None:
        """What the component holds without anybody else."""
        image = self.image.get(variable)
        if image is not None and image.value is not None:
            return image.value
        code = self.code.get(variable)
        return None if code is None else code.value

    def differs(self, variable: str) -> bool:
        """Whether Compose says something else. A shell's ``${X:-default}`` takes empty for unset."""
        compose = self.compose.get(variable)
        if compose is None or (compose.value or "false") == (self.own(variable) or "false"):
            return False
        image = self.image.get(variable)
        from_shell = image is not None and image.value is not None and image.file.endswith(".sh")
        return compose.value is not None or not from_shell


def read_trees(
    dify: Path, daemon: Path | None = None, sandbox: Path | None = None
) -> dict[Component, Defaults]:
    """The defaults of every component whose sources are given.

    Args:
        dify: A checkout of langgenius/dify.
        daemon: One of langgenius/dify-plugin-daemon.
        sandbox: One of langgenius/dify-sandbox.

    Raises:
        FileNotFoundError: If a file that has to be there is not.
    """
    compose = Compose.read(dify)
    code, image = api_code(dify), _image(dify, "api")
    found = {
        component: Defaults(code=code, image=image, compose=compose.of(service))
        for component, service in _BACKEND_SERVICES.items()
    }
    found[Component.WEB] = Defaults(code=web_code(dify), image=_image(dify, "web"), compose=compose.of("web"))
    found[Component.SSRF_PROXY] = Defaults(compose=squid_directives(_text(dify, SQUID), SQUID))
    if daemon is not None:
        found[Component.PLUGIN_DAEMON] = Defaults(
            code=daemon_code(daemon),
            image=dockerfile(_text(daemon, _DAEMON_IMAGE), _DAEMON_IMAGE),
            compose=compose.of("plugin_daemon"),
        )
    if sandbox is not None:
        overrides = _text(sandbox, _OVERRIDES)
        mounted = sandbox_config(overrides, _text(dify, SANDBOX_CONFIG), SANDBOX_CONFIG)
        own = sandbox_config(overrides, _text(sandbox, _CONFIG), _CONFIG)
        found[Component.SANDBOX] = Defaults(code=own, compose=mounted | compose.of("sandbox"))
    return found


def version_of(dify: Path) -> str:
    """The version of Dify in a tree.

    Raises:
        ValueError: If ``api/pyproject.toml`` names none.
    """
    found = re.search(r'^version = "([\d.]+)"', _text(dify, "api/pyproject.toml"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{dify / 'api/pyproject.toml'} names no version")
    return found[1]


def _text(tree: Path, file: str) -> str:
    return (tree / file).read_text(encoding="utf-8")


# --- api: settings classes ------------------------------------------------------------------------------


def api_code(tree: Path) -> Names:
    """Defaults of the settings classes below ``api/configs``, and of what other modules ask for."""
    found: Names = {}
    asked: Names = {}
    for path in sorted((tree / "api").rglob("*.py")):
        file = path.relative_to(tree).as_posix()
        if file.startswith("api/configs/"):
            found = settings(path.read_text(encoding="utf-8"), file) | found
        elif "tests" not in path.parts:
            asked = asked_for(path.read_text(encoding="utf-8"), file) | asked
    return asked | found


def asked_for(source: str, file: str) -> Names:
    """``getenv("NAME", "default")`` and ``environ.get``."""
    calls = re.findall(r'(?:getenv|environ\.get)\(\s*"([A-Z]\w*)"(?:,\s*"?([^",)]*)"?)?', source)
    return {name: Found(canonical(default), file) for name, default in calls}


def settings(source: str, file: str) -> Names:
    """Fields of settings classes: their names, or those they are read by, and their defaults."""
    found: Names = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            default, names = _field(node.value)
            for name in names or [node.target.id]:
                if name.isupper():
                    found.setdefault(name, Found(canonical(default), file))
    return found


def _field(node: ast.expr) -> tuple[object, list[str]]:
    """The default of a field, and the names it is read by if those are not its own."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "Field"):
        return _value(node), []
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    default = given.get("default", node.args[0] if node.args else None)
    alias = given.get("validation_alias", given.get("alias"))
    # Of several names the first is the field's; the others are those of fields of their own.
    names = [str(one.value) for one in ast.walk(alias) if isinstance(one, ast.Constant)] if alias else []
    return (None if default is None else _value(default)), names[:1]


def _value(node: ast.expr) -> object:
    """A literal, a product of whole numbers, the text in a call such as ``HttpUrl("…")``, else the source."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        pass
    else:
        return None if value is ... else value
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            one, other = _value(left), _value(right)
            if isinstance(one, int) and isinstance(other, int):
                return one * other
        case ast.Call(args=[*_, ast.Constant(value=value)], keywords=[]):
            return value
    return ast.unparse(node)


# --- images: entry scripts and Dockerfiles --------------------------------------------------------------


def _image(tree: Path, name: str) -> Names:
    script = f"{name}/docker/entrypoint.sh"
    return entry_script(_text(tree, script), script) | dockerfile(
        _text(tree, f"{name}/Dockerfile"), f"{name}/Dockerfile"
    )


def entry_script(text: str, file: str) -> Names:
    """Variables of a shell script, with the default of ``${NAME:-default}``; nothing for one that nests."""
    found: Names = {}
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for name, default in re.findall(r"\$\{(\w+)(?::-([^${}]*))?", code):
        if name.isupper() and (name not in found or found[name].value is None):
            found[name] = Found(canonical(default), file)
    return found


def dockerfile(text: str, file: str) -> Names:
    """``ENV`` of the last stage, with the defaults of its build arguments."""
    stage = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[-1]
    arguments = dict(re.findall(r"^ARG (\w+)=(.*)$", stage, re.MULTILINE))
    return {
        name: Found(canonical(_filled(value.strip('"'), arguments)), file)
        for name, value in re.findall(r"^ENV (\w+)[= ](.*)$", stage, re.MULTILINE)
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], match[0]), text)


# --- Docker Compose -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Compose:
    """What Docker Compose gives to each service.

    Attributes:
        services: The services of ``docker-compose.yaml``.
        env: ``docker/.env.example``, which every installation copies.
        templates: Those below ``docker/envs``, by path, which somebody may copy.
    """

    services: Mapping[str, Any]
    env: Names
    templates: Mapping[str, Names]

    @classmethod
    def read(cls, tree: Path) -> Compose:
        """The Compose files of a tree."""
        files = sorted((tree / "docker" / "envs").rglob("*.env.example"))
        names = [path.relative_to(tree).as_posix() for path in files]
        return cls(
            services=yaml.safe_load(_text(tree, COMPOSE))["services"],
            env=env_file(_text(tree, ENV), ENV),
            templates={name: env_file(_text(tree, name), name) for name in names},
        )

    def of(self, service: str) -> Names:
        """What a service gets; later files win over earlier ones, and its own environment over all."""
        one = self.services[service]
        found: Names = {}
        for entry in one.get("env_file", ()):
            path = entry["path"] if isinstance(entry, dict) else entry
            name = f"docker/{path.removeprefix('./')}.example"
            found |= self.env if name == ENV else self.templates.get(name, {})
        environment = one.get("environment") or {}
        return found | {name: self._resolved(value) for name, value in environment.items()}

    def _resolved(self, value: object) -> Found:
        """A value with its ``${NAME:-default}`` filled in; of .env.example if that has a say."""
        text, file = str(value), COMPOSE
        for match in re.finditer(r"\$\{(\w+)(?::?-((?:[^{}]|\{\w+\})*))?\}", text):
            given = self.env.get(match[1])
            if given is not None and given.value is not None:
                file = ENV
                text = text.replace(match[0], given.value)
            else:
                text = text.replace(match[0], _without_key(match[2] or ""))
        return Found(canonical(text), file)


def env_file(text: str, file: str) -> Names:
    """``NAME=value`` lines. Keys that upstream publishes are not repeated."""
    lines = re.findall(r"^([A-Z]\w*)=(.*)$", text, re.MULTILINE)
    return {name: Found(canonical(_without_key(value)), file) for name, value in lines}


def _without_key(value: str) -> str:
    """A value, unless it is a random key: those that upstream publishes are not published here as well."""
    is_key = re.fullmatch(r"(?=.*\d)[A-Za-z0-9+/=-]{32,}", value)
    return "a published key" if is_key else value


# --- web ------------------------------------------------------------------------------------------------


def web_code(tree: Path) -> Names:
    """Defaults of ``web/env.ts``, also under the names that the entry script makes those of."""
    file = "web/env.ts"
    found = web_settings(_text(tree, file), file)
    exports = re.findall(r"^export (\w+)=(.*)$", _text(tree, "web/docker/entrypoint.sh"), re.MULTILINE)
    for public, text in exports:
        for name in re.findall(r"\$\{(\w+)", text):
            if public in found:
                found.setdefault(name, found[public])
    return found


def web_settings(text: str, file: str) -> Names:
    """``NAME: schema`` lines with the default of the schema."""
    found: Names = {}
    for name, schema in re.findall(r"^\s+([A-Z_]+): ((?:z\.|coerced)[^\n]*),$", text, re.MULTILINE):
        default = re.search(r"\.default\((.*?)\)", schema)
        found[name] = Found(canonical(default[1].strip("'")) if default else None, file)
    return found


# --- plugin daemon --------------------------------------------------------------------------------------

_ENVCONFIG = re.compile(
    r'^\s+(?P<field>\w+)\s+(?P<type>\S+)\s+`envconfig:"(?P<name>\w+)"(?P<tags>[^`]*)`', re.MULTILINE
)
_NUMBER = re.compile(r"u?int\d*|float\d+|time\.Duration")


def daemon_code(tree: Path) -> Names:
    """Defaults of the configuration's tags, and of ``SetDefault`` where those leave zero."""
    config, later = f"{_GO}/config.go", f"{_GO}/default.go"
    found: Names = {}
    names = {}
    for match in _ENVCONFIG.finditer(_text(tree, config)):
        tag = re.search(r'default:"([^"]*)"', match["tags"])
        names[match["field"]] = match["name"]
        found[match["name"]] = Found(canonical(tag[1]) if tag else _zero(match["type"]), config)
    for name, expression in re.findall(r"setDefault\w+\(&config\.(\w+), (.+)\)", _text(tree, later)):
        if found[names[name]].value in (None, "0"):
            found[names[name]] = Found(canonical(_go(expression)), later)
    return found


def _zero(type: str) -> str | None:
    """What a field of a Go type holds when nobody says anything."""
    if type == "bool":
        return "false"
    return "0" if _NUMBER.fullmatch(type) else None


def _go(expression: str) -> object:
    """A product of numbers, a text, or the source."""
    if re.fullmatch(r"[\d* ]+", expression):
        return prod(map(int, expression.split("*")))
    return expression.strip('"')


# --- sandbox --------------------------------------------------------------------------------------------

_CONFIG = "conf/config.yaml"
_OVERRIDES = "internal/static/config.go"


def sandbox_config(overrides: str, config: str, file: str) -> Names:
    """Values of a configuration file, by the variables that override them.

    Args:
        overrides: Go source in which each ``os.Getenv`` is followed by the setting it goes to.
        config: The file.
        file: Its path.
    """
    values = yaml.safe_load(config)
    fallbacks = dict(re.findall(r'Configurations\.(\w+) = "([^"]+)"', overrides))
    return {
        name: Found(canonical(_setting(values, setting)) or canonical(fallbacks.get(setting)), file)
        for name, setting in _overridden(overrides)
    }


def _overridden(source: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r'os\.Getenv\("(\w+)"\)', source):
        setting = re.search(r"Configurations\.([\w.]+)(?:, _)? = ", source[match.end() :])
        if setting is not None:
            yield match[1], setting[1]


def _setting(values: Mapping[str, Any], path: str) -> object:
    """``App.Debug`` as ``app: debug:``."""
    value: Any = values
    for part in path.split("."):
        key = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", part).lower()
        value = value.get(key) if isinstance(value, dict) else None
    return value


# --- proxy ----------------------------------------------------------------------------------------------


def squid_directives(text: str, file: str) -> Names:
    """Directives of squid's configuration; lists, of which there are many with one name, are left out."""
    lines: Iterable[tuple[str, str]] = re.findall(r"^([a-z_]+)\s+([^#\n]+)", text, re.MULTILINE)
    lists = ("acl", "http_access", "refresh_pattern", "http_port", "include")
    return {name: Found(canonical(value), file) for name, value in lines if name not in lists}
