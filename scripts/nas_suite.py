"""The NAS Parallel Benchmarks (NPB 3.4, MPI): fetched into a folder outside the repository, and built with any library's wrappers."""

import re
import subprocess
import sys

SOURCE = "https://github.com/mbdevpl/nas-parallel-benchmarks"
# The kernels, with the ranks that they are run with: BT and SP need a square.
KERNELS = {"cg": 2, "ep": 2, "ft": 2, "is": 2, "lu": 2, "mg": 2, "bt": 4, "sp": 4}
# Constants of another form than the standard's, and procedures that are called with buffers of several types and ranks.
FLAGS = "-O3 -w -fallow-invalid-boz -fallow-argument-mismatch"


def fetch(suite):
    """The folder of the MPI version, fetched unless it is there."""
    benchmarks = suite / "NPB3.4-MPI"
    if not benchmarks.is_dir():
        suite.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["git", "clone", "--depth=1", SOURCE, str(suite)]).returncode != 0:
            sys.exit(f"the benchmarks cannot be fetched into {suite}: what is there must be a copy of {SOURCE}")
    return benchmarks.resolve()


def build(suite, mpifort, mpicc, kernel, size, binaries="bin", anew=False):
    """Builds a kernel into a folder of the suite's; `anew` where another library's may have been built before."""
    folder = suite / binaries
    folder.mkdir(exist_ok=True)
    settings = {
        "MPIFC": mpifort,
        "FLINK": "$(MPIFC)",
        "FFLAGS": FLAGS,
        "FLINKFLAGS": "$(FFLAGS)",
        "MPICC": mpicc,
        "CLINK": "$(MPICC)",
        "CFLAGS": "-O3",
        "CLINKFLAGS": "$(CFLAGS)",
        "CC": "cc",
        "BINDIR": f"../{binaries}",
        "RAND": "randi8",
    }
    (suite / "config" / "make.def").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    if anew:
        subprocess.run(["make", "-C", str(suite), "clean"], capture_output=True)
    made = subprocess.run(["make", "-C", str(suite), kernel, f"CLASS={size}"], text=True, capture_output=True)
    program = folder / f"{kernel}.{size}.x"
    if made.returncode != 0 or not program.is_file():
        sys.exit(f"{kernel} does not build:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
    return program


def seconds(output):
    """How long the kernel says that it took, and whether it says that the result is right."""
    took = re.search(r"Time in seconds =\s*([\d.]+)", output)
    return float(took.group(1)) if took else None, re.search(r"Verification\s*=\s*SUCCESSFUL", output) is not None
