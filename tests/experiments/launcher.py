"""Runs applications as `python -m` does, without importing the library each time.

A process imports once what all applications import, and forks one for each of them. It
defines no application's flag and starts neither a thread nor JAX's back end, so that
what it forks is what `python -m` starts, but for the seed of the hashes of strings,
which all of them share, and the environment, which JAX reads while it is imported.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import pathlib
import pkgutil
import runpy
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
_ALL_IMPORT = ("flax.linen", "optax", "orbax.checkpoint", "safetensors.numpy", "tqdm")
_LONGEST_COMMAND = 1 << 16


def python_m(environment, module, *arguments):
    """Runs a module as a user does."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )


def told(out):
    """Returns the lines of an application after those that say what and where it is."""
    if not out:
        return []  # refused before that
    what, device, *lines = out.splitlines()
    assert "experiments." in what and device.startswith("on "), out
    return lines


@contextlib.contextmanager
def started(environment):
    """Yields run(module, *arguments), which returns what `python_m` does.

    Threads may call it side by side.
    """
    if sys.platform != "linux":
        yield functools.partial(python_m, environment)
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            command = [sys.executable, "-m", "tests.experiments.launcher"]
            process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        yield functools.partial(_ask, ours)
    process.wait()


def _ask(commands, *command):
    """Sends a command with the files of its output, and waits for its exit code."""
    command = list(map(str, command))
    result, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, result:
        with theirs:
            given = [file.fileno() for file in (out, err, theirs)]
            socket.send_fds(commands, [json.dumps(command).encode()], given)
        code = int(result.recv(16))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(command, code, *texts)


def _serve(commands):
    """Returns each command in a process of its own, and nothing in the first one."""
    while True:
        message, given, *_ = socket.recv_fds(commands, _LONGEST_COMMAND, 3)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG if message else 0)[0]:
                pass
        if not message:
            return []
        if os.fork() == 0:
            break
        for descriptor in given:
            os.close(descriptor)
    commands.close()
    out, err, result = given
    if application := os.fork():
        _, status = os.waitpid(application, 0)
        os.write(result, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for descriptor in given:
        os.close(descriptor)
    return json.loads(message)


def main():
    """Serves commands that come through the socket with the given descriptor."""
    import inpaint_jax

    library = pkgutil.walk_packages(inpaint_jax.__path__, "inpaint_jax.")
    for name in (*_ALL_IMPORT, *(module.name for module in library)):
        importlib.import_module(name)
    from inpaint_jax.errors import InputError
    from inpaint_jax.landmarks import dlib_host

    with contextlib.suppress(InputError):  # without dlib there is none
        for points in (5, dlib_host.POINTS):  # parsing takes a second and a half
            dlib_host.read_model(dlib_host.find_model(None, points=points))
    gc.freeze()  # or each process would go through all of it when it ends
    command = _serve(socket.socket(fileno=int(sys.argv[1])))
    if command:
        module, *sys.argv[1:] = command
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
