#!/usr/bin/env python3
"""Prints the name, version and licence texts of every crate in the program."""

import json
import pathlib
import subprocess
import sys

def crates(target):
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target]
    data = json.loads(subprocess.check_output(command))
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    reached, queue = set(), [data["resolve"]["root"]]
    while queue:
        here = queue.pop()
        for dep in nodes[here]["deps"]:
            # What only builds or tests it is not in the program.
            linked = any(kind["kind"] is None for kind in dep["dep_kinds"])
            if linked and dep["pkg"] not in reached:
                reached.add(dep["pkg"])
                queue.append(dep["pkg"])
    return sorted((packages[one] for one in reached), key=lambda one: (one["name"], one["version"]))

def main():
    texts = {}
    for crate in crates(sys.argv[1]):
        title = f'{crate["name"]} {crate["version"]} ({crate["license"]})'
        home = pathlib.Path(crate["manifest_path"]).parent
        files = sorted(path for path in home.iterdir() if path.is_file()
                       and path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE")))
        for path in files:
            texts.setdefault(path.read_text(errors="replace").strip(), []).append(title)
        if not files:
            texts.setdefault("(The crate comes without the text of its licence.)", []).append(title)
    for text, titles in texts.items():
        print("\n".join(titles), "", text, "", "-" * 72, sep="\n")

main()
