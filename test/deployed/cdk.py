"""The real CDK command line against the emulator, with failures that say why."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import dify_cdk
from deployed.emulator import ACCOUNT, REGION, Emulator
from deployed.tools import PROGRAMS, ROOT
from dify_cdk.cdk_helpers.assets import examples_dir

STACK = "Dify"
_APP = Path(__file__).parent / "app.py"
_DOCKER = Path(__file__).parent / "docker.py"
_OPTIONS = ("--ci", "--no-notices", "--no-version-reporting", "--no-color")
_DEPLOY = ("--require-approval", "never", "--progress", "events")
_SECONDS = 240
_SHOWN_EVENTS = 15
_SHOWN_FIELDS = ("ResourceStatus", "LogicalResourceId", "ResourceStatusReason")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a command did.

    Attributes:
        code: Exit code.
        output: Everything it printed.
        seconds: How long it took.
        since: When it began, for the events of its own.
    """

    code: int
    output: str
    seconds: float
    since: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cdk:
    """The command line in a folder with the examples' feature flags.

    Attributes:
        emulator: What stands for AWS.
        variant: Name of the example that is deployed.
        timings: Seconds of each command so far.
    """

    emulator: Emulator
    variant: str
    timings: list[str] = field(default_factory=list)

    def bootstrap(self, regions: Iterable[str]) -> Outcome:
        """Prepare regions of the account."""
        environments = [f"aws://{ACCOUNT}/{region}" for region in regions]
        # Not where the app is, which would be synthesized only to find the same environments.
        return self._run("bootstrap", *environments, folder=self.emulator.folder)

    def deploy(self, **changes: str) -> Outcome:
        """Synthesize and deploy the stack, with those that it needs.

        Args:
            changes: What differs from the example, see ``app.py``.
        """
        context = [part for name, value in changes.items() for part in ("-c", f"{name}={value}")]
        return self._run("deploy", STACK, *_DEPLOY, *context, folder=self._app_folder())

    def deploy_assembly(self, folder: Path) -> Outcome:
        """Deploy the stack, with those that it needs, as they have been synthesized.

        Args:
            folder: The cloud assembly.
        """
        return self._run("deploy", STACK, *_DEPLOY, "--app", str(folder), folder=self.emulator.folder)

    def destroy(self) -> Outcome:
        """Delete every stack of the app."""
        return self._run("destroy", "--all", "--force", folder=self._app_folder())

    def status(self) -> str:
        """Status of the stack, the last one it had if it is gone."""
        (stack,) = self.emulator.client("cloudformation").describe_stacks(StackName=self._stack_id())[
            "Stacks"
        ]
        return str(stack["StackStatus"])

    def events(self, since: float = 0) -> list[dict[str, Any]]:
        """Events of the stack, oldest first."""
        pages = self.emulator.client("cloudformation").get_paginator("describe_stack_events")
        found = [
            event
            for page in pages.paginate(StackName=self._stack_id())
            for event in page["StackEvents"]
            if event["Timestamp"].timestamp() >= since
        ]
        return found[::-1]

    def physical_ids(self) -> dict[str, str]:
        """Logical id to physical id of what the stack holds."""
        pages = self.emulator.client("cloudformation").get_paginator("list_stack_resources")
        return {
            row["LogicalResourceId"]: row["PhysicalResourceId"]
            for page in pages.paginate(StackName=STACK)
            for row in page["StackResourceSummaries"]
        }

    def outputs(self) -> dict[str, str]:
        """What the stack tells its owner."""
        stacks = self.emulator.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return {row["OutputKey"]: row["OutputValue"] for row in stacks[0]["Outputs"]}

    def template(self) -> dict[str, Any]:
        """The deployed template."""
        body: Any = self.emulator.client("cloudformation").get_template(StackName=STACK)["TemplateBody"]
        loaded: dict[str, Any] = json.loads(body) if isinstance(body, str) else dict(body)
        return loaded

    def explain(self, outcome: Outcome) -> str:
        """Why a command may have failed: the last events with their reasons, its output, the server's log."""
        try:
            rows = [
                " ".join(event.get(key, "") for key in _SHOWN_FIELDS) for event in self.events(outcome.since)
            ]
        except Exception as error:  # there may be no stack yet
            rows = [str(error)]
        failed = [row for row in rows if "FAILED" in row or "ROLLBACK" in row]
        return "\n".join(
            [
                f"exit code {outcome.code} after {outcome.seconds:.0f} s",
                "---- events that failed",
                *failed[:_SHOWN_EVENTS],
                "---- last events",
                *rows[-_SHOWN_EVENTS:],
                "---- output",
                outcome.output[-4000:],
                "---- what IAM refused",
                *(json.dumps(entry) for entry in self.emulator.journal("refusal")[-_SHOWN_EVENTS:]),
                "---- server log",
                self.emulator.log_tail(),
            ]
        )

    def must(self, outcome: Outcome, *, code: int = 0) -> Outcome:
        """The outcome, if it is the expected one."""
        if outcome.code != code:
            pytest.fail(f"expected exit code {code}\n{self.explain(outcome)}")
        return outcome

    def _stack_id(self) -> str:
        """Known to the events of a deleted stack too, which its name is not."""
        ids = {
            row["StackId"]
            for row in self.emulator.client("cloudformation").list_stacks()["StackSummaries"]
            if row["StackName"] == STACK
        }
        (found,) = ids
        return str(found)

    def _run(self, *arguments: str, folder: Path) -> Outcome:
        start, since = time.monotonic(), time.time()
        try:
            done = subprocess.run(
                [str(PROGRAMS / "cdk"), *arguments, *_OPTIONS],
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            code, output = -1, f"{_text(late.stdout)}\nstill running after {_SECONDS} seconds"
        seconds = time.monotonic() - start
        self.timings.append(f"{arguments[0]} {seconds:.0f} s")
        return Outcome(code=code, output=output, seconds=seconds, since=since)

    def _app_folder(self) -> Path:
        folder = self.emulator.folder / "app"
        if not folder.exists():
            folder.mkdir()
            settings = json.loads((examples_dir() / "cdk.json").read_text(encoding="utf-8"))
            settings["app"] = f"{sys.executable} {_APP} {self.variant}"
            settings["context"]["region"] = REGION
            (folder / "cdk.json").write_text(json.dumps(settings), encoding="utf-8")
        return folder

    def _docker(self) -> Path:
        """A program, which is what the command line takes in Docker's place."""
        program = self.emulator.folder / "docker"
        if not program.exists():
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_DOCKER}" "$@"\n', encoding="utf-8")
            program.chmod(0o755)
        return program

    def _environment(self) -> dict[str, str]:
        return {
            **self.emulator.environment,
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DOCKER": str(self._docker()),
            "CDK_VALIDATION": "false",  # has tests of its own
            "DIFY_TEST_IMAGES": str(self.emulator.images),
            "JSII_RUNTIME_PACKAGE_CACHE": "enabled",
            "PYTHONPATH": str(Path(dify_cdk.__file__).parents[1]),  # the package that the tests see
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(ROOT / "build" / "jsii-cache"),  # 200 MB, once
        }


def _text(output: object) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else str(output or "")
