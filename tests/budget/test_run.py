"""Commands under a budget: what holds them, what they used, and how they ended; each end is provoked here."""

import os
import sys
from pathlib import Path

import pytest

from facelab import budget
from facelab.budget import Budget
from facelab.budget import internals as budget_internals
from facelab.budget._file import parse_budget
from facelab.budget._groups import NotOfferedError, make1, make2, quota_of
from facelab.budget._report import ENDS
from facelab.budget._run import _end
from facelab.core.errors import BadInputError, UnsupportedError

EAT = "y = []\nfor k in range({mb}): y.append(bytearray(1 << 20))"
BUSY = "import time\nend = time.monotonic() + {s}\nwhile time.monotonic() < end: pass"


def python(source):
    return [sys.executable, "-I", "-S", "-c", source]


def offered():
    """Return which versions this process can make groups with."""
    found = []
    for name, make in (("v2", make2), ("v1", make1)):
        try:
            make(64_000_000, 0.5).remove()
            found.append(name)
        except NotOfferedError:
            pass
    return found


GROUPS = offered()
with_groups = pytest.mark.skipif(
    not GROUPS, reason="no cgroup can be made here (not root, or no controllers)"
)


@with_groups
@pytest.mark.parametrize("by", GROUPS)
class TestGroups:
    def test_too_much_memory_is_killed_and_told_from_a_crash(self, by):
        report = budget.run(python(EAT.format(mb=200)), Budget(memory_mb=64), by=by)
        assert (report.end, report.signal) == ("killed for memory", 9)
        assert report.oom_kills >= 1  # with memory.oom.group Linux 6.1 counts the victim twice
        assert not report.passed and 60e6 < report.peak_bytes <= 64e6
        assert report.held[0].mechanism == f"cgroup {by}"

    @pytest.mark.parametrize(
        ("source", "end", "code", "signal"),
        [
            ("import os; os.kill(os.getpid(), 11)", "crashed", None, 11),
            ("import os; os.kill(os.getpid(), 9)", "crashed", None, 9),
            ("raise SystemExit(137)", "failed", 137, None),
            ("raise MemoryError", "failed", 1, None),
            ("pass", "finished", 0, None),
        ],
    )
    def test_ends_that_look_like_a_kill_for_memory_and_are_none(
        self, by, source, end, code, signal
    ):
        """Bug reports: 137 and signal 9 taken for a kill for memory. Only the kernel's counter decides."""
        report = budget.run(python(source), Budget(memory_mb=64), by=by)
        assert (report.end, report.exit_code, report.signal, report.oom_kills) == (
            end,
            code,
            signal,
            0,
        )
        assert report.passed == (end == "finished")

    def test_a_process_below_that_is_killed_is_seen(self, by):
        inner = python(EAT.format(mb=200))
        report = budget.run(
            python(f"import subprocess; subprocess.run({inner!r})"), Budget(memory_mb=64), by=by
        )
        # version 2 ends the whole group, version 1 the one process
        assert report.end == ("killed for memory" if by == "v2" else "part killed for memory")
        assert report.oom_kills >= 1 and not report.passed

    def test_processor_time_is_held_and_counted(self, by):
        report = budget.run(python(BUSY.format(s=1.5)), Budget(cpu_share=0.25), by=by)
        assert report.passed and report.cpu_share < 0.3
        if (
            report.cpu_share > 0.2
        ):  # on a loaded machine it may get less than its share, and is not held back
            assert report.throttled["throttled"] > 10
        free = budget.run(python(BUSY.format(s=0.3)), Budget(memory_mb=64), by=by)
        assert free.cpu_seconds > 0.02

    def test_files_in_the_cache_do_not_kill(self, by, tmp_path):
        """Page cache counts in the group and is given back under pressure: reading 80 MB in 24 MB works."""
        big = tmp_path / "big"
        big.write_bytes(os.urandom(1 << 20) * 80)
        read = f"f = open({str(big)!r}, 'rb')\nwhile f.read(1 << 20): pass"
        report = budget.run(python(read), Budget(memory_mb=24), by=by)
        assert report.end == "finished" and report.oom_kills == 0

    def test_nothing_is_left(self, by):
        budget.run(
            python("import subprocess; subprocess.Popen(['sleep', '60'])"),
            Budget(memory_mb=64),
            by=by,
        )
        left = list(Path("/sys/fs/cgroup").rglob(f"facelab-{os.getpid()}-*"))
        assert left == []


@with_groups
def test_groups_of_the_dead_are_removed_by_the_next_run():
    import subprocess

    make = "make2" if "v2" in GROUPS else "make1"
    code = f"import os\nfrom facelab.budget._groups import {make}\n{make}(64_000_000, None)\nos._exit(0)"
    dead = subprocess.run([sys.executable, "-c", code], check=True)
    assert dead.returncode == 0
    budget.run(["true"], Budget(memory_mb=64))
    assert not [
        p
        for p in Path("/sys/fs/cgroup").rglob("facelab-*")
        if not Path(f"/proc/{p.name.split('-')[1]}").exists()
    ]


class TestRlimit:
    def test_a_refused_allocation_is_not_called_anything_it_may_not_be(self):
        for source in (
            EAT.format(mb=200),
            "raise SystemExit(3)",
            "import os; os.kill(os.getpid(), 11)",
        ):
            report = budget.run(python(source), Budget(memory_mb=64), by="rlimit")
            assert (
                report.end == "ended, cause unknown"
                and not report.passed
                and report.oom_kills is None
            )
            assert report.held[0].mechanism == "rlimit"

    def test_it_finishes_within_and_what_is_not_held_is_said(self):
        report = budget.run(python("pass"), Budget(memory_mb=64, cpu_share=4.0), by="rlimit")
        assert report.passed and report.end == "finished"
        assert {h.limit: h.mechanism for h in report.held} == {
            "memory_mb": "rlimit",
            "cpu_share": None,
        }
        assert 0 < report.sampled_rss_bytes <= 64e6 or report.wall_seconds < 0.1

    def test_a_share_that_nothing_held_is_judged_by_what_was_seen(self):
        report = budget.run(python(BUSY.format(s=0.6)), Budget(cpu_share=0.05), by="rlimit")
        assert not report.passed and "nothing prevented" in report.reasons[0]

    def test_strict_refuses_before_anything_runs(self, tmp_path):
        mark = tmp_path / "ran"
        with pytest.raises(UnsupportedError, match="nothing here holds cpu_share"):
            budget.run(
                python(f"open({str(mark)!r}, 'w')"), Budget(cpu_share=0.5), by="rlimit", strict=True
            )
        assert not mark.exists()


def test_threads_are_held_by_the_set_of_cores_and_libraries_are_asked(tmp_path):
    out = tmp_path / "out"
    source = f"""import os
with open({str(out)!r}, "w") as f:
    print(len(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"], file=f)"""
    report = budget.run(python(source), Budget(threads=1))
    assert report.passed and out.read_text() == "1 1\n"


def test_watts_are_modelled_from_processor_time():
    power = {"idle_watts": 1.0, "busy_watts": 3.0}
    report = budget.run(
        python("import time; time.sleep(0.4)"), Budget(threads=1, watts=3.0, power=power)
    )
    assert report.passed and report.to_dict()["watts_method"] == "model"
    assert report.watts == pytest.approx(1.0 + 2.0 * min(1.0, report.cpu_share))
    busy = budget.run(python(BUSY.format(s=0.5)), Budget(threads=1, watts=1.01, power=power))
    assert not busy.passed and "modelled" in busy.reasons[0]


def test_a_command_that_takes_too_long_is_ended():
    report = budget.run(["sleep", "60"], Budget(threads=1), timeout_s=0.5)
    assert report.end == "time is up" and report.wall_seconds < 20 and not report.passed


def test_wrong_commands_and_versions_are_errors():
    for command in (["/no/such/program"], []):
        with pytest.raises(BadInputError, match="no such program"):
            budget.run(command, Budget(threads=1))
    missing = next((v for v in ("v2", "v1") if v not in GROUPS), None)
    if missing:
        with pytest.raises(UnsupportedError, match=f"no cgroup {missing}"):
            budget.run(["true"], Budget(memory_mb=64), by=missing)


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        ((-9, False, 1, 3), "killed for memory"),
        ((-9, False, 1, 0), "killed for other memory"),
        ((0, False, 1, 3), "part killed for memory"),
        ((-9, False, 0, 0), "crashed"),
        ((-9, False, None, None), "ended, cause unknown"),
        ((137, False, 0, 0), "failed"),
        ((0, False, None, None), "finished"),
        ((-9, True, 1, 1), "time is up"),
    ],
)
def test_every_end_has_its_signs(arguments, end):
    assert _end(*arguments) == end and end in ENDS


def test_quotas_have_short_periods_and_never_less_than_the_kernel_takes():
    for share in (0.01, 0.05, 0.3, 1.0, 7.5):
        quota, period = quota_of(share)
        assert (
            quota >= 1000 and 1000 <= period <= 1_000_000 and quota / period == pytest.approx(share)
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "limits nothing"),
        ("memory = 3", "did you mean 'memory_mb'"),
        ("memory_mb = 1", "memory_mb"),
        ("memory_mb = nan", "memory_mb"),
        ("cpu_share = 0", "cpu_share"),
        ("threads = 0", "threads"),
        ("threads = 1.5", "threads"),
        ("watts = 2", "modelled"),
        ("watts = 2\n[power]\nidle_watts = 3\nbusy_watts = 2", "larger"),
        ('schema = "facelab.budget/9"\nthreads = 1', "schema"),
        ("threads = ", "TOML"),
    ],
)
def test_budget_files_that_do_not_hold_are_errors_with_the_key(text, said):
    with pytest.raises(BadInputError) as e:
        parse_budget(text, "budget.toml")
    assert said in str(e.value) and e.value.fix


def test_the_example_holds_and_files_are_read(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text(budget_internals.EXAMPLE_BUDGET)
    found = budget.load_budget(path)
    assert (found.memory_bytes, found.cpu_share, found.threads, found.watts) == (
        128_000_000,
        0.5,
        1,
        1.8,
    )
    with pytest.raises(BadInputError, match="cannot be read"):
        budget.load_budget(tmp_path / "missing.toml")
