#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The completion for bash: every verb and option of the help texts, their values, and names of a live broker.

bash is driven as readline does it: the line is split into words, also at = : and @, the function that `complete` was
told of is called, and COMPREPLY is the answer.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import unittest

from ctlcase import BROKERCTL, DEADLINE, OK, USAGE, Case

HERE = pathlib.Path(__file__).resolve().parent
LOADER = HERE.parent.parent / "etc/bash-completion/brokerctl"

DRIVER = """
. "$LOADER" || exit 3
read -r _ _ function command < <(complete -p brokerctl)
[ "$command" = brokerctl ] || exit 4
COMP_CWORD=$(($# - 1)) COMP_WORDS=("$@") COMP_POINT=${#COMP_LINE}
"$function" brokerctl "${@: -1}"
[ ${#COMPREPLY[@]} = 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""


def split(line):
    """As readline does with bash's COMP_WORDBREAKS."""
    words = re.findall(r"[^\s=:@]+|[=:@]+", line)
    return words + [""] if line[-1].isspace() else words


@unittest.skipUnless(shutil.which("bash"), "bash is missing")
class Completion(Case):
    def complete(self, line, program=None, env=()):
        """Return: what is offered for the end of the line, sorted."""
        place = os.path.dirname(BROKERCTL)
        environment = os.environ | {"PATH": place + ":" + os.environ["PATH"], "LOADER": str(LOADER), "COMP_LINE": line,
                                    "BROKERCTL_SOCKET": self.path, "HOME": self.dir} | dict(env)
        words = split(line)
        done = subprocess.run(["bash", "--norc", "-u", "-c", DRIVER, "bash", program or words[0], *words[1:]],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE, env=environment,
                              cwd=self.dir, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""), line)
        return sorted(set(done.stdout.decode().splitlines()))

    def help(self, *args):
        return self.ctl(*args, socket_path=False)[1].decode()

    def verbs(self):
        text = self.help("--help")
        return list(dict.fromkeys(re.findall(r"(?m)^  ([a-z]+) ", text[:text.index("Options:")])))

    def options(self, text):
        """Return: (letter or "", name, value or "") of each option that a help text lists."""
        return re.findall(r"(?m)^  (?:-(.),|   ) --([a-z-]+)(?: ([A-Z]+))?", text)


class Words(Completion):
    def test_every_verb_is_offered(self):
        verbs = self.verbs()
        self.assertGreaterEqual(len(verbs), 9)
        self.assertEqual(self.complete("brokerctl "), sorted(verbs))
        self.assertEqual(self.complete("brokerctl -q --timeout 3 "), sorted(verbs))
        self.assertEqual(self.complete("brokerctl help "), sorted(verbs))
        self.assertEqual(self.complete("brokerctl help p"), [verb for verb in sorted(verbs) if verb.startswith("p")])
        self.assertEqual(self.complete("brokerctl help ping "), [])

    def test_every_option_is_offered_with_its_verb(self):
        common = self.options(self.help("--help"))
        self.assertGreaterEqual(len(common), 6)
        for verb in self.verbs():
            want = set()
            for letter, name, _ in common + self.options(self.help("help", verb)):
                want |= {"--" + name} | ({"-" + letter} if letter else set())
            self.assertEqual(set(self.complete(f"brokerctl {verb} -")), want, verb)
            for word in want:
                self.assertIn(word, self.complete(f"brokerctl {verb} {word}"))
        self.assertIn("--socket", self.complete("brokerctl --"))
        self.assertNotIn("--sort", self.complete("brokerctl --"))

    def test_verbs_of_two_words(self):
        words = re.findall(r"(?m)^  config ([a-z]+) ", self.help("--help"))
        self.assertGreaterEqual(len(words), 4)
        self.assertEqual(self.complete("brokerctl config "), sorted(words))
        self.assertEqual(self.complete("brokerctl -q config re"), ["reload"])
        self.assertEqual(self.complete("brokerctl config reload --dr"), ["--dry-run"])
        self.assertEqual(self.complete("brokerctl config diff --dr"), [])
        self.assertEqual(self.complete("brokerctl config show --def"), ["--defaults"])
        pathlib.Path(self.dir, "here.yaml").touch()
        self.assertEqual(self.complete("brokerctl config check he"), ["here.yaml"])
        self.assertEqual(self.complete("brokerctl log d"), ["debug"])
        self.assertEqual(self.complete("brokerctl explain p"), ["psubscribe", "publish"])

    def test_the_verb_is_found_among_options(self):
        self.assertEqual(self.complete("brokerctl -s clients sub --c"), ["--color", "--count"])
        self.assertEqual(self.complete("brokerctl --socket=ping sub --c"), ["--color", "--count"])
        self.assertEqual(self.complete("brokerctl -s @ping sub --c"), ["--color", "--count"])
        self.assertEqual(self.complete("brokerctl sub -n 3 --c"), ["--color", "--count"])
        self.assertEqual(self.complete("brokerctl -- sub --c"), [])

    def test_values_of_sort_are_those_that_are_taken(self):
        sorted_verbs = [verb for verb in self.verbs() if "sort" in {o[1] for o in self.options(self.help("help", verb))}]
        self.assertIn("clients", sorted_verbs)
        self.start_brokerd()
        for verb in sorted_verbs:
            keys = self.complete(f"brokerctl {verb} --sort ")
            self.assertGreaterEqual(len(keys), 2, verb)
            self.assertEqual(self.complete(f"brokerctl {verb} --sort="), keys)
            self.assertEqual(self.complete(f"brokerctl {verb} --sort={keys[0][:2]}"),
                             [key for key in keys if key.startswith(keys[0][:2])])
            user = ["--user", str(os.getuid())] if verb == "kill" else []
            error = self.ctl(verb, "--sort", "no-such-key", *user)
            self.assertEqual(error[0], USAGE)
            for key in keys:
                self.assertIn(key, error[2])
        for key in self.complete("brokerctl clients --sort "):
            self.assertEqual(self.ctl("clients", "--sort", key)[0], OK)
        listed = re.search(r"but by ([a-z, ]+)", self.ctl("clients", "--sort", "no-such-key")[2])[1]
        self.assertEqual(self.complete("brokerctl clients --sort "), sorted(re.split(", *", listed)))

    def test_values_that_are_words(self):
        self.assertEqual(self.complete("brokerctl status --color "), ["always", "auto", "never"])
        self.assertEqual(self.complete("brokerctl --color=a"), ["always", "auto"])
        self.assertIn("root", self.complete("brokerctl clients --user roo"))
        self.assertEqual(self.complete("brokerctl sub -n "), [])

    def test_files_stand_where_files_belong(self):
        for name in "here.sock", "here.prom", "there":
            pathlib.Path(self.dir, name).touch()
        self.assertEqual(self.complete("brokerctl -s he"), ["here.prom", "here.sock"])
        self.assertEqual(self.complete("brokerctl --socket=the"), ["there"])
        self.assertEqual(self.complete("brokerctl metrics -o here.p"), ["here.prom"])
        self.assertEqual(self.complete("brokerctl he"), ["help"])

    def test_hidden_words_stay_hidden(self):
        self.assertNotIn("completion", self.help("help", "help") + self.help("--help"))
        self.assertEqual([w for w in self.complete("brokerctl help --") if "completion" in w], [])

    def test_the_script_is_clean(self):
        if not shutil.which("shellcheck"):
            self.skipTest("shellcheck is missing")
        script = self.ctl("help", "--completion", "bash", socket_path=False)[1]
        done = subprocess.run(["shellcheck", "-s", "bash", "-S", "warning", "-"], input=script, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, ""))

    def test_without_the_program_nothing_is_offered_and_nothing_said(self):
        done = subprocess.run(["bash", "--norc", "-c", f". {LOADER}; complete -p brokerctl"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env={"PATH": "/nonexistent"}, executable=shutil.which("bash"),
                              timeout=DEADLINE, check=False)
        self.assertEqual(done.stdout, b"")
        self.assertNotIn(b"brokerctl: command", done.stderr)


class Names(Completion):
    def test_channels_are_those_with_subscribers(self):
        self.start_brokerd()
        self.start_sub("orders:new", "orders:old", "or=x@y", "news", subscribed=4)
        self.assertEqual(self.complete("brokerctl pub "), ["news", "or=x@y", "orders:new", "orders:old"])
        self.assertEqual(self.complete("brokerctl pub or"), ["or=x@y", "orders:new", "orders:old"])
        self.assertEqual(self.complete("brokerctl sub news ne"), ["news"])
        # bash puts the answer in the place of what stands behind the colon
        self.assertEqual(self.complete("brokerctl pub orders:n"), ["new"])
        self.assertEqual(self.complete("brokerctl pub orders:"), ["new", "old"])
        self.assertEqual(self.complete("brokerctl pub or=x@"), ["y"])
        self.assertEqual(self.complete("brokerctl pub news "), [])

    def test_a_name_that_another_chose_runs_nothing(self):
        self.start_brokerd()
        evil = ["$(touch pwned)", "`touch pwned`", "a b", "x'y", "-rf", "~root", "", "ok", "é", "a\nb", 'a"b', "a;b"]
        self.start_sub("--", *evil, subscribed=len(evil))
        self.assertEqual(self.complete("brokerctl pub "), ["ok"])
        self.assertFalse(os.path.exists(os.path.join(self.dir, "pwned")))

    def test_clients_and_shards_are_asked_for(self):
        self.start_brokerd()
        self.start_sub("x")
        ids = [str(client) for client in self.ids()]
        self.assertEqual(len(ids), 1)
        self.assertIn(ids[0], self.complete("brokerctl kill "))
        self.assertIn(ids[0], self.complete("brokerctl kill -y " + ids[0][:1]))
        self.assertEqual(self.complete("brokerctl clients --shard "), ["0", "1", "2"])
        self.assertEqual(self.complete("brokerctl kill --shard="), ["0", "1", "2"])

    def ids(self):
        return [c["id"] for c in json.loads(self.ctl("clients", "--json")[1])["clients"] if c["cmd"] == "subscribe"]

    def test_the_socket_of_the_line_is_asked(self):
        self.start_brokerd()
        self.start_sub("x-of-this")
        elsewhere = {"BROKERCTL_SOCKET": "/nonexistent"}
        for words in f"-s {self.path}", f"--socket={self.path}", f"-s{self.path}", "-s ~/sock", "--socket ~/sock":
            self.assertEqual(self.complete(f"brokerctl {words} pub ", env=elsewhere), ["x-of-this"], words)
        self.assertEqual(self.complete("brokerctl pub ", env=elsewhere), [])
        self.assertEqual(self.complete("brokerctl pub ", program=BROKERCTL), ["x-of-this"])

    def test_a_silent_broker_is_not_waited_for(self):
        self.start_fake("silent")
        begun = time.monotonic()
        self.assertEqual(self.complete("brokerctl pub "), [])
        self.assertLess(time.monotonic() - begun, 5)  # the answer of a busy machine; without a bound it is 5 s and more
        begun = time.monotonic()
        status, out, err = self.ctl("-t", "60", "help", "--completion", "clients")
        self.assertEqual((status, out), (5, b""))
        self.assertIn("within 0.1 s", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
