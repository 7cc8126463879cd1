"""Starting Python programs from a process that has imported PyTorch and transformers already.

Those imports take 6 of the 7 seconds of a small conversion, and the zoo converts a hundred times. A forked child has
them for nothing, and is otherwise as good as a new process: it may die without harm. Nothing may have computed with
more than one thread before (a fork does not copy threads), so this is for a process of its own.
"""

import contextlib
import importlib
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar


def child(work: Callable[[], None]) -> int:
    """Fork, do the work in the child, and return its process id at once. An exception ends it with code 1."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(code)
    return pid


def exit_code(status: int) -> int:
    """Return what `subprocess` would call the return code: negative for a signal."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


class Program:
    """What `subprocess.Popen` returns for `[python, script, …]` or `[python, "-m", module, …]`, as far as needed."""

    modules: ClassVar[dict] = {}  # what a script finds imported, instead of this process's modules of the same names

    def __init__(self, command, stdout=None, stderr=None, env=None, cwd=None, text=False, **unused):
        self.args = command
        self.returncode = None
        ends = {1: stdout, 2: stderr}
        pipes = {number: os.pipe() for number, wanted in ends.items() if wanted == subprocess.PIPE}

        def work():
            for number, wanted in ends.items():
                if number in pipes:
                    os.dup2(pipes[number][1], number)
                elif wanted == subprocess.STDOUT:
                    os.dup2(1, number)
                elif wanted == subprocess.DEVNULL:
                    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
                elif wanted is not None:
                    os.dup2(wanted.fileno(), number)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False, buffering=1)
            if env is not None:
                os.environ.clear()
                os.environ.update(env)
            if cwd is not None:
                os.chdir(cwd)
            run([str(part) for part in command[1:]], self.modules)

        self.pid = child(work)
        mode = {"encoding": "utf-8", "errors": "replace"} if text else {"mode": "rb"}
        for number, (_, write_end) in pipes.items():
            os.close(write_end)
            pipes[number] = open(pipes[number][0], **mode)
        self.stdout, self.stderr = pipes.get(1), pipes.get(2)

    def wait(self, timeout=None) -> int:
        if self.returncode is None:
            self.returncode = exit_code(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = exit_code(status)
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    terminate = kill

    def communicate(self, input=None, timeout=None):
        said = [stream.read() if stream else None for stream in (self.stdout, self.stderr)]
        self.wait()
        return tuple(said)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()
        self.wait()


def imported_from(folders: list[Path], names: list[str]) -> dict:
    """Import modules from these folders and return them and theirs by name, leaving what is imported here as it was."""
    roots, path = {name.split(".")[0] for name in names}, list(sys.path)

    def take() -> dict:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in roots}

    others = take()
    sys.path[:0] = map(str, folders)
    for name in names:
        importlib.import_module(name)
    sys.path[:] = path
    found = take()
    sys.modules.update(others)
    return found


def run(arguments: list[str], modules: dict) -> None:
    """Run what `python script …` or `python -m module …` would; `modules` are for scripts, whose folder comes first."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = arguments
    sys.modules.update(modules)
    sys.path.insert(0, str(Path(arguments[0]).parent))
    runpy.run_path(arguments[0], run_name="__main__")


def popen(programs: tuple[str, ...]):
    """Return a stand-in for `subprocess.Popen` that forks for these scripts and modules, and else is what it was."""
    original = subprocess.Popen

    def start(command, *given, **options):
        words = [str(word) for word in command[1:3]] if isinstance(command, list) else []
        ours = Path((words or [""])[0]).name in programs or (words[:1] == ["-m"] and words[1] in programs)
        return Program(command, **options) if ours else original(command, *given, **options)

    return start
