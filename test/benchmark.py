"""What the inner loop costs: prints figures of one run, compares with the goals, and fails on none.

Times on a shared machine are noisy, so the ratio to an empty CDK app is what counts: both are measured in
turn within this run, each in a process of its own, with the CDK's validation off.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
IMPORT_GOAL_MS = 50
SYNTH_GOAL_RATIO = 4.5
COMPARE_GOAL_RATIO = 2.0
ENTRY_GOAL_SECONDS = 0.3
LARGE_GOAL_SECONDS = 2.0

_PRELUDE = """
import json, sys
from pathlib import Path
from dify_cdk.cdk_helpers.assets import use_wheel_node
use_wheel_node()

def peaks():
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        name, parent, peak = fields["Name"].strip(), fields["PPid"].strip(), fields.get("VmHWM", "0 kB")
        found[fields["Pid"].strip()] = (parent, name, peak)
    mine = {str(__import__("os").getpid())}
    while True:
        more = {pid for pid, (parent, _, _) in found.items() if parent in mine} - mine
        if not more:
            break
        mine |= more
    return [(found[pid][1], int(found[pid][2].split()[0]) // 1024) for pid in sorted(mine)]
"""
_EMPTY = """
import aws_cdk as cdk
app = cdk.App(outdir=sys.argv[1], analytics_reporting=False)
cdk.Stack(app, "Empty")
app.synth()
"""
_V1 = """
from dify_cdk.cli.synth_example import synthesize
synthesize("v1", Path(sys.argv[1]))
"""
_COMPARE = """
from dify_cdk.cli import main
sys.exit(main(["compare", *VARIANTS]))
"""
_LARGE = """
import contextlib, io, time
sys.path.insert(0, TESTS)
from big_stacks import write_app
from dify_cdk.cli import main
from dify_cdk.report.templates.files import read_source
folder = Path(sys.argv[1])
write_app(folder)
def seconds(work):
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.process_time() - start
templates = [str(path) for path in sorted(folder.glob("*.template.json"))]
reading = seconds(lambda: read_source(folder))
print(seconds(lambda: main(["compare", "--template", *templates, "--region", "us-east-1"])) - reading)
"""
_REPORT = """
print(json.dumps(peaks()))
"""


def _run(program: str) -> tuple[float, str]:
    environment = {**os.environ, "CDK_VALIDATION": "false"}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-c", program, folder]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return time.perf_counter() - start, run.stdout


def _import_milliseconds() -> float:
    """Time of the import alone, without the start of Python."""
    program = (
        "import sys, time; start = time.perf_counter(); import dify_cdk; "
        "print((time.perf_counter() - start) * 1000); assert not {'aws_cdk', 'jsii'} & set(sys.modules)"
    )
    return statistics.median(float(_run(program)[1]) for _ in range(RUNS))


def _compare_seconds(*variants: str) -> float:
    """Time of ``dify-cdk compare``; without variants it is one of each architecture."""
    return _run(f"import sys\nVARIANTS = {list(variants)!r}{_COMPARE}")[0]


def _large_seconds() -> float:
    """Processor time of a comparison of ten large stacks, without the time to parse them."""
    tests = f"import sys\nfrom pathlib import Path\nTESTS = {str(Path(__file__).parent)!r}"
    return statistics.median(float(_run(tests + _LARGE)[1]) for _ in range(RUNS))


def _print_comparison() -> None:
    """All architectures in one process and one Node, against one of them."""
    one, every, ratios = [], [], []
    for _ in range(RUNS):
        one.append(_compare_seconds("v1"))
        every.append(_compare_seconds())
        ratios.append(every[-1] / one[-1])
    print(f"compare v1                  {statistics.median(one):8.2f} s")
    print(f"compare, all architectures  {statistics.median(every):8.2f} s")
    print(f"all / v1, pair by pair      {statistics.median(ratios):8.2f} x    goal <= {COMPARE_GOAL_RATIO} x")
    goal = f"goal <= {LARGE_GOAL_SECONDS} s of processor time beyond parsing"
    print(f"compare ten large stacks    {_large_seconds():8.2f} s    {goal}")


def main() -> int:
    """Print the figures."""
    milliseconds = _import_milliseconds()
    print(
        f"import dify_cdk             {milliseconds:8.1f} ms   goal <= {IMPORT_GOAL_MS} ms, no Node started"
    )
    _run(_PRELUDE + _EMPTY)  # unpacks the CDK into jsii's cache once
    empty, v1, ratios = [], [], []
    for _ in range(RUNS):
        empty.append(_run(_PRELUDE + _EMPTY)[0])
        v1.append(_run(_PRELUDE + _V1)[0])
        ratios.append(v1[-1] / empty[-1])
    print(f"empty CDK app, whole process{statistics.median(empty):8.2f} s")
    print(f"v1, whole process           {statistics.median(v1):8.2f} s")
    print(f"v1 / empty, pair by pair    {statistics.median(ratios):8.2f} x    goal <= {SYNTH_GOAL_RATIO} x")
    _print_comparison()
    sys.path.insert(0, str(Path(__file__).parent))  # run as a program, pytest's path is not set
    from handlers.lambda_entry import fetcher_cpu_seconds

    seconds = fetcher_cpu_seconds()
    print(f"entry script of v3's api    {seconds:8.3f} s    goal <= {ENTRY_GOAL_SECONDS} s of processor time")
    if Path("/proc").is_dir():
        for name, mebibytes in json.loads(_run(_PRELUDE + _V1 + _REPORT)[1].splitlines()[-1]):
            print(f"peak memory of {name:<12} {mebibytes:8d} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
