"""Become another program that cannot outlive the supervisor.

Run as a script before every child: `tether.py SUPERVISOR_PID DEATH_SIGNAL UID:GID|- PROGRAM [ARGUMENT …]`. It changes
the user if asked to, has the kernel send the signal when the supervisor dies, and replaces itself. A separate program
because Python's `preexec_fn` may deadlock in a process with threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor, death_signal, account, *program = sys.argv[1:]
    if account != "-":
        uid, gid = account.split(":")
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    # After the change of user: the kernel forgets the death signal when the user changes.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    # The supervisor may have died before the kernel was told.
    if os.getppid() != int(supervisor):
        sys.exit("the supervisor is gone")
    os.execv(program[0], program)  # noqa: S606 - replacing itself, without a shell, is what this script is for


if __name__ == "__main__":
    main()
