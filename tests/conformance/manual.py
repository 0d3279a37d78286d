# SPDX-License-Identifier: MIT
"""
brokerd-protocol(7) and the suite say the same: every command has its item, every intended difference is listed
with its reason, and no difference is listed that no case shows.
"""

import re


def items(text, section):
    """{tag: text behind it} of the items of a section."""
    found = re.search(rf'^\.Sh "?{section}"?$(.*?)(?=^\.Sh |\Z)', text, re.M | re.S)
    out = {}
    tag = None
    for line in (found.group(1) if found else "").split("\n"):
        if line.startswith(".It "):
            tag = line[4:].strip()
            out[tag] = ""
        elif line.startswith((".El", ".Bl", ".Ss")):
            tag = None
        elif tag is not None:
            out[tag] += line + "\n"
    return out


def commands_of(text):
    """The names of commands that the items of COMMANDS begin with."""
    names = set()
    for tag in items(text, "COMMANDS"):
        for one in re.split(r" , Cm | ;Cm ", re.sub(r"^Cm ", "", tag)):
            words = []
            for word in one.split():
                if not re.fullmatch(r"[A-Z-]+", word):
                    break
                words.append(word.lower())
            names.add("|".join(words[:2]))
            names.add(words[0] if words else "")
    return names


def check(name, cases, found):
    """Complaints as (what, text)."""
    with open(name, encoding="utf-8") as file:
        text = file.read()
    shown = {case.difference for case in cases if case.difference}
    listed = items(text, "DIFFERENCES FROM REDIS")
    out = []
    for tag in sorted(shown - set(listed)):
        out.append((f"the difference '{tag}'", f"cases show it, {name} does not list it"))
    for tag in sorted(set(listed) - shown):
        out.append((f"the difference '{tag}'", f"{name} lists it, no case shows it"))
    for tag in sorted(tag for tag in listed if not listed[tag].strip()):
        out.append((f"the difference '{tag}'", f"{name} gives no reason"))
    documented = commands_of(text)
    for command in sorted(name for name in set(found) - documented if not name.endswith("|help")):
        out.append((f"the command '{command}'", f"{name} does not describe it"))
    return out
