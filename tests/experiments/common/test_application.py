"""What every application does around its work."""

import shlex
import subprocess
import sys

import pytest

from experiments.common import output_folders
from tests.experiments import launcher

PROGRAM = """
from experiments.common import application

def main():
    {work}
    return 0

application.run(main)
"""
HELP = ["-m", "experiments.train", "--help"]
ENDLESS = ["-c", PROGRAM.format(work="while True: print('on and on')")]
NO_FILE = ("experiments.starts", "--baseline=nowhere", "--other=nowhere")


def test_it_says_what_it_does_and_where_it_runs(launched):
    done = launched(*NO_FILE)
    what, device = done.stdout.splitlines()
    assert what.startswith("experiments.starts: measures how soon one search reaches")
    assert device.startswith("on the CPU (") and "JAX" in device


def test_a_device_that_is_not_there_is_refused_in_one_sentence(environment):
    done = launcher.python_m({**environment, "JAX_PLATFORMS": "cuda"}, *NO_FILE)
    assert done.returncode == 2
    assert done.stderr.startswith("error: JAX_PLATFORMS=cuda: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["inpaint", "evaluate", "ablation", "quality"])
def test_a_folder_that_another_process_writes_to_is_refused(name, launched, tmp_path):
    with output_folders.hold(tmp_path, flag="output_dir") as folder:
        done = launched(f"experiments.{name}", f"--output_dir={folder}")
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert done.returncode == 2
    assert done.stderr == (
        f"error: --output_dir={folder}: another process is writing there; wait for it "
        "or give another folder.\n"
    )


@pytest.mark.parametrize(("program", "code"), [(HELP, 0), (ENDLESS, 141)])
def test_a_reader_may_leave_before_the_end(environment, program, code):
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=launcher.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == code


FULL = {
    "a full disk": (2, "error: the standard output: No space left on device"),
    "of itself": (70, "error: internal error: ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("what", FULL)
def test_what_it_cannot_help_is_one_sentence_and_a_code(environment, what):
    code, sentence = FULL[what]
    work = "print(9)" if code == 2 else "1 / 0"
    with open("/dev/full" if code == 2 else "/dev/null", "w") as out:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(work=work)],
            cwd=launcher.ROOT,
            env={**environment, "PYTHONIOENCODING": "ascii"},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == code
    assert done.stderr.startswith(sentence) and done.stderr.count("\n") == 1


WARNING = """
import logging, sys
from experiments.common import application

def main():
    logging.getLogger("jax._src.xla_bridge").warning("a GPU may be present")
    logging.getLogger("absl").warning("of no use")
    return 0

application.run(main)
"""


def test_what_jax_warns_of_is_shown(environment):
    done = subprocess.run(
        [sys.executable, "-c", WARNING],
        cwd=launcher.ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "a GPU may be present" in done.stderr and "of no use" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_change_no_exit_code(environment, closed):
    for work, code in {"print('done')": 0, "raise InputError('no')": 2}.items():
        program = "from inpaint_jax.errors import InputError\n" + PROGRAM
        quoted = shlex.quote(program.format(work=work))
        done = subprocess.run(
            f"{shlex.quote(sys.executable)} -c {quoted} {closed}",
            shell=True,
            cwd=launcher.ROOT,
            env=environment,
        )
        assert done.returncode == code


COMPILES = """
import jax
from experiments.common import application

def main():
    jax.jit(lambda x: x + 1)(0)
    return 0

application.run(main)
"""


@pytest.mark.parametrize("home", ["home", "/dev/null"])
@pytest.mark.parametrize("flags", [[], ["--compilation_cache_dir=none"]])
def test_programs_are_kept_in_the_users_cache_folder(
    environment, tmp_path, home, flags
):
    home = tmp_path / home  # where /dev/null is absolute, and stays
    environment = dict(environment, HOME=str(home), XDG_CACHE_HOME="cache")
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILES, *flags],
        cwd=launcher.ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cache = home / ".cache" / "inpaint_jax" / "programs"
    kept = home.name == "home" and not flags
    assert cache.is_dir() == kept
    if kept:
        assert any(cache.iterdir()) and cache.stat().st_mode & 0o777 == 0o700
    told = "compiled programs are not kept for the next run: /dev/null" in done.stdout
    assert told == (home.name == "null" and not flags)
    assert not (launcher.ROOT / "cache").exists()
