"""The NAT instance's user data, run by a real bash with programs whose behaviour is written down per test."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dify_cdk.cdk_helpers.assets import nat_script

# Of a program each call takes the next answer, (exit code, output); the last one is repeated.
# Nothing is imported that takes longer than all the rest: each test starts dozens of them.
PROGRAM = """\
#!{python} -S
import sys

folder, name = {folder!r}, sys.argv[0].rpartition("/")[2]
with open(folder + "/calls", "a") as calls:
    calls.write(" ".join([name, *sys.argv[1:]]) + "\\n")
with open(folder + "/answers") as file:
    answers = eval(file.read())
code, text = answers[name][0]
if len(answers[name]) > 1:
    del answers[name][0]
    with open(folder + "/answers", "w") as file:
        file.write(repr(answers))
print(text)
sys.exit(code)
"""

Answer = tuple[int, str]

GOOD: Answer = (0, "")
DEFAULTS: dict[str, Sequence[Answer]] = {
    "dd": [GOOD],
    "dnf": [(0, "Complete!")],
    "ip": [(0, "default via 10.0.0.1 dev ens5 proto dhcp src 10.0.0.9 metric 512")],
    "iptables": [(1, "iptables: Bad rule (does a matching rule exist in that chain?)."), GOOD],
    "iptables-save": [(0, "# the rules")],
    "mkswap": [GOOD],
    "rpm": [(1, "package iptables-services is not installed")],
    "sleep": [GOOD],
    "swapon": [(255, "swapon: cannot open /swapfile: No such file or directory"), GOOD],
    "sysctl": [(0, "net.ipv4.ip_forward = 1")],
    "systemctl": [GOOD],
}
NO_NETWORK: Answer = (
    1,
    "Amazon Linux 2023 repository  0.0 B/s\nError: Failed to download metadata for repo 'x'",
)
KILLED: Answer = (137, "Amazon Linux 2023 repository  41 MB/s")
CONSOLE = Path("dev", "console")
FOLDERS = ("dev", "etc/sysctl.d", "etc/sysconfig", "var/lib/cloud/data")
AT_EVERY_START = Path("var", "lib", "cloud", "scripts", "per-boot", "dify-nat")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the script ended."""

    code: int
    console: list[str]
    calls: list[str]

    def of(self, program: str) -> list[str]:
        return [call for call in self.calls if call.split()[0] == program]


class Instance:
    """A machine with nothing in it but a shell, coreutils and the written-down programs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._programs = folder / "programs"
        self._programs.mkdir()
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/cloud/data/instance-id").write_text("i-0123456789abcdef0\n")
        self.script = folder / "part-001"
        self.script.write_text("#!/bin/bash\n" + nat_script().read_text(encoding="utf-8"))
        for name in DEFAULTS:
            path = self._programs / name
            path.write_text(PROGRAM.format(python=sys.executable, folder=str(self._programs)))
            path.chmod(0o755)

    def replace(self, name: str, commands: str) -> None:
        """A program that does something, in the place of a written-down one or of a real one."""
        path = self._programs / name
        path.write_text(f"#!/bin/bash\n{commands}\n")
        path.chmod(0o755)

    def start(self, script: Path | None = None, **answers: Sequence[Answer]) -> Outcome:
        """Run the script, as cloud-init does.

        Args:
            script: The file. Default: the user data.
            answers: Programs that behave in another way, an underscore for a hyphen.
        """
        named = {name.replace("_", "-"): value for name, value in answers.items()}
        next_ones = {name: [*value] for name, value in {**DEFAULTS, **named}.items()}
        (self._programs / "answers").write_text(repr(next_ones))
        for record in (self._programs / "calls", self.root / CONSOLE):
            record.write_text("")
        done = subprocess.run(
            ["/bin/bash", str(script or self.script)],
            env={
                "PATH": f"{self._programs}:{os.defpath}",
                "DIFY_NAT_ROOT": str(self.root),
                "DIFY_NAT_TRIES": "3",
                "LC_ALL": "C",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == "", "the shell itself complained"
        console = (self.root / CONSOLE).read_text().splitlines()
        assert set(console) <= set(done.stdout.splitlines()), "cloud-init's own log has it too"
        calls = (self._programs / "calls").read_text().splitlines()
        return Outcome(code=done.returncode, console=console, calls=calls)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def test_the_script_is_well_formed(instance: Instance) -> None:
    checked = subprocess.run(
        ["/bin/bash", "-n", instance.script], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_packets_of_the_vpc_are_let_through(instance: Instance) -> None:
    outcome = instance.start()
    assert (outcome.code, outcome.console[-1]) == (0, "dify-nat: ready")
    assert outcome.of("iptables") == [
        "iptables -t nat -C POSTROUTING -o ens5 -j MASQUERADE",
        "iptables -t nat -A POSTROUTING -o ens5 -j MASQUERADE",
        "iptables -F FORWARD",
    ]
    assert outcome.of("systemctl") == ["systemctl enable --now iptables"]
    forwarding = instance.root / "etc/sysctl.d/90-nat.conf"
    assert forwarding.read_text() == "net.ipv4.ip_forward=1\n"
    assert outcome.of("sysctl") == [f"sysctl -p {forwarding}"]
    assert (instance.root / "etc/sysconfig/iptables").read_text() == "# the rules\n"


def test_there_is_swap_before_dnf_which_a_nano_cannot_run_without(instance: Instance) -> None:
    outcome = instance.start()
    assert outcome.of("dnf") == ["dnf install -y iptables-services"]
    order = [call.split()[0] for call in outcome.calls]
    assert order[order.index("dd") :][:4] == ["dd", "mkswap", "swapon", "rpm"]
    assert order.index("rpm") < order.index("dnf")
    (written,) = outcome.of("dd")
    assert "bs=1M count=1024" in written


def test_a_failing_dnf_is_tried_again(instance: Instance) -> None:
    outcome = instance.start(dnf=[NO_NETWORK, KILLED, (0, "Complete!")])
    assert (outcome.code, outcome.console[-1]) == (0, "dify-nat: ready")
    assert outcome.console[1:3] == [
        "dify-nat: dnf ended with exit code 1, try 1 of 3: Error: Failed to download metadata for repo 'x'",
        "dify-nat: dnf ended with exit code 137, try 2 of 3: Amazon Linux 2023 repository  41 MB/s",
    ]
    assert outcome.of("sleep") == ["sleep 10", "sleep 10"]


def test_fails_when_dnf_fails_for_ever_and_says_what_to_do(instance: Instance) -> None:
    outcome = instance.start(dnf=[NO_NETWORK])
    assert outcome.code == 1
    assert len(outcome.of("dnf")) == 3
    assert outcome.console[-2:] == [
        "dify-nat: failed: dnf could not install iptables-services in 3 tries",
        "dify-nat: until this works nothing in the VPC reaches the internet; see that the instance has its "
        "Elastic IP and its subnet a route to the internet gateway, then try again with a reboot: aws ec2 "
        "reboot-instances --instance-ids i-0123456789abcdef0",
    ]
    assert outcome.of("iptables") == outcome.of("systemctl") == []


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ({"systemctl": [(1, "Failed to enable unit")]}, "systemctl could not start iptables"),
        ({"sysctl": [(255, "cannot stat")]}, "the kernel forwards no packets"),
        ({"ip": [GOOD]}, "iptables translates no addresses"),
        ({"iptables": [(3, "can't initialize")]}, "iptables translates no addresses"),
        ({"iptables_save": [(1, "")]}, "iptables translates no addresses"),
    ],
)
def test_fails_when_a_step_fails(instance: Instance, answers: dict[str, Any], what: str) -> None:
    outcome = instance.start(**answers)
    assert outcome.code == 1
    assert outcome.console[-2] == f"dify-nat: failed: {what}"
    assert "aws ec2 reboot-instances --instance-ids i-0123456789abcdef0" in outcome.console[-1]


@pytest.mark.parametrize("program", ["dd", "mkswap", "swapon"])
def test_a_disk_without_room_for_swap_stops_nothing(instance: Instance, program: str) -> None:
    full: dict[str, Any] = {program: [(1, "No space left on device")]}
    outcome = instance.start(**full)
    assert (outcome.code, outcome.console[-1]) == (0, "dify-nat: ready")
    assert "dify-nat: no swap file, going on without: dnf may be killed" in outcome.console


WRITES = 'echo memory > "${2#of=}"'  # dd, to the file that is its second argument


def test_nobody_else_may_read_what_is_swapped_out(instance: Instance) -> None:
    instance.replace("dd", WRITES)
    assert instance.start().code == 0
    assert stat.S_IMODE((instance.root / "swapfile").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_swap_takes_no_room(instance: Instance) -> None:
    instance.replace("dd", WRITES)
    assert instance.start(mkswap=[(1, "mkswap: error")]).code == 0
    assert not (instance.root / "swapfile").exists()


def test_a_dnf_that_hangs_is_ended_and_tried_again(instance: Instance) -> None:
    """After five minutes, which pass faster here."""
    instance.replace("dnf", "exec /bin/sleep 60")
    instance.replace("timeout", '[[ $1 == 300 ]] && exec /usr/bin/timeout 0.1 "${@:2}"')
    outcome = instance.start()
    assert outcome.code == 1
    assert [line for line in outcome.console if "exit code" in line] == [
        f"dify-nat: dnf ended with exit code 124, try {number} of 3: " for number in (1, 2, 3)
    ]


def test_a_swap_file_that_was_left_half_written_is_written_anew(instance: Instance) -> None:
    (instance.root / "swapfile").write_text("half")
    outcome = instance.start(swapon=[(255, "swapon: /swapfile: read swap header failed"), GOOD])
    assert len(outcome.of("dd")) == len(outcome.of("mkswap")) == 1
    assert "dify-nat: no swap file, going on without: dnf may be killed" not in outcome.console


def test_a_reboot_tries_again(instance: Instance) -> None:
    """cloud-init runs user data at the first start only, and what it finds in this folder at every start."""
    assert instance.start(dnf=[NO_NETWORK]).code == 1
    kept = instance.root / AT_EVERY_START
    assert os.access(kept, os.X_OK)
    assert kept.read_text() == instance.script.read_text()
    assert instance.start(kept).console[-1] == "dify-nat: ready"


def test_a_start_that_finds_everything_asks_no_repository_and_repeats_no_rule(instance: Instance) -> None:
    instance.start()
    outcome = instance.start(instance.root / AT_EVERY_START, swapon=[GOOD], rpm=[GOOD], iptables=[GOOD])
    assert outcome.console[-1] == "dify-nat: ready"
    assert outcome.of("dnf") == outcome.of("dd") == outcome.of("mkswap") == []
    assert outcome.of("iptables") == [
        "iptables -t nat -C POSTROUTING -o ens5 -j MASQUERADE",
        "iptables -F FORWARD",
    ]
    assert len(outcome.of("swapon")) == 1
