"""Models that replicas of the contract run."""

SUMS = """
    import sys
    print("loaded", file=sys.stderr)
    def answer(rows):
        return rows.sum(axis=1)
"""
SLOW_TO_LOAD = """
    import time
    time.sleep(1.5)
    def answer(rows):
        return rows.sum(axis=1)
"""
NEVER_LOADED = """
    import sys
    print("reading", file=sys.stderr, flush=True)
    # Native code: no line of Python runs until it is done.
    sum(range(10**13))
    def answer(rows):
        return rows[:, 0]
"""
ENDS = """
    import os, sys
    print("no licence", file=sys.stderr, flush=True)
    os._exit(7)
"""
GREEDY = """
    hoard = [bytes(16 * 2**20).replace(b"\\0", b"\\1") for _ in range(100)]
    def answer(rows):
        return rows[:, 0]
"""
BURNS = """
    import resource, subprocess, sys, time
    def answer(rows):
        begun = time.monotonic()
        loop = "import time; t = time.monotonic()\\nwhile time.monotonic() < t + 2: pass"
        busy = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(2)]
        for one in busy:
            one.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        share = (used.ru_utime + used.ru_stime) / (time.monotonic() - begun)
        return [share for _ in rows]
"""
HANGS = """
    import time
    def answer(rows):
        time.sleep(600)
"""
FORKS = """
    import subprocess, sys
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{mark}"],
                     start_new_session={apart})
    def answer(rows):
        return rows[:, 0]
"""
LOOKS_AROUND = """
    import os, socket
    def tried(what):
        try:
            what()
        except OSError as error:
            return type(error).__name__
        return "done"
    def answer(rows):
        status = open("/proc/self/status").read()
        mounts = [line.split() for line in open("/proc/self/mountinfo")]
        seen = {
            "user": os.getuid(),
            "write": tried(lambda: open("/opt/leadsman/x", "w")),
            "write artefact": tried(lambda: open(__file__, "a")),
            "artefact": next(one[5] for one in mounts if one[4].startswith("/artefact/")),
            "out": tried(lambda: socket.create_connection(("192.0.2.1", 80), 3)),
            "capabilities": status.split("CapEff:")[1].split()[0],
            "no new privileges": status.split("NoNewPrivs:")[1].split()[0],
        }
        return [seen for _ in rows]
"""
CHATTERS = """
    import sys, threading
    def talk():
        while True:
            sys.stderr.write("x" * 1000 + "\\n")
    threading.Thread(target=talk, daemon=True).start()
    def answer(rows):
        return rows[:, 0]
"""

DOUBLES = """
    import os, time
    for _ in range(11):
        os.fork()
    time.sleep(600)
"""
"""Every process forks: 2,048 of them where nobody holds it."""
DOUBLES_APART = """
    import os, time
    for _ in range(1500):
        if os.fork() == 0:
            os.setsid()
            os.fork() and os._exit(0)
            time.sleep(600)
    time.sleep(600)
"""
"""Each leaves the group and the session, and its parent ends."""
THREADS = """
    import threading, time
    for _ in range(1500):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    time.sleep(600)
"""
INSISTS = """
    import os, time
    for _ in range(1500):
        try:
            if os.fork() == 0:
                time.sleep(600)
        except OSError:
            time.sleep(0.01)
    time.sleep(600)
"""
"""Goes on where it is refused a process, and says nothing of it."""
