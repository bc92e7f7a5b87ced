"""Runs the leaderboard in DuckDB on the rows that benches/usage/duck.rs wrote.

Prints its version, the best CPU milliseconds of each window, and each user's
CPU time, uptime and instances in it.
"""

import pathlib
import sys
import time

import duckdb
import numpy

QUERY = """
    SELECT user_id, sum(uptime * cpu)::BIGINT AS cpu_seconds, sum(uptime)::BIGINT, count(*)
    FROM (SELECT user_id, cpu, least(ended, {end}) - greatest(created, {start}) AS uptime
          FROM narrow WHERE created < {end} AND ended > {start} AND ended > created)
    GROUP BY user_id ORDER BY cpu_seconds DESC
"""


def main(scratch):
    print("version", duckdb.__version__)
    columns = {name: numpy.fromfile(scratch / name, dtype="<u4") for name in ("created", "ended", "user_id")}
    columns["cpu"] = numpy.fromfile(scratch / "cpu", dtype="u1")
    base = duckdb.connect()
    base.execute("""
        CREATE TABLE narrow AS
        SELECT user_id::INTEGER AS user_id, cpu::INTEGER AS cpu, created::BIGINT AS created, ended::BIGINT AS ended
        FROM columns
    """)
    windows = [line.split() for line in (scratch / "windows").read_text().splitlines()]
    for name, start, end in windows:
        query, best = QUERY.format(start=int(start), end=int(end)), float("inf")
        # The least CPU is the yardstick, not the least time.
        for threads in (1, 2):
            base.execute(f"SET threads = {threads}")
            for _ in range(5):
                before = time.process_time()
                rows = base.execute(query).fetchall()
                best = min(best, time.process_time() - before)
        print("best", name, best * 1000)
        for row in rows:
            print(name, *row)


main(pathlib.Path(sys.argv[1]))
