# SPDX-License-Identifier: MIT
"""
Case files: text to cases, as the README describes. Nothing is sent or received here.

A template is a string of the file with its escapes and braces read: a list of parts, each literal bytes, a Var, a
Repeat or a Hole. Without holes it gives bytes; with holes, a regular expression whose groups become variables.
"""

import glob
import os
import re

KINDS = {"int": rb"-?\d+", "word": rb"[^ \r\n]*", "line": rb"[^\r\n]*", "any": rb"(?s:.*?)", "float": rb"\d+\.\d+",
         "hex40": rb"[0-9a-f]{40}"}
ESCAPES = {"n": 10, "r": 13, "t": 9, "a": 7, "b": 8, "0": 0}
DEFAULT_STEPS = "steps"


class Malformed(Exception):
    """The case file is wrong, not the server."""


class Var:
    def __init__(self, name):
        self.name = name


class Repeat:
    def __init__(self, unit, times):
        self.unit = unit
        self.times = times


class Hole:
    def __init__(self, kind, name):
        self.kind = kind
        self.name = name


def _brace(text):
    found = re.fullmatch(r"\$(\w+)", text)
    if found:
        return Var(found.group(1))
    found = re.fullmatch(r"(.+)\*(\$?\w+)", text, re.S)
    if found:
        return Repeat(b"".join(template(found.group(1))), found.group(2))
    found = re.fullmatch(r"(?:(\w+):)?(\w+)", text)
    if found and found.group(2) in KINDS:
        return Hole(found.group(2), found.group(1))
    if re.fullmatch(r"[^{}]*(\|[^{}]*)+", text):
        return Hole("|".join(re.escape(one) for one in text.split("|")).encode(), None)
    raise Malformed(f"{{{text}}} is no placeholder")


def template(text):
    """The parts of a string with escapes and braces."""
    parts = []
    out = bytearray()
    i = 0
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text):
            if text[i + 1] == "x":
                out.append(int(text[i + 2:i + 4], 16))
                i += 4
                continue
            out += bytes([ESCAPES[text[i + 1]]]) if text[i + 1] in ESCAPES else text[i + 1].encode()
            i += 2
        elif text[i] == "{":
            end = text.index("}", i)
            parts += [bytes(out), _brace(text[i + 1:end])]
            out = bytearray()
            i = end + 1
        else:
            out += text[i].encode()
            i += 1
    return parts + [bytes(out)]


def has_holes(parts):
    return any(isinstance(p, Hole) for p in parts)


def _plain(part, variables):
    if isinstance(part, bytes):
        return part
    if isinstance(part, Var):
        if part.name not in variables:
            raise Malformed(f"{{${part.name}}} has no value here")
        return variables[part.name]
    times = variables[part.times[1:]] if part.times.startswith("$") else part.times
    return part.unit * int(times)


def render(parts, variables):
    """The bytes of a template without holes."""
    if has_holes(parts):
        raise Malformed("a placeholder of a kind cannot be sent")
    return b"".join(_plain(p, variables) for p in parts)


def regex(parts, variables):
    """The pattern of a template with holes."""
    out = b""
    for part in parts:
        if isinstance(part, Hole):
            kind = part.kind if isinstance(part.kind, bytes) else KINDS[part.kind]
            out += b"(?P<" + part.name.encode() + b">" + kind + b")" if part.name else b"(?:" + kind + b")"
        else:
            out += re.escape(_plain(part, variables))
    return re.compile(out)


# ---------------------------------------------------------------- lines of a case

WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|((?:[^\s"\\]|\\.)+))')
TOKEN = re.compile(r"""\s*(?:
        (?P<verbatim>=)?"(?P<bulk>(?:[^"\\]|\\.)*)"
      | (?P<sign>[-+])"(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<rest>[-+].*)
      | (?P<open>\*\.\.\.)
      | (?P<header>[*>%~](?:-1|\d+))
      | (?P<null>_\*?)(?=\s|$)
      | (?P<bool>\#[tf])
      | (?P<null2>\$-1)
      | :(?P<int>\S+)
      | ,(?P<double>\S+)
      | (?P<value>\{value\})
    )""", re.X)


def words(text):
    """The arguments of a request line, as templates."""
    out = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = WORD.match(text, at)
        if not found:
            raise Malformed(f"cannot read the words of {text!r}")
        out.append(template(found.group(1) if found.group(1) is not None else found.group(2)))
        at = found.end()
    return out


def tokens(text):
    """What an expectation is made of: (kind, template or text) each."""
    out = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise Malformed(f"cannot read the values of {text[at:]!r}")
        kind = found.lastgroup
        if kind == "bulk":
            out.append(("verbatim" if found.group("verbatim") else "bulk", template(found.group("bulk"))))
        elif kind == "quoted":
            out.append(("line", template(found.group("sign") + found.group("quoted"))))
        elif kind == "rest":
            out.append(("line", template(found.group("rest"))))
        elif kind == "int":
            out.append(("line", template(":" + found.group("int"))))
        elif kind == "double":
            out.append(("line", template("," + found.group("double"))))
        else:
            out.append(({"null2": "exact", "bool": "exact"}.get(kind, kind), found.group(kind)))
        at = found.end()
    return out


class Step:
    """verb: send, raw, expect, raw-expect, any-order, eof, quiet, close, shut, resp2, resp3."""

    def __init__(self, line, who, verb, content=None):
        self.line = line
        self.who = who
        self.verb = verb
        self.content = content


class Case:
    def __init__(self, file, line, title):
        self.file = file
        self.line = line
        self.title = title
        self.protos = [2]
        self.needs = []  # (operator, version)
        self.differs = None
        self.only = None
        self.split = False
        self.each = None  # (variable, values)
        self.steps = []
        self.brokerd_steps = None

    @property
    def difference(self):
        return self.differs or self.only

    def where(self, step=None):
        return f"{os.path.basename(self.file)}:{step.line if step else self.line}"


STEP = re.compile(r"([A-Z])(?:(>>|>|<<|<\||<)(?: (.*)|$)| (eof|quiet|close|shut|resp2|resp3)$)")
VERBS = {">": "send", ">>": "raw", "<": "expect", "<<": "raw-expect", "<|": "any-order"}


def step_of(number, text):
    found = STEP.fullmatch(text)
    if not found:
        raise Malformed(f"no step, no mark: {text!r}")
    who, mark, rest, verb = found.groups()
    rest = rest or ""
    if verb:
        return Step(number, who, verb)
    if mark == ">":
        return Step(number, who, "send", words(rest))
    if mark in (">>", "<<"):
        return Step(number, who, VERBS[mark], template(rest))
    return Step(number, who, VERBS[mark], tokens(rest))


def _mark(case, text):
    """A line of the head. Return: whether it was one."""
    key, _, value = text.partition(":")
    value = value.strip()
    if re.fullmatch(r"redis\s*(>=|<)\s*[\d.]+", text):
        operator, version = re.search(r"(>=|<)\s*([\d.]+)", text).groups()
        case.needs.append((operator, tuple(int(n) for n in version.split("."))))
    elif key == "proto":
        case.protos = [int(n) for n in value.split()]
    elif key == "brokerd-differs":
        case.differs = value
    elif key == "brokerd-only":
        case.only = value
    elif key == "split" and value == "every byte":
        case.split = True
    elif re.fullmatch(r"for \w+", key):
        case.each = (key[4:], value.split())
    else:
        return False
    return True


def _finish(case):
    if case.differs and (case.brokerd_steps is None or not case.steps):
        raise Malformed("brokerd-differs needs steps, and others behind a line 'brokerd:'")
    if not case.differs and case.brokerd_steps is not None:
        raise Malformed("a line 'brokerd:' needs the mark brokerd-differs")
    if not case.steps:
        raise Malformed("no steps")
    return case


def read(name):
    """The cases of a file."""
    cases = []
    case = None
    target = None
    with open(name, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            text = text.rstrip("\n")
            try:
                if not text.strip() or text.startswith("#"):
                    continue
                if text.startswith("case:"):
                    case = Case(name, number, text[5:].strip())
                    cases.append(case)
                    target = case.steps
                elif case is None:
                    raise Malformed("before the first case")
                elif text == "brokerd:":
                    case.brokerd_steps = target = []
                elif target or not _mark(case, text):
                    target.append(step_of(number, text))
            except (Malformed, ValueError, KeyError) as error:
                raise Malformed(f"{name}:{number}: {error}") from None
    for one in cases:
        try:
            _finish(one)
        except Malformed as error:
            raise Malformed(f"{name}:{one.line}: {error}") from None
    return cases


def read_all(directory):
    cases = []
    for name in sorted(glob.glob(os.path.join(directory, "*.case"))):
        cases += read(name)
    seen = {}
    for case in cases:
        key = (case.file, case.title)
        if key in seen:
            raise Malformed(f"{case.where()}: the title is that of line {seen[key]} as well")
        seen[key] = case.line
    return cases
