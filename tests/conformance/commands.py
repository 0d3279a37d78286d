# SPDX-License-Identifier: MIT
"""
Every command of the server's own COMMAND, with too few and too many arguments, and in every state of a connection.

commands.table has a line for each command and subcommand: what it is sent to work, and what it answers. A command
without a line is a failure, and so is a line without a command.
"""

import casefile

COLUMNS = 4
ONLY = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"


class Row:
    def __init__(self, file, line, name, arguments, reply, flags):
        self.file = file
        self.line = line
        self.name = name
        self.arguments = arguments
        self.reply = reply
        self.flags = flags

    @property
    def words(self):
        return [word.upper() for word in self.name.split("|")]

    def needs(self):
        for flag in self.flags:
            if flag.startswith("redis>="):
                return [(">=", tuple(int(n) for n in flag[7:].split(".")))]
        return []


def read(name):
    rows = []
    with open(name, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if not text.strip() or text.startswith("#"):
                continue
            columns = [column.strip() for column in text.split(" | ")]
            if len(columns) not in (COLUMNS - 1, COLUMNS):
                raise casefile.Malformed(f"{name}:{number}: {len(columns)} columns")
            flags = columns[3] if len(columns) == COLUMNS else ""
            rows.append(Row(name, number, columns[0], "" if columns[1] == "-" else columns[1], columns[2],
                            [flag.strip() for flag in flags.split(",") if flag.strip()]))
    return rows


def known(client):
    """{name: arity} of all commands and subcommands that COMMAND tells of."""
    found = {}

    def take(entry):
        found[entry[0].decode()] = entry[1]
        for sub in entry[9] if len(entry) > 9 else []:
            take(sub)
    for entry in client.do("COMMAND"):
        take(entry)
    return found


class _Builder:
    """Makes cases of one command."""

    def __init__(self, row):
        self.row = row
        self.cases = []

    def case(self, title, steps, proto=2):
        case = casefile.Case(self.row.file, self.row.line, f"{self.row.name}: {title}")
        case.protos = [proto]
        case.steps = [casefile.step_of(self.row.line, text) for text in steps]
        self.cases.append(case)

    def request(self, arguments=None):
        return " ".join(["A>", *self.row.words, self.row.arguments if arguments is None else arguments])

    def flag(self, name):
        for flag in self.row.flags:
            if flag == name or flag.startswith(name + ":"):
                return flag[len(name) + 1:].strip() or True
        return None

    @property
    def error(self):
        """How a refusal begins: that of an EXEC ends the transaction as well."""
        return "-EXECABORT Transaction discarded because of:" if self.flag("aborts") else "-ERR"

    def works(self):
        end = ["A eof"] if self.flag("closes") else []
        switch = [f"A {self.flag('switches')}"] if self.flag("switches") else []
        before = [f"A> {self.flag('after')}", "A< +OK"] if self.flag("after") else []
        for proto in (2, 3):
            self.case(f"works in RESP{proto}", [*before, self.request(), *switch, f"A< {self.row.reply}", *end], proto)

    def arity(self, arity):
        wrong = []
        least = len(self.row.words)
        if abs(arity) - 1 >= least:
            wrong.append(abs(arity) - 1 - least)
        if arity > 0:
            wrong.append(arity + 1 - least)
        for n in wrong:
            self.case(f"with {n} arguments", [self.request(" ".join(["x"] * n)),
                                              f"A< {self.error} wrong number of arguments for '{self.row.name}' command"])

    def subscribed(self):
        """In RESP2 a connection with subscriptions may do little, in RESP3 everything."""
        for verb in ("subscribe", "psubscribe"):
            begin = [f"A> {verb} sub", f'A< >3 "{verb}" "sub" :1']
            if not self.flag("subscribed"):
                self.case(f"refused after {verb}", [
                    *begin, self.request(), f"A< {self.error} Can't execute '{self.row.name}': {ONLY}"])
            if not any(self.flag(name) for name in ("ends", "closes", "subscribed", "after")):
                self.case(f"works after {verb} in RESP3", [*begin, self.request(), f"A< {self.row.reply}"], 3)

    def queued(self):
        """Inside MULTI."""
        told = self.flag("multi")
        if told == "at once":
            return
        if told:
            self.case("refused inside MULTI", ["A> MULTI", "A< +OK", self.request(), f"A< {told}",
                                               "A> PING", "A< +QUEUED", "A> EXEC",
                                               "A< -EXECABORT Transaction discarded because of previous errors."])
            return
        self.case("queued inside MULTI", ["A> MULTI", "A< +OK", self.request(), "A< +QUEUED",
                                          "A> DISCARD", "A< +OK"])


def cases(rows, found, brokerd):
    """(cases, complaints) for the commands of the table; for brokerd the table must be of exactly its commands."""
    made = []
    complaints = []
    containers = {name.split("|")[0] for name in found if "|" in name}
    for row in rows:
        if row.name not in found:
            if brokerd:
                complaints.append((f"{row.name} in the table", "the server has no such command"))
            continue
        builder = _Builder(row)
        builder.arity(found[row.name])
        if row.reply != "container":
            if not builder.flag("ends"):
                builder.works()
            if not builder.flag("closes"):
                builder.subscribed()
            builder.queued()
        made += builder.cases
    if brokerd:
        named = {row.name for row in rows}
        for name in sorted(set(found) - named):
            what = "container" if name in containers else "command"
            complaints.append((f"{name} of the server", f"commands.table has no line for this {what}"))
    return made, complaints
