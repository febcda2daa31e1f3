import subprocess
import sys

LOST = """
import os, signal
from curate.work import interrupt

class Loser:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

interrupt.stop_on_signals()
Loser()
print("ran on")
try:
    interrupt.check()
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_ctrl_c_lost_in_a_finaliser_is_seen_by_the_next_check():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=True)
    assert "KeyboardInterrupt" in done.stderr  # Python reports what it drops
    assert done.stdout.split("\n") == ["ran on", "stopped", ""]
