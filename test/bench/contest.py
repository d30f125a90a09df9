"""
What a row of the bench is, and how one round of it is run. Rows are data: rows.py has those whose
load is bench-load; other files add theirs by a list of Row, see README.md.
"""

import dataclasses
import json
import os
import pathlib
import select
import shlex
import subprocess
import typing

START = 30  # seconds in which a server must tell its port
SPARE = 60  # seconds beyond the measured ones before a load is killed


class Failed(Exception):
    """A server that died, or a load that refused it: the only things that fail a bench."""


@dataclasses.dataclass
class Contender:
    """A server in a row. command and load are words, in which {bin} is the folder of programs and
    {cpu} the server's processor; load is added to the row's."""
    name: str
    command: str
    load: str = ''
    base: str = ''  # whom it is compared with, if not with the row's base


def readLoad(output):
    """Results of bench-load: the last line is JSON."""
    return json.loads(output.strip().splitlines()[-1])


@dataclasses.dataclass
class Row:
    name: str
    title: str
    contenders: list
    base: str
    # Words: {bin}, {port}, {process} (the server's), {cpu} (the load's), {seconds}, {warm}. Empty:
    # the contenders are no servers; each runs by itself and its own output is read.
    load: str = ''
    # From the load's standard output to numbers by name. What the kernel's clock says of the server
    # beside this is in «spent», CPU nanoseconds from its start to the end of the load.
    read: typing.Callable = readLoad
    figure: str = 'cpu'      # which of these numbers is compared
    unit: str = 'ns'         # its unit, for the table
    moreIsBetter: bool = False
    oneCore: bool = False    # load and server share a processor
    target: dict = dataclasses.field(default_factory=dict)  # contender: the ratio it should have
    bound: dict = dataclasses.field(default_factory=dict)   # contender: what its figure should be
    short: bool = True       # part of the short form
    needs: str = ''          # a program that must be installed for the load, or the row is left out
    words: dict = dataclasses.field(default_factory=dict)   # more of them, for load and commands


def processorsOf(row):
    """(the server's, the load's): two different ones if there are."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[0] if row.oneCore else allowed[-1]


def takeTurns():
    """Of two processes on one processor none takes it from the other before that waits: else it
    would be chance how much there is to do at once. SCHED_BATCH is not quite that: where a thread
    of the system's interrupts the one, the other may go on after it, and a run finds 5 messages in
    a turn or 64, as chance has it. Runs in the child."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def before(row):
    return takeTurns if row.oneCore else None


class Server:
    """A fresh process, which says its port in its first line."""

    def __init__(self, command, prepare=None):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, preexec_fn=prepare)
        try:
            self.port = self.readPort(command)
        except BaseException:
            self.stop()
            raise

    def readPort(self, command):
        ready, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline() if ready else b''
        if not line.strip().isdigit():
            self.process.kill()
            raise Failed(f"{command[0]} told no port: {self.process.stderr.read().decode()[-300:]}")
        return int(line)

    def spent(self):
        """CPU nanoseconds."""
        status = pathlib.Path(f'/proc/{self.process.pid}/stat').read_text()
        fields = status.rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf('SC_CLK_TCK')

    def stop(self):
        """Ends it; returns what it said if it had ended before."""
        died = self.process.poll()
        self.process.kill()
        _, errors = self.process.communicate()
        return f"exit status {died}: {errors.decode()[-300:]}" if died is not None else ''


def runLoad(command, seconds, prepare=None):
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=seconds + SPARE, check=False, preexec_fn=prepare)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} didn't end") from None
    if result.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {result.returncode}: "
                     f"{(result.stderr or result.stdout)[-300:]}")
    return result.stdout


def runOnce(row, contender, binaries, seconds, warm):
    """The numbers of one contender in one round."""
    serverCpu, loadCpu = processorsOf(row)
    words = {'bin': binaries, 'seconds': seconds, 'warm': warm, **row.words}
    command = shlex.split(contender.command.format(cpu=serverCpu, **words))
    if not row.load:
        return row.read(runLoad(command, seconds))
    server = Server(command, before(row))
    try:
        load = f'{row.load} {contender.load}'.format(cpu=loadCpu, port=server.port,
                                                     process=server.process.pid, **words)
        results = row.read(runLoad(shlex.split(load), seconds + warm, before(row)))
        return {**results, 'spent': server.spent()}
    except (Failed, OSError) as failure:
        died = server.stop()
        raise Failed(f"{contender.name}: {failure}{' (server: ' + died + ')' if died else ''}")
    finally:
        server.stop()


def checkRows(rows):
    """Each row's bases and targets are contenders of it, and the names are told apart."""
    names = [row.name for row in rows]
    assert len(set(names)) == len(names), names
    for row in rows:
        contenders = {each.name for each in row.contenders}
        wanted = {row.base, *row.target, *row.bound,
                  *(each.base for each in row.contenders if each.base)}
        assert wanted <= contenders, (row.name, wanted - contenders)
