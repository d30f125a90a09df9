"""What the gate says: what changed, what it would break, what to do instead; and the waivers."""

import re
import sys
from typing import NamedTuple

ENGINES = ['io_uring', 'epoll']

ADD = "leave it as it was and add what you need under a new name, in a new version node (abi/README.md, «To add a function»)"
KEEP = "put it back; what is public stays for as long as the soname does (abi/README.md, «The policy»)"
VERSION = "keep the old behaviour for old programs, under its own symbol version (abi/README.md, «To change behaviour»)"
NODE = "give it to the node of the release to come, and leave the released node alone (abi/README.md, «To add a function»)"
APPEND = "append fields at the end, of type uint64_t; never move or change those that are there"
BUILD = "put the flag back; it belongs to what programs and distributions rely on"
SAME = "make them agree"


class Finding(NamedTuple):
    subject: str  # what a waiver names
    changed: str
    breaks: str
    instead: str


def readWaivers(root):
    """{(release, check, subject): reason} of abi/waivers."""
    waivers = {}
    path = root / 'abi' / 'waivers'
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.startswith('#'):
            words = line.split(maxsplit=3)
            assert len(words) == 4, f"abi/waivers:{number}: not RELEASE CHECK SUBJECT REASON: {line}"
            waivers[tuple(words[:3])] = words[3]
    return waivers


def readSettled(root):
    """{(release, engine, case): reason} of abi/settled."""
    found = {}
    for number, line in enumerate((root / 'abi' / 'settled').read_text().splitlines(), 1):
        if line.strip() and not line.startswith('#'):
            words = line.split(maxsplit=3)
            assert len(words) == 4, f"abi/settled:{number}: not RELEASE ENGINE CASE REASON: {line}"
            for engine in ENGINES if words[1] == 'both' else [words[1]]:
                found[words[0], engine, words[2]] = words[3]
    return found


def judge(root, release, check, findings):
    """Fails with the findings that no waiver allows, in words."""
    waivers = readWaivers(root)
    told = []
    for finding in dict.fromkeys(findings):
        reason = waivers.get((release, check, finding.subject))
        if reason is not None:
            print(f"# waived: {release} {check} {finding.subject}: {reason}")
            continue
        told.append(f"  what changed    {finding.changed}\n"
                    f"  what breaks     {finding.breaks}\n"
                    f"  do instead      {finding.instead}\n"
                    f"  or, on purpose  the line «{release} {check} {finding.subject} REASON» in abi/waivers,\n"
                    f"                  or a new soname (abi/README.md, «To break on purpose»)\n")
    assert not told, "\n".join(told)


def shortened(text, lines=12):
    """The beginning of a tool's output."""
    kept = [line for line in text.splitlines() if line.strip()]
    more = [f"({len(kept) - lines} more lines)"] if len(kept) > lines else []
    return "\n                  ".join(kept[:lines] + more)


def identifier(text):
    """The last word of a text that is a C name, for a waiver's subject."""
    names = re.findall(r'[A-Za-z_]\w*', text)
    return names[-1] if names else 'unknown'


def note(text):
    """Something to know that is no failure."""
    print(f"# {text}")
    sys.stdout.flush()
