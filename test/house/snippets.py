"""
The C that a document prints: blocks that begin with «```c». One with a main is a complete program,
whose first line names it, and what it needs beside this library: «made with $(pkg-config … NAME)».
Of the others the first is how the file of every other begins, if it includes something; one without
a function of its own stands inside one.
"""

import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading

import tap

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-Wno-unused-function']
PATIENCE = 120  # seconds; bounds a hang only


def slug(title):
    """What a heading is linked by."""
    return re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-')


class Document:
    def __init__(self, path):
        self.path = path
        self.text = path.read_text()
        blocks = re.findall(r'^```c\n(.*?)^```$', self.text, re.M | re.S)
        self.programs = [text for text in blocks if re.search(r'^int main\(', text, re.M)]
        self.snippets = [text for text in blocks if text not in self.programs]
        prose = re.sub(r'^```.*?^```$', '', self.text, flags=re.M | re.S)
        self.anchors = [slug(title) for title in re.findall(r'^#+ (.*)$', prose, re.M)]
        self.links = re.findall(r'\]\(([^)]*)\)', re.sub(r'`[^`\n]*`', '', prose))

    def takeBeginning(self):
        """The first snippet, if it is how the others begin, and is then none of them."""
        if self.snippets and '#include' in self.snippets[0]:
            return self.snippets.pop(0)
        return None


def nameOf(program):
    found = re.match(r'/\* ([\w-]+)\.c: ', program)
    return found[1] if found else 'nameless'


class Compiler:
    def __init__(self, root, library, sanitize, command):
        self.root, self.library, self.command = root, library, command
        self.sanitizer = [] if sanitize == 'none' else [f'-fsanitize={sanitize}']
        self.folder = tempfile.TemporaryDirectory(prefix='fastsocket-snippets-')

    def place(self, name):
        return pathlib.Path(self.folder.name) / name

    def compileSnippet(self, beginning, text):
        if not re.search(r'^static ', text, re.M):
            text = f"void snippet(void);\nvoid snippet(void)\n{{\n{text}}}\n"
        source = self.place('snippet.c')
        source.write_text(beginning + text)
        tap.run([*self.command, '-std=c11', *WARNINGS, f'-I{self.root / "include"}', '-c', source,
                 '-o', source.with_suffix('.o')])

    def compileProgram(self, text):
        source = self.place(f'{nameOf(text)}.c')
        source.write_text(text)
        foreign = re.search(r'\$\(pkg-config --cflags --libs (\S+)\)', text)
        flags = []
        if foreign:
            if subprocess.run(['pkg-config', '--exists', foreign[1]]).returncode != 0:
                raise tap.Skip(f"{foreign[1]} is missing")
            flags = tap.run(['pkg-config', '--cflags', '--libs', foreign[1]]).split()
        if '#include <Ring/' in text:
            flags = [*self.sanitizer, f'-I{self.root / "include"}', self.library,
                     f'-Wl,-rpath,{self.library.parent}', *flags]
        tap.run([*self.command, *WARNINGS, source, *flags, '-pthread', '-o',
                 source.with_suffix('')])
        return source.with_suffix('')


class Running:
    """A program as a child process; as a context it must end by itself with status 0."""

    def __init__(self, *words, stdin=subprocess.DEVNULL, **environment):
        self.process = subprocess.Popen([str(word) for word in words], stdin=stdin,
                                        stdout=subprocess.PIPE, env={**os.environ, **environment})

    def readLine(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, "the program says nothing"
        return self.process.stdout.readline()

    def readPort(self):
        return int(re.fullmatch(rb'port (\d+)\n', self.readLine())[1])

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                assert self.process.wait(PATIENCE) == 0, f"exit status {self.process.returncode}"
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def connectTo(port):
    return socket.create_connection(('127.0.0.1', port), timeout=PATIENCE)


def exchange(port, data):
    """Sends data while it reads, and expects the same."""
    with connectTo(port) as client:
        writer = threading.Thread(target=lambda: (client.sendall(data),
                                                  client.shutdown(socket.SHUT_WR)), daemon=True)
        writer.start()
        received = client.makefile('rb').read()
        writer.join(PATIENCE)
    assert received == data, f"{len(received)} of {len(data)} bytes, or others"
