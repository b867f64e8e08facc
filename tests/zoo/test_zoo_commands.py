"""`facelab assets` and `facelab doctor` as a user calls them: output, JSON, exit codes, no traceback."""

import json
import shutil
import sys

import pytest

from facelab import cli
from facelab.commands import assets as assets_command
from facelab.core import machine
from facelab.doctor import Check, _assets, _environment, _kernels, _machine
from facelab.zoo._catalogue import load_catalogue


@pytest.fixture
def run(capsys):
    """Call the command line and return (exit code, stdout, stderr)."""

    def call(*argv):
        code = cli.run([str(a) for a in argv])
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return code, out.out, out.err

    return call


@pytest.fixture
def served(web, store, entry, monkeypatch):
    """Two entries that the server has (one good, one cut) in place of the committed catalogue."""
    entries = [
        entry(f"{web.base}/good/a", name="alpha", file="alpha.onnx"),
        entry(f"{web.base}/cut/b", name="beta", file="beta.onnx"),
        entry(
            f"{web.base}/good/c",
            name="gamma",
            file="gamma.onnx",
            research_only=True,
            kind="detector",
        ),
        entry(
            f"{web.base}/good/d",
            name="delta",
            file="delta.onnx",
            sha256="",
            hash_note="nobody says so",
        ),
    ]
    monkeypatch.setattr(assets_command, "everything", lambda: entries)
    return {e.name: e for e in entries}


# -- assets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["assets", "assets list", "assets fetch", "assets verify", "doctor"]
)
def test_help_has_an_example(command, run):
    code, out, _ = run(*command.split(), "--help")
    assert code == 0 and "Example: facelab" in out


def test_list_says_what_is_here_in_json_and_in_text(run, store):
    code, out, _ = run("assets", "list", "--json")
    rows = {r["name"]: r for r in json.loads(out)["assets"]}
    assert code == 0 and set(load_catalogue().names) < set(rows)
    assert rows["mtcnn"]["state"] == "present" and rows["mtcnn"]["place"] == "parts"
    assert rows["dlib-resnet"]["place"] == "package" and rows["dlib-resnet"]["default"]
    assert (
        rows["sface"]["state"] == "absent"
        and rows["sface"]["fetch"] == "facelab assets fetch sface"
    )
    assert len(rows["sface"]["sha256"]) == 64 and rows["mobilenet-v2"]["sha256"] is None
    assert rows["mobilenet-v2"]["hash_note"]
    code, out, _ = run("assets", "list", "--kind", "embedder", "--missing")
    assert code == 0 and "sface " in out and "dlib-resnet" not in out and "yunet" not in out
    assert run("assets", "list", "--present", "--missing")[0] == 2


def test_a_mirror_that_is_not_a_folder_ends_with_2(run, store, tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(tmp_path / "nowhere"))
    for command in (["list"], ["verify"], ["fetch", "sface"]):
        code, out, err = run("assets", *command)
        assert code == 2 and out == "" and "FACELAB_MIRROR names no folder" in err


def test_list_finds_the_mirror_by_sha256(run, store, assets, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    code, out, _ = run("assets", "list", "--json", "--kind", "detector", "--present")
    rows = json.loads(out)["assets"]
    assert code == 0 and sum(r["place"] == "mirror" for r in rows) >= 25
    code, out, _ = run("assets", "verify", "--json")
    assert code == 0 and json.loads(out)["ok"] and len(json.loads(out)["assets"]) >= 60


def test_fetch_gets_what_is_named_and_says_where_it_is(run, served, content):
    code, out, _ = run("assets", "fetch", "alpha", "--json")
    assert code == 0 and served["alpha"].path.read_bytes() == content
    assert json.loads(out)["assets"][0]["path"] == str(served["alpha"].path)
    code, out, _ = run("assets", "fetch", "alpha")
    assert code == 0 and "1 present" in out


def test_fetch_of_a_bad_file_ends_with_2_and_leaves_nothing(run, served, files_in, store):
    code, _, err = run("assets", "fetch", "beta")
    assert code == 2 and "truncated" in err and "expected" in err and files_in(store) == []


def test_fetch_in_bulk_goes_on_after_a_failure_and_leaves_out_what_needs_consent(
    run, served, files_in, store
):
    code, out, err = run("assets", "fetch", "--all", "--json")
    report = json.loads(out)
    assert code == 2 and report["failed"] == 1 and files_in(store) == ["alpha.onnx"]
    assert "gamma: left out, research-only" in err and "delta: left out, no published hash" in err
    code, _, err = run("assets", "fetch", "--kind", "detector", "--research-only")
    assert code == 0 and "gamma.onnx" in files_in(store)
    assert run("assets", "fetch", "delta")[0] == 2
    code, _, err = run("assets", "fetch", "delta", "--trust-first-use")
    assert code == 0 and "trusted on first use, sha256 " in err


def test_fetch_refuses_nothing_and_the_unknown(run, store):
    assert run("assets", "fetch")[0] == 2
    code, _, err = run("assets", "fetch", "yunet_n")
    assert code == 2 and "did you mean 'yunet-n'" in err
    code, _, err = run("assets", "fetch", "fer2013")
    assert code == 2 and "no address" in err and "Kaggle" in err and "put it there" in err


def test_verify_finds_removes_and_reports_a_bad_file(run, served, content, store):
    store.mkdir()
    served["alpha"].path.write_bytes(content)
    served["beta"].path.write_bytes(content[:50])
    code, out, err = run("assets", "verify", "--json")
    report = json.loads(out)
    assert (
        code == 1
        and not report["ok"]
        and not served["beta"].path.exists()
        and served["alpha"].path.exists()
    )
    assert {r["name"]: r["state"] for r in report["assets"]} == {"alpha": "present", "beta": "bad"}
    assert report["assets"][1]["problem"]["error"] == "IntegrityError" and "truncated" in err
    assert run("assets", "verify")[0] == 0  # removed: nothing bad is left
    assert run("assets", "verify", "beta")[0] == 1  # named and absent


# -- doctor -----------------------------------------------------------------------------------------------------------


def by_name(checks):
    return {c.name: c for c in checks}


def test_doctor_reports_as_json_and_as_text(run, store):
    code, out, _ = run("doctor", "--quick", "--json")
    report = json.loads(out)
    names = {c["name"] for c in report["checks"]}
    assert {
        "Python",
        "packages",
        "facelab",
        "facelab-modelmaker",
        "processor",
        "cores",
        "memory",
        "disk",
        "detector",
        "data sets",
        "FACELAB_MIRROR",
        "threads",
    } <= names
    assert code == (0 if report["ok"] else 1) and report["broken"] == sum(
        c["status"] == "broken" for c in report["checks"]
    )
    assert all(c["fix"] for c in report["checks"] if c["status"] in ("warn", "broken"))
    cores = next(c for c in report["checks"] if c["name"] == "cores")
    assert cores["data"]["cores"] == machine.cores()
    code, out, _ = run("doctor", "--quick")
    assert "models and data" in out and out.rstrip().endswith(("warning", "warnings"))


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A folder in place of the environment's kernels, with one working and registered kernel."""
    monkeypatch.setattr(_kernels, "kernels_folder", lambda: tmp_path)

    def register(name, python):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "kernel.json").write_text(
            json.dumps({"argv": [str(python), "-m", "ipykernel_launcher"]})
        )

    register("facelab", sys.executable)
    register.folder = tmp_path
    return register


def test_a_kernel_answers_only_if_its_interpreter_really_imports(kernels, monkeypatch):
    monkeypatch.setattr(
        _kernels,
        "KERNELS",
        {"facelab": ("json, facelab", 30), "other": ("no_such_module", 30)},
    )
    kernels("other", sys.executable)
    good, bad = _kernels.kernel_checks()
    assert (
        good.status == "ok" and f"Python {sys.version_info[0]}.{sys.version_info[1]}" in good.detail
    )
    assert (
        bad.status == "warn"
        and "No module named 'no_such_module'" in bad.detail
        and "make setup" in bad.fix
    )
    assert _kernels.kernel_checks(start=False)[1].status == "ok"


def test_kernels_start_side_by_side_and_are_shown_as_they_answer(kernels, tmp_path, monkeypatch):
    """Each fake interpreter waits for the other's mark: one after the other, the first would never answer."""
    monkeypatch.setattr(_kernels, "KERNELS", {"slow": ("json", 30), "quick": ("json", 30)})
    for name, other, wait in (("slow", "quick", 1), ("quick", "slow", 0)):
        file = tmp_path / f"{name}.sh"
        file.write_text(
            f"#!/bin/sh\ntouch {tmp_path}/{name}.here\n"
            f"until [ -e {tmp_path}/{other}.here ]; do sleep .05; done\nsleep {wait}\necho 3.11.0\n"
        )
        file.chmod(0o755)
        kernels(name, file)
    seen = []
    checks = _kernels.kernel_checks(answered=lambda check: seen.append(check.name))
    assert [check.name for check in checks] == ["slow", "quick"]
    assert [check.status for check in checks] == ["ok", "ok"]
    assert seen == ["quick", "slow"]


def test_kernels_that_are_missing_moved_or_hang_are_said(kernels, tmp_path, monkeypatch):
    monkeypatch.setattr(
        _kernels, "KERNELS", {"facelab": ("json", 30), "facelab-modelmaker": ("json", 1)}
    )
    hang = tmp_path / "hang"
    hang.write_text("#!/bin/sh\nexec sleep 30\n")
    hang.chmod(0o755)
    kernels("facelab", tmp_path / "gone" / "python")
    kernels("facelab-modelmaker", hang)
    moved, hangs = _kernels.kernel_checks()
    assert (
        moved.status == "broken" and "does not exist" in moved.detail and moved.fix == "make setup"
    )
    assert hangs.status == "warn" and "no answer within 1 s" in hangs.detail
    (kernels.folder / "facelab" / "kernel.json").write_text("{")
    assert "cannot be read" in _kernels.kernel_checks(start=False)[0].detail
    shutil.rmtree(kernels.folder / "facelab")
    assert _kernels.kernel_checks(start=False)[0].status == "broken"


def test_versions_are_compared_with_the_lock(tmp_path, monkeypatch):
    lock = tmp_path / "requirements" / "main.lock"
    lock.parent.mkdir()
    numpy = machine.version_of("numpy")
    lock.write_text(
        f"numpy=={numpy} \\\n    --hash=sha256:{'0' * 64}\nclick==0.0.1 ; python_version > '3' \\\n"
        "no-such-thing==1.0 ; sys_platform == 'win32' \\\n"
    )
    assert _environment.locked_versions(lock) == {"numpy": numpy, "click": "0.0.1"}
    monkeypatch.setattr(_environment, "project_root", lambda: tmp_path)
    check = by_name(_environment.environment_checks())["packages"]
    assert check.status == "warn" and "click" in check.detail and check.fix == "make setup"
    lock.write_text("not-here-at-all==1.0\n")
    assert by_name(_environment.environment_checks())["packages"].status == "broken"
    lock.unlink()  # a project of the user's own has none
    assert by_name(_environment.environment_checks())["packages"].status == "info"


def test_harmful_variables_and_thread_limits_are_named(monkeypatch):
    for name in _environment.THREADS:  # a caller, or a test before this one, may have limited more
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    checks = by_name(_environment.environment_checks())
    assert checks["PYTHONDONTWRITEBYTECODE"].status == "warn" and checks["threads"].data == {
        "OMP_NUM_THREADS": "1"
    }


def test_a_bad_model_a_bad_mirror_and_a_missing_bundle_are_broken(
    run, store, tmp_path, monkeypatch
):
    entry = load_catalogue().model("sface")
    store.mkdir()
    entry.path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    code, out, _ = run("doctor", "--quick", "--json")
    found = by_name(Check(**c) for c in json.loads(out)["checks"])["sface"]
    assert (
        code == 1
        and "git-LFS pointer" in found.detail
        and found.fix == "facelab assets fetch sface"
    )
    monkeypatch.setenv("FACELAB_MIRROR", str(tmp_path / "nowhere"))
    code, out, _ = run("doctor", "--quick")
    assert code == 1 and "BROKEN  FACELAB_MIRROR" in out and "unset FACELAB_MIRROR" in out
    monkeypatch.delenv("FACELAB_MIRROR")
    monkeypatch.setattr("facelab.zoo._store.module_path", lambda module: None)
    checks = by_name(_assets.asset_checks())
    assert {checks[n].status for n in _assets.BUNDLED} == {"broken"}


def test_little_memory_and_disk_are_warned_of(monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: (int(8e9), int(1e9)))
    monkeypatch.setattr(_machine.shutil, "disk_usage", lambda p: shutil._ntuple_diskusage(10, 9, 1))
    monkeypatch.setattr(machine, "cores", lambda: 1)
    checks = by_name(_machine.machine_checks())
    assert [checks[n].status for n in ("cores", "memory", "disk")] == ["warn"] * 3
    assert all(checks[n].fix for n in ("cores", "memory", "disk"))
