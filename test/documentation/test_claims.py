"""What pages and docstrings say is what the code says: numbers, prices, messages, names, files."""

from __future__ import annotations

import ast
import inspect
import re
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.metadata import version

import pytest

import dify_cdk
from dify_cdk import monitoring
from dify_cdk.cdk_helpers import service_role as _service_role
from dify_cdk.data import database
from dify_cdk.data.database import ENGINE_VERSION
from dify_cdk.dify import environment
from dify_cdk.dify.connections import DEFAULT_POOLS
from dify_cdk.dify.limits import EDGE_READ_TIMEOUT_SECONDS, FRONTEND_LIMITS
from dify_cdk.frontends import alb, cloudfront_lambda, http_api
from dify_cdk.frontends.parts import ip_authorizer as _authorizer
from dify_cdk.frontends.parts import load_balancer as _alb
from dify_cdk.frontends.parts import uploads as _uploads
from dify_cdk.frontends.parts import viewer_function
from dify_cdk.frontends.parts.access_logs import _LOG_DAYS
from dify_cdk.network.endpoints import ENDPOINT_SERVICES
from dify_cdk.options import alarms, sizes
from dify_cdk.options import function_size as functions
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.quotas import QUOTAS
from dify_defaults import read_table
from documentation.pages import ENGLISH, JAPANESE, PAGES, ROOT, name_of, read
from documentation.shell import Command, commands

HTTP_API = FRONTEND_LIMITS["DifyHttpApiFrontend"]
ALB = FRONTEND_LIMITS["DifyAlbFrontend"]
DEFAULT = dify_cdk.DifyRelease()
ROOM = _authorizer._ENVIRONMENT_BYTES - _authorizer._RESERVED_BYTES
PRICES = load_prices()
# What is measured is measured with these; whoever takes newer ones measures again, see CONTRIBUTING.md.
CELERY, KOMBU = version("celery"), version("kombu")
DIFY_READ = read_table().versions["dify"].split()[0]


def usd(key: str, units: float = 1) -> str:
    price = PRICES.find(key, "us-east-1")
    assert price is not None and price.value is not None, key
    amount = Decimal(str(price.value)) * Decimal(units)
    return f"{amount.quantize(Decimal('0.01'), ROUND_HALF_UP)} USD".replace(".00 ", " ")


UPLOADS, WEB_ACL = "src/dify_cdk/frontends/parts/uploads.py", "src/dify_cdk/options/web_acl.py"
SIZES = "src/dify_cdk/options/sizes.py"
# Page or module, and what it has to say as long as the code says the same.
CLAIMS = [
    ("README.md", f"answers end after {HTTP_API.request_timeout_seconds} seconds and do not stream"),
    ("README.md", "an idle timeout of more than two minutes"),
    ("docs/v1.md", f"idle timeout of a load balancer is 1 to {ALB.request_timeout_seconds:,} seconds"),
    ("docs/v1.md", "here it is 600 unless"),
    ("docs/v1.md", f"holds {_alb._RULES_PER_GROUP} rules"),
    ("docs/v1.md", f"{_alb._RULES_PER_GROUP} networks over HTTP, {_alb._RULES_PER_GROUP // 2} with a domain"),
    ("docs/v2.md", f"ends a request after {HTTP_API.request_timeout_seconds} seconds"),
    ("docs/v2.md", f"takes bodies of {HTTP_API.max_body_mb:g} MB"),
    ("docs/v2.md", f"list holds {ROOM:,} characters"),
    ("docs/v2.md", "cached for five minutes by address"),
    ("docs/v2.md", f"need {2 * sizes._PROXY_CPU_UNITS} CPU units"),
    ("docs/v3.md", f"CloudFront waits {EDGE_READ_TIMEOUT_SECONDS} seconds"),
    ("docs/v3.md", f"up to {functions._MAX_SECONDS} seconds"),
    ("docs/v3.md", f"takes {viewer_function.MAX_CODE_BYTES // 1024} KB"),
    ("docs/v3.md", f"| {cloudfront_lambda._LARGEST_BODY_MB[_uploads.Uploads.HTTP_API]} MB, 30 seconds"),
    ("docs/v4.md", f"CloudFront waits {EDGE_READ_TIMEOUT_SECONDS} seconds"),
    ("docs/switching.md", f"whose objects expire after {_LOG_DAYS} days"),
    ("docs/moving-in.md", f"this library defines {ENGINE_VERSION}"),
    ("docs/moving-in.md", f"--engine-version {ENGINE_VERSION}"),
    ("docs/moving-in.md", f"below `{environment.STORAGE_PREFIXES[0]}/` here"),
    ("docs/operations.md", f"last {database._BACKUP_DAYS} days"),
    ("docs/operations.md", f'version="{DEFAULT.version}", sandbox="{DEFAULT.sandbox}"'),
    ("docs/operations.md", f'plugin_daemon="{DEFAULT.plugin_daemon}"'),
    ("docs/troubleshooting.md", f"after {HTTP_API.request_timeout_seconds} seconds | the HTTP API's limit"),
    ("docs/troubleshooting.md", f"504 after {EDGE_READ_TIMEOUT_SECONDS} seconds"),
    ("docs/troubleshooting.md", f"CloudFront breaks it off after {EDGE_READ_TIMEOUT_SECONDS} idle seconds"),
    ("docs/troubleshooting.md", f"ends with the {HTTP_API.request_timeout_seconds} seconds of the HTTP API"),
    ("docs/operations.md", f"A worker runs {DEFAULT_POOLS.jobs} jobs at once"),
    ("docs/operations.md", f"gunicorn {version('gunicorn')}, gevent {version('gevent')} and Celery {CELERY}"),
    ("docs/operations.md", f"the versions of Dify {DIFY_READ}, Debian"),
    ("src/dify_cdk/workers/component_service.py", f"Measured with celery {CELERY}, kombu {KOMBU}"),
    ("src/dify_cdk/handlers/queue_metrics/queue_metrics.py", f"measured with celery {CELERY}, kombu {KOMBU}"),
    (SIZES, f"Default: {sizes.DEFAULT_WAITING_JOBS}, a quarter of the {DEFAULT_POOLS.jobs} jobs"),
    (UPLOADS, f"list prices of us-east-1 in {PRICES.as_of:%B %Y}"),
    (UPLOADS, f"Costs {usd('api_gateway.http_requests')} for a million requests"),
    (UPLOADS, f"Costs {usd('alb.hour', PRICES.hours)} a month for the load balancer"),
    (UPLOADS, f"and {usd('alb.lcu_hour', PRICES.hours)} a month for each capacity unit"),
    (WEB_ACL, f"{usd('waf.web_acl_month')} a month for a web ACL, {usd('waf.rule_month')} for each"),
    (WEB_ACL, f"and {usd('waf.requests')} for a million requests"),
]


@pytest.mark.parametrize(("page", "text"), CLAIMS, ids=[f"{page}: {text}" for page, text in CLAIMS])
def test_number_is_that_of_the_code(page: str, text: str) -> None:
    words = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert " ".join(text.split()) in words


def test_defaults_that_the_pages_write_in_words() -> None:
    migrate = (ROOT / "src" / "dify_cdk" / "docker" / "migration" / "migrate.sh").read_text(encoding="utf-8")
    assert f"DIFY_CDK_MIGRATION_ONE_OFF_SECONDS:-{5 * 60}" in migrate
    assert http_api._DEFAULT_CACHE_SECONDS == 5 * 60
    assert EDGE_READ_TIMEOUT_SECONDS == 2 * 60
    assert alb._DEFAULT_TIMEOUT_SECONDS == 600


def test_alarms_look_back_as_far_as_they_say() -> None:
    said = re.findall(r"(\d+) minutes", alarms.AlarmThresholds.__doc__ or "")
    periods = (monitoring._TWO_PERIODS, monitoring._THREE_PERIODS)
    assert {int(minutes) for minutes in said} == {each * alarms.PERIOD_MINUTES for each in periods}


def test_a_migration_waits_for_vcpu_as_long_as_is_said() -> None:
    path = "src/dify_cdk/handlers/deploy/migration.py"
    assert f"_QUOTA_SECONDS = {15 * 60}\n" in (ROOT / path).read_text(encoding="utf-8")
    for said in ("docs/operations.md", path):
        assert "a quarter of an hour" in " ".join((ROOT / said).read_text(encoding="utf-8").split())


def test_jobs_wait_as_long_as_scaling_says() -> None:
    """A quarter of the places, and of the time of a job; a quarter of eight minutes is CloudFront's limit."""
    share = sizes.DEFAULT_WAITING_JOBS / DEFAULT_POOLS.jobs
    assert share == 1 / 4
    assert share * 8 * 60 == EDGE_READ_TIMEOUT_SECONDS


def test_the_page_names_every_command_that_a_release_wants_once() -> None:
    script = (ROOT / "src" / "dify_cdk" / "docker" / "migration" / "migrate.sh").read_text(encoding="utf-8")
    table = script.partition("one_offs=(")[2].partition("\n)")[0]
    wanted = [f"flask {row.split('|')[0]}" for row in re.findall(r"'(.*)'", table)]
    page = read(ROOT / "docs" / "operations.md")
    assert len(wanted) == 2
    assert wanted == [text for text in page.inline_code if text in wanted]


def test_the_page_names_every_role_that_is_made_sure_of() -> None:
    found = {each.arguments[each.arguments.index("--aws-service-name") + 1] for each in _role_commands()}
    assert found == {service.principal for service in (_service_role.ECS, _service_role.RDS)}


def test_who_brings_a_cluster_is_told_how_to_make_its_role() -> None:
    (told,) = re.findall(r"`(aws iam create-service-linked-role [^`]+)`", dify_cdk.DifyWorkers.__doc__ or "")
    assert told.split()[-1] == _service_role.ECS.principal
    assert told.split() in [[each.program, *each.arguments] for each in _role_commands()]
    text = _plain((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    assert "cluster of your own for cluster=" in text


def _role_commands() -> list[Command]:
    blocks = read(ROOT / "docs" / "operations.md").blocks
    found = [command for block in blocks if block.language == "sh" for command in commands(block.code)]
    return [command for command in found if "create-service-linked-role" in command.arguments]


def test_the_page_asks_for_the_quota_that_the_table_names() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    quota = QUOTAS["on_demand"]
    assert page.count(f"--service-code {quota.service} --quota-code {quota.code}") == 2


def test_the_page_names_every_endpoint_of_a_closed_network() -> None:
    text = read(ROOT / "docs" / "operations.md").inline_code
    assert set(ENDPOINT_SERVICES) <= set(text)


# --- messages -------------------------------------------------------------------------------------------


_FILLED_IN = re.compile(r"\$\w+|\$\{[^}]*\}")  # in a shell script


@cache
def _texts() -> tuple[str, ...]:
    """Every text of the sources, implicit concatenation joined; ``…`` stands for what is filled in."""
    found = [
        _FILLED_IN.sub("…", path.read_text(encoding="utf-8"))
        for path in (ROOT / "src" / "dify_cdk").rglob("*.sh")
    ]
    for path in (ROOT / "src" / "dify_cdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def is_message(line: str) -> bool:
    """Whether some text of the sources reads like the line, which may end before it or begin after it."""
    pattern = re.compile(".*?".join(re.escape(part) for part in line.split("…")))
    return any(pattern.search(text) for text in _texts())


def _messages() -> list[str]:
    page = read(ROOT / "docs" / "troubleshooting.md")
    return [line for block in page.blocks if block.language == "text" for line in block.code.splitlines()]


@pytest.mark.parametrize("line", _messages())
def test_quoted_message_is_one_of_ours(line: str) -> None:
    assert is_message(line)


def test_a_message_that_nobody_raises_is_not_found() -> None:
    assert not is_message("the moon is full, deploy again tomorrow")
    assert not is_message("… has no frontend: buy one")


# --- what was said and is not so ------------------------------------------------------------------------

_KEY = r"SECRET_KEY\b[^.]*?\b"
# What is never to be found in a paragraph, and one in which it stood.
UNTRUE = [
    # Credentials of models and tools are encrypted for the workspace, whose private key is in the bucket.
    (
        _KEY + r"encrypts (?:the |stored )?(?:credentials|keys)",
        "the secret with `SECRET_KEY`, which encrypts the credentials of models and tools in the database",
    ),
    (_KEY + r"must never change", "Dify: SECRET_KEY, encrypts stored credentials, must never change"),
    (
        _KEY + r"(?:cannot be read|unreadable)",
        "| `SECRET_KEY` | an existing secret, as it is: without it stored keys of models cannot be read |",
    ),
    (r"\bstored keys\b[^.]* lost", "leave `secret_key` as it is: without the first, stored keys are lost"),
    (r"key without which both are", "database, bucket, and the key without which both are unreadable"),
    # A browser takes a new session by its refresh token, which is in the cache and has no signature.
    (
        _KEY + r"(?:every session ends|logs? everybody out|sign in again)",
        "| SECRET_KEY | never | with another key every session ends and every link to a file is void |",
    ),
    # The plugin daemon asks the database every minute.
    (
        r"scheduler[^.|]{0,60}\b(?:lets it sleep|keeps (?:the database|it) awake)",
        "`DatabaseCapacity(min_acu=0)` and `scheduler=None`: a running scheduler keeps the database awake",
    ),
    (
        r"\b(?:only pauses with|idle database can pause|first request after a pause waits)",
        "schedules, triggers and clean-ups; the first request after a pause waits 15 seconds or more",
    ),
    (r"\bbeat asks the database", "beat asks the database every minute, so that it never pauses"),
    # api's health check reads nothing.
    (r"scheduler and health checks", "the scheduler and health checks do so about once in 3 s"),
    # What does not use the database that is migrated waits for nothing.
    (r"release before any service", "brings the old schema to this release before any service starts"),
    # One token opens all of the cache.
    (
        r"Plugins have[^.]* bucket, its database, and the models",
        "Plugins have all of them: its prefixes of the bucket, its database, and the models that are allowed",
    ),
    (r"a failover takes seconds", "with one or more a failover takes seconds"),
    # AWS keeps up with some minutes of delay.
    (r"any second of the last 7 days,", "can be restored to any second of the last 7 days, and files stay"),
]


def _said() -> list[tuple[str, str]]:
    """Every page as it reads, API.md with the docstrings, examples, and every text of the sources."""
    files = [*PAGES, ROOT / "API.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").glob("*.py"))]
    pages = [(name_of(path), path.read_text(encoding="utf-8")) for path in files]
    return [*pages, ("sources", "\n\n".join(_texts()))]


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())


@pytest.mark.parametrize(("pattern", "sentence"), UNTRUE, ids=[sentence for _, sentence in UNTRUE])
@pytest.mark.parametrize(("where", "text"), SAID := _said(), ids=[where for where, _ in SAID])
def test_what_is_not_so_is_not_said_again(where: str, text: str, pattern: str, sentence: str) -> None:
    wrong = re.compile(pattern)
    assert wrong.search(_plain(sentence)), "it would not have been found"
    assert [part for part in map(_plain, re.split(r"\n\n|\n\|", text)) if wrong.search(part)] == []


# --- names ----------------------------------------------------------------------------------------------


@cache
def _arguments() -> frozenset[str]:
    """Names of the arguments of the public classes and their class methods."""
    found: set[str] = set()
    for name in dify_cdk.__all__:
        thing = getattr(dify_cdk, name)
        # Not the class: jsii's metaclass hides the signature.
        members = [
            thing.__init__,
            *(getattr(thing, each) for each in vars(thing) if not each.startswith("_")),
        ]
        for member in filter(inspect.isroutine, members):
            found |= inspect.signature(member).parameters.keys()
    return frozenset(found)


def _of_pages(pattern: str) -> list[tuple[str, str]]:
    return sorted(
        {
            (name_of(path), match[1])
            for path in PAGES
            for text in read(path).inline_code
            for match in re.finditer(pattern, text)
        }
    )


@pytest.mark.parametrize(("page", "name"), _of_pages(r"(?<![\w-])([a-z_]+)=(?!\w+ )"))
def test_argument_exists(page: str, name: str) -> None:
    assert name in _arguments()


@pytest.mark.parametrize(("page", "name"), _of_pages(r"(?<![.\w])([A-Z][a-z]+(?:[A-Z][a-z]+)*)\("))
def test_class_is_public(page: str, name: str) -> None:
    assert name in dify_cdk.__all__


@pytest.mark.parametrize(("page", "name"), _of_pages(r"\b([A-Z]\w+\.[A-Za-z_]+)\b"))
def test_attribute_exists(page: str, name: str) -> None:
    owner, attribute = name.split(".")
    if owner in dify_cdk.__all__:
        assert hasattr(getattr(dify_cdk, owner), attribute)


@pytest.mark.parametrize(("page", "name"), _of_pages(r"\b(Dify(?:Alb|Database|Release|Workers|Cache)\w+)$"))
def test_name_of_a_class_or_a_warning_exists(page: str, name: str) -> None:
    assert name in dify_cdk.__all__ or name in _texts()


OWN_PATHS = r"^((?:src|test|tools|examples|docs|\.ci)/[\w./-]+|\w+\.(?:py|json|toml)|dev\.py|\.projenrc\.py)$"


@pytest.mark.parametrize(("page", "name"), _of_pages(OWN_PATHS))
def test_file_exists(page: str, name: str) -> None:
    folder = (ROOT / page).parent
    inside = [ROOT / "src" / "dify_cdk", ROOT / "test" / "pure", folder, ROOT]
    assert any((place / name).exists() for place in inside) or "NAME" in name or "vN" in name


def test_both_readmes_have_the_app_in_ten_lines() -> None:
    for path in (ENGLISH, JAPANESE):
        code = next(block.code for block in read(path).blocks if "cdk.App(" in block.code)
        statements = [line for line in code.splitlines() if line and "import" not in line]
        assert len(statements) <= 10


@pytest.mark.parametrize(("page", "name"), _of_pages(r"^(test/[\w/]+\.py::\w+)$"))
def test_test_exists(page: str, name: str) -> None:
    file, function = name.split("::")
    assert re.search(rf"^ *def {function}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_guarantee_of_the_security_page_names_its_test() -> None:
    rows = [line for line in read(ROOT / "docs" / "security.md").prose.splitlines() if line.startswith("|")]
    guarantees = [row for row in rows if not row.startswith(("|---", "| tries "))]
    assert len(guarantees) >= 40
    assert [row for row in guarantees if "::test_" not in row] == []
