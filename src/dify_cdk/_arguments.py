"""Arguments of public classes: each is what its annotation says, or is refused by name.

The annotations are the only description: :func:`checked` reads them when a class is first used, so that a new
argument is checked by being written down. Checks of values, such as a range, stay where the values are known.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

T = TypeVar("T", bound=type)
Convert = Callable[[str, Any], Any]
"""From the name of an argument and its value to the value that is used; raises if it is none."""

_MODULES = {
    **{
        alias: f"aws_cdk.aws_{name}"
        for alias, name in {
            "acm": "certificatemanager",
            "cloudfront": "cloudfront",
            "cognito": "cognito",
            "backup": "backup",
            "ec2": "ec2",
            "ecr": "ecr",
            "ecs": "ecs",
            "elbv2": "elasticloadbalancingv2",
            "iam": "iam",
            "lambda_": "lambda",
            "route53": "route53",
            "secretsmanager": "secretsmanager",
            "sns": "sns",
        }.items()
    },
    "cdk": "aws_cdk",
}
"""What annotations call modules that a file may import for type checkers only."""

_MADE_BY = {
    "ContainerImage": "ecs.ContainerImage.from_registry(name)",
    "IBackupVault": "backup.BackupVault.from_backup_vault_arn(scope, id, arn)",
    "ICertificate": "acm.Certificate.from_certificate_arn(scope, id, arn)",
    "ICluster": "ecs.Cluster.from_cluster_attributes(scope, id, ...)",
    "IHostedZone": "route53.HostedZone.from_lookup(scope, id, domain_name=...)",
    "IPublicHostedZone": "route53.PublicHostedZone.from_public_hosted_zone_attributes(scope, id, ...)",
    "IRepository": "ecr.Repository.from_repository_name(scope, id, name)",
    "ISecret": "secretsmanager.Secret.from_secret_name_v2(scope, id, name)",
    "ITopic": "sns.Topic.from_topic_arn(scope, id, arn)",
    "IUserPool": "cognito.UserPool.from_user_pool_id(scope, id, user_pool_id)",
    "IUserPoolDomain": "cognito.UserPoolDomain.from_domain_name(scope, id, name)",
    "IVpc": "ec2.Vpc.from_lookup(scope, id, vpc_id=...)",
}
"""How a resource that exists already is referred to, where somebody wrote its name or ARN."""

_SECRETS = ("ISecret", "Secret")  # types in whose place somebody may have written a secret value
_LONGEST = 60


def checked(cls: T) -> T:
    """Check the arguments of a class's constructor and of its public methods against their annotations.

    Text that is the value of an enum's member becomes that member, a sequence becomes a tuple (a set a sorted
    one), and a mapping a dict. Everything else has to be of the annotated type already; for an interface of
    the CDK, its class has to have the interface's members.

    The call raises ``TypeError`` for a value of another type, and ``ValueError`` for text that is no value of
    an enum's members.
    """
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, (classmethod, staticmethod)):
            setattr(cls, name, type(member)(_guarded(cls.__name__, member.__func__)))
        elif inspect.isfunction(member):
            setattr(cls, name, _guarded(cls.__name__, member))
    return cls


def _guarded(owner: str, function: Callable[..., Any]) -> Callable[..., Any]:
    where = owner if function.__name__ == "__init__" else f"{owner}.{function.__name__}"

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        signature = _signature(function)
        try:
            bound = signature.bind_partial(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python says best which argument there is not
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            if parameter.annotation is parameter.empty or value is parameter.default:
                continue
            convert = _converter_of(function, name)
            label = f"{where}.{name}" if where == owner else f"{where}({name}=)"
            match parameter.kind:
                case parameter.VAR_POSITIONAL:
                    bound.arguments[name] = tuple(convert(label, item) for item in value)
                case _:
                    bound.arguments[name] = convert(label, value)
        return function(*bound.args, **bound.kwargs)

    return call


@cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


@cache
def _converter_of(function: Callable[..., Any], name: str) -> Convert:
    return converter(annotation_of(function, name))


def annotation_of(function: Callable[..., Any], name: str) -> Any:
    """The type of an argument, which the file may import for type checkers only."""
    annotation = _signature(function).parameters[name].annotation
    module = sys.modules[function.__module__].__dict__
    return eval(annotation, {}, _Names(module)) if isinstance(annotation, str) else annotation


class _Names(dict[str, object]):
    """The names of a module, with those that it imports for type checkers only."""

    def __missing__(self, name: str) -> object:
        if name in _MODULES:
            return import_module(_MODULES[name])
        if name == "Construct":
            return import_module("constructs").Construct
        raise KeyError(name)


@cache
def converter(kind: Any) -> Convert:
    """What makes the value to use of what was given, for a type as annotations write it."""
    origin, arguments = get_origin(kind), tuple(map(_forward, get_args(kind)))
    if origin in (Union, UnionType):
        return _Choice(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _Entries(*arguments)
    if origin is not None and issubclass(origin, Collection):
        return _Items(arguments[0])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _Member(kind)
    return _Instance(kind)


def _forward(argument: Any) -> Any:
    """What a text within an annotation stands for, as aliases have it."""
    return eval(argument, {}, _Names()) if isinstance(argument, str) else argument


@dataclass(frozen=True)
class _Choice:
    """One of several types."""

    kinds: tuple[Any, ...]

    def __call__(self, name: str, value: Any) -> Any:
        if value is None and NoneType in self.kinds:
            return None
        kinds = [kind for kind in self.kinds if kind is not NoneType]
        errors = []
        for kind in kinds:
            try:
                return converter(kind)(name, value)
            except (TypeError, ValueError) as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        raise TypeError(
            f"{name} must be {_either(map(_named, kinds))}, got {_shown(value)}{_advice(kinds, value)}"
        )


@dataclass(frozen=True)
class _Items:
    """A list of something, in whatever holds it: one that can be read only once is read here."""

    kind: Any

    def __call__(self, name: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, (str, bytes)):
            raise TypeError(f"{name} must be a list, got the text {_shown(value)}: write [{_shown(value)}]")
        if isinstance(value, Mapping) or not isinstance(value, Iterable):
            raise TypeError(
                f"{name} must be a list of {_named(self.kind)}, got {_shown(value)}{_advice([], value)}"
            )
        convert = converter(self.kind)
        items = tuple(convert(f"{name}[{number}]", item) for number, item in enumerate(value))
        return tuple(sorted(items)) if isinstance(value, Set) else items


@dataclass(frozen=True)
class _Entries:
    """A mapping."""

    key: Any
    entry: Any

    def __call__(self, name: str, value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} must be a mapping such as {{...: ...}}, got {_shown(value)}")
        key, entry = converter(self.key), converter(self.entry)
        return {
            key(f"a key of {name}", one): entry(f"{name}[{_shown(one)}]", other)
            for one, other in value.items()
        }


@dataclass(frozen=True)
class _Member:
    """A member of an enum, or the text that is its value: what a key of the context or a file holds."""

    kind: type[Enum]

    def __call__(self, name: str, value: Any) -> Any:
        if isinstance(value, self.kind):
            return value
        if isinstance(value, str) and value in [member.value for member in self.kind]:
            return self.kind(value)
        members = _either(f"{self.kind.__name__}.{member.name}" for member in self.kind)
        error = ValueError if isinstance(value, str) else TypeError
        raise error(f"{name} must be {members}, got {_shown(value)}")


@dataclass(frozen=True)
class _Instance:
    """An object of a class, or of one that has the members of an interface."""

    kind: Any

    def __call__(self, name: str, value: Any) -> Any:
        if _is_one(self.kind, value):
            return value
        raise TypeError(
            f"{name} must be {_named(self.kind)}, got {_shown(value, self.kind)}{_advice([self.kind], value)}"
        )


def _is_one(kind: Any, value: object) -> bool:
    if kind in (Any, object) or not isinstance(kind, type):
        return True
    if kind in (int, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)  # a whole number: see _checks
    if kind is Path:
        return isinstance(value, Path)
    if getattr(kind, "_is_protocol", False):
        return any(_members(kind) <= set(dir(one)) for one in _classes_of(value))
    return isinstance(value, kind)


def _classes_of(value: object) -> tuple[type, ...]:
    """Its class; those of an object that the CDK knows by interfaces only."""
    if type(value).__name__ == "InterfaceDynamicProxy":
        return tuple(map(type, vars(value)["_delegates"]))
    return (type(value),)


@cache
def _members(interface: type) -> frozenset[str]:
    return frozenset(name for name in dir(interface) if not name.startswith("_"))


# --- words ----------------------------------------------------------------------------------------------


def _named(kind: Any) -> str:
    if kind is NoneType:
        return "None"
    if kind in (int, float):
        return "a number"
    if get_origin(kind) is not None:
        return "a mapping" if issubclass(get_origin(kind), Mapping) else "a list"
    words = {str: "text", bool: "True or False"}
    if kind in words:
        return words[kind]
    name = getattr(kind, "__name__", str(kind)).removeprefix("_").removesuffix("Proxy")
    module = getattr(kind, "__module__", "")
    short = {path: alias for alias, path in _MODULES.items()}.get(module)
    full = f"{short}.{name}" if short else name
    return f"{'an' if full[0] in 'AEIOUaeiou' else 'a'} {full}"


def _either(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _shown(value: object, kind: Any = None) -> str:
    """A value as it was written; an object by its class, and no text where a secret belongs."""
    if isinstance(value, str) and getattr(kind, "__name__", "") in _SECRETS:
        return "text"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if value is None or isinstance(value, (str, int, float, bytes, list, tuple, set, dict)):
        text = repr(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return _named(_classes_of(value)[-1])


def _advice(kinds: Sequence[Any], value: object) -> str:
    """What to write instead, as far as that can be told; begins with a colon."""
    text = next((text for kind in kinds for text in _instead(kind, value)), "")
    return f": write {text}" if text else ""


def _instead(kind: Any, value: object) -> Iterator[str]:
    name = getattr(kind, "__name__", "")
    if isinstance(value, type):
        yield from [f"{value.__name__}(...)"] if _is_class(kind, value) else []
    elif is_dataclass(kind):
        yield _dataclass(kind, value)
    elif isinstance(value, str):
        yield from _instead_of_text(kind, name, value)
    elif _is_one(float, value):
        yield from [repr(str(value))] if kind is str else []
        yield from [f"cdk.Duration.seconds({value})"] if name == "Duration" else []
    elif name == "Secret" and any(hasattr(one, "secret_arn") for one in _classes_of(value)):
        yield "ecs.Secret.from_secrets_manager(...) with it"
    yield from _parts(kind, value)


def _instead_of_text(kind: Any, name: str, text: str) -> Iterator[str]:
    if kind is bool and text.lower() in ("true", "false"):
        yield "value == 'true', since what a key of the context holds is text"
    if kind in (int, float) and text.replace(".", "", 1).isdecimal():
        yield text
    if kind is Path:
        yield f"Path({text!r})"
    if name in _MADE_BY:
        yield _MADE_BY[name]


def _is_class(kind: Any, value: type) -> bool:
    return isinstance(kind, type) and not getattr(kind, "_is_protocol", False) and issubclass(value, kind)


def _dataclass(kind: Any, value: object) -> str:
    """The value object with the value in its first field that takes it."""
    for field in fields(kind):
        try:
            _converter_of(kind.__init__, field.name)(field.name, value)
        except (TypeError, ValueError):
            continue
        return f"{kind.__name__}({field.name}={_shown(value)})"
    needed = [field.name for field in fields(kind) if field.default is field.default_factory is MISSING]
    return f"{kind.__name__}({', '.join(f'{name}=...' for name in needed)})"


def _parts(kind: Any, value: object) -> Iterator[str]:
    """The properties of an object that are of the type, such as the VPC of a network."""
    wanted = (getattr(kind, "__name__", ""), getattr(kind, "__name__", "").removeprefix("I"))
    for name, member in vars(type(value)).items():
        if isinstance(member, property) and member.fget is not None and not name.startswith("_"):
            annotation = str(getattr(member.fget, "__annotations__", {}).get("return", ""))
            if annotation.rpartition(".")[2] in wanted:
                yield f".{name} of it"
