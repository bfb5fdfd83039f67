"""Draws what bench/compare measured: one picture for each layout and kind, value over message size. Needs matplotlib.

    plot.py COMPARE.JSON FOLDER
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

UNITS = {"latency_us": "latency, us", "bytes_per_s": "bandwidth, bytes/s", "allreduce_us": "allreduce, us", "alltoall_us": "alltoall, us"}


def main():
    rows = json.loads(Path(sys.argv[1]).read_text())["medians"]
    for layout, kind in sorted({(row["layout"], row["kind"]) for row in rows if row["kind"] in UNITS}):
        picture, axes = plt.subplots(figsize=(7, 4.5))
        chosen = sorted((row for row in rows if (row["layout"], row["kind"]) == (layout, kind)), key=lambda row: row["bytes"])
        for name in dict.fromkeys(name for row in chosen for name in row if name not in ("layout", "kind", "bytes")):
            points = [(row["bytes"], row[name]) for row in chosen if name in row]
            axes.plot(*zip(*points), marker="o", markersize=3, label=name, linewidth=2.5 if name == "none" else 1.2)
        axes.set(xscale="log", yscale="log", xlabel="bytes", ylabel=UNITS[kind], title=layout)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        picture.tight_layout()
        picture.savefig(Path(sys.argv[2]) / f"{layout}-{kind}.svg")
        plt.close(picture)


if __name__ == "__main__":
    main()
