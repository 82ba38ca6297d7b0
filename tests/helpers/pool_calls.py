"""Functions that the tests of pools call in worker processes."""

import os
import signal
import time

from inr.exact.threads import available_cores


def add(a, b, report):
    report(0.5)
    return a + b


def cores(report):
    """Cores of this process, and the number that XLA is told."""
    return available_cores(), int(os.environ["PJRT_NPROC"])


def name(report):
    time.sleep(0.2)  # long enough for the other worker to get its call
    return os.getpid()


def fail(error, report):
    raise error


def die(report):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(path, report):
    """Writes the number of this process to a file, and does not end."""
    path.write_text(str(os.getpid()))
    time.sleep(600)
