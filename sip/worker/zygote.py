"""The warm parent of all conversation workers: pjsua2 is loaded once, each worker is a fork of this process.

Started by the pool as ``python -I -m sip.worker.zygote FD``. On FD (SOCK_SEQPACKET) it takes one packet per worker to
fork: the JSON of an EngineConfig, with the worker's control socket as descriptor. End of file means the daemon is
gone, and so are we. Nothing here can dump core: a core would hold audio.

The zygote is killed with the daemon (PR_SET_PDEATHSIG). Its workers are not killed with the zygote, whose death alone
is no reason to end conversations: they get SIGCONT, which wakes those that wait stopped. Whoever runs then reads end of
file on its control socket if the daemon is gone, and ends; a worker whose loop hangs is ended by its own timer
(``engine.HANGS_S``).
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import socket
import sys
from types import FrameType

from sip.worker import engine
from sip.worker.engine_calls import EngineConfig

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def harden(death_signal: signal.Signals) -> None:
    """Hear of the parent's death, leave no core, be unreadable through /proc for others of the same user."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _reap(_signal: int, _frame: FrameType | None) -> None:
    """Collect ended workers, so that their CPU time counts as ours."""
    while True:
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _become_worker(control: socket.socket, config: EngineConfig, parent: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    harden(signal.SIGCONT)
    if os.getppid() != parent:  # the zygote died between fork and prctl: nobody would wake this one at the end
        os._exit(0)
    engine.run(control, config)


def main() -> None:
    parent = os.getppid()
    orders = socket.socket(fileno=int(sys.argv[1]))
    harden(signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the daemon, which ends us in order
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()
    me = os.getpid()
    while True:
        packet, descriptors, _flags, _address = socket.recv_fds(orders, 65536, 1)
        if not packet:
            return
        config = EngineConfig(**json.loads(packet))
        try:
            child = os.fork()
        except OSError as error:  # no room for a process: that call is refused, those that run go on
            os.write(2, f"zygote: no worker: {error.strerror}\n".encode())
            child = -1
        if child == 0:
            orders.close()
            _become_worker(socket.socket(fileno=descriptors[0]), config, me)
            os._exit(1)
        os.close(descriptors[0])


if __name__ == "__main__":
    main()
