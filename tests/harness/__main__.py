"""python -m harness up|down|status|prepare --dir DIR: the private servers from a shell."""

import argparse

from . import kafka
from .process import end_on_signals, run_program
from .servers import Servers, read_left_running, take_down


def up(arguments):
    state = read_left_running(arguments.dir)
    if not state or not state["processes"]:
        servers = Servers(arguments.dir, arguments.brokers, keep=True)
        try:
            state = servers.start().leave_running()
        except BaseException:
            servers.close()
            raise
    print(f"TEST_POSTGRES='{state['postgres']}'\nTEST_KAFKA='{state['kafka']}'")
    return 0


def down(arguments):
    for name in take_down(arguments.dir):
        print(f"stopped {name}")
    return 0


def status(arguments):
    state = read_left_running(arguments.dir)
    processes = state["processes"] if state else []
    for each in processes:
        print(f"{each['name']}: pid {each['pid']}")
    print(f"{len(processes)} process(es) running")
    return 0 if processes else 1


def prepare(arguments):
    kafka.prepare(arguments.dir)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="python -m harness", description=__doc__)
    parser.add_argument("verb", choices=["up", "down", "status", "prepare"])
    parser.add_argument("--dir", default="build/servers", help="where the servers live")
    parser.add_argument("--brokers", type=int, choices=[1, 3], default=1)
    arguments = parser.parse_args()
    end_on_signals()
    return {"up": up, "down": down, "status": status,
            "prepare": prepare}[arguments.verb](arguments)


if __name__ == "__main__":
    run_program(main)
