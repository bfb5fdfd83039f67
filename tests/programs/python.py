"""In Python, with mpi4py: what seeded.c and workers.c are in C. Each round every rank reads from outside (clocks, randomness), sends what
it has become to its neighbour as an object and as a buffer, and reports to rank 0, which takes the reports in the order in which they
happen to come and tells each rank which match it was. All that differs between two runs is what was read and in which order.

    python.py [rounds]
"""

import array
import os
import random
import sys
import time

from mpi4py import MPI

MASK = (1 << 64) - 1
# Each round has its reports, from this tag on: nobody gives two in one.
TOLD, DRAW, REPORTS = 1, 2, 10
world = MPI.COMM_WORLD
rank, size = world.rank, world.size


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    everybody = world.Dup()
    state, matched, matches = mix(0, rank + 1), mix(0, rank + 1), 0
    for number in range(rounds):
        state = mix(state, read_outside(number))
        state = mix(state, pass_on(everybody, number, state))
        if rank == 0:
            for _ in range(size - 1):
                matched, matches = take_report(number, matched, matches)
        else:
            report(number, state)
        if number % 10 == 9:
            say(f"clock now={time.time_ns()}")
            total = array.array("Q", [0])
            everybody.Allreduce(array.array("Q", [state]), total, MPI.BXOR)
            texts = everybody.allgather(f"{total[0]:016x}")
            require(texts == [texts[0]] * size, "all have the same")
            state = mix(state, total[0])
    say(f"result python rounds={rounds}")
    everybody.Free()


def read_outside(number):
    """A reading from outside; each round asks elsewhere."""
    ways = [
        lambda: time.time_ns(),
        lambda: int.from_bytes(os.urandom(8), "little"),
        lambda: time.monotonic_ns(),
        lambda: random.getrandbits(64),
        lambda: int(MPI.Wtime() * 1e9),
        lambda: hash("strings are hashed with a random seed") & MASK,
    ]
    return ways[number % len(ways)]() & MASK


def pass_on(everybody, number, state):
    """Sends the state to the right as an object or as a buffer, and returns the left's."""
    right, left = (rank + 1) % size, (rank - 1) % size
    say(f"gave to={right} seq={number} value={state:016x}")
    if number % 2:
        request = everybody.isend({"round": number, "state": state}, dest=right, tag=DRAW)
        draw = everybody.recv(source=left, tag=DRAW)
        request.wait()
        require(draw["round"] == number, f"{draw} in round {number}")
        value = draw["state"]
    else:
        room = array.array("Q", [0, 0])
        everybody.Sendrecv(array.array("Q", [number, state]), right, DRAW, room, left, DRAW)
        require(room[0] == number, f"{room} in round {number}")
        value = room[1]
    say(f"got from={left} seq={number} value={value:016x}")
    return value


def report(number, state):
    tag = REPORTS + number
    world.send((number, state), dest=0, tag=tag)
    n = world.recv(source=0, tag=TOLD)
    say(f"told to=0 seq={number} tag={tag} value={state:016x} n={n}")


def take_report(number, matched, n):
    status = MPI.Status()
    tag = REPORTS + number
    seq, value = world.recv(source=MPI.ANY_SOURCE, tag=tag, status=status)
    source = status.Get_source()
    for part in (n, source, seq, tag, value):
        matched = mix(matched, part)
    say(f"match n={n} from={source} seq={seq} tag={tag} value={value:016x} state={matched:016x}")
    world.send(n, dest=source, tag=TOLD)
    return matched, n + 1


def mix(state, value):
    """As in common.h."""
    state = ((state ^ value) * 0x9E3779B97F4A7C15) & MASK
    return state ^ (state >> 29)


def say(line):
    """One line of standard output, in one write."""
    os.write(1, f"{rank}: {line}\n".encode())


def require(holds, what):
    if not holds:
        print(f"{rank}: wrong: {what}", file=sys.stderr, flush=True)
        world.Abort(3)


main()
