"""Reading the project's C sources and version script, as far as the house tests need it."""

import functools
import re


@functools.lru_cache(1000)
def withoutComments(text):
    return re.sub(r'/\*.*?\*/|//[^\n]*', ' ', text, flags=re.S)


def withoutLineEnds(text):
    """Lines that a backslash continues as one."""
    return text.replace('\\\n', ' ')


@functools.lru_cache(1000)
def includesOf(text):
    """The (opening quote or bracket, file) of each #include."""
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', withoutComments(text), re.M)


def declaredFunctions(text):
    """The functions that a public header declares."""
    text = re.sub(r'^[ \t]*#.*?(?<!\\)$', '', withoutComments(text), flags=re.M | re.S)
    text = re.sub(r'extern\s+"C"\s*\{', '', text)
    text = re.sub(r'struct\s+\w+\s*\{[^}]*\}', 'struct', text)
    names = []
    for statement in text.split(';'):
        match = re.search(r'\b(\w+)\s*\(', statement)
        if match and 'typedef' not in statement:
            names.append(match.group(1))
    return names


def flatten(text):
    """A declaration on one line, without the space that its breaks leave."""
    return re.sub(r'(?<=\() | (?=[),])', '', ' '.join(text.split()))


class Declaration:
    """A function or a function's type of a public header, with the comment that promises it."""

    def __init__(self, name, text, comment, section):
        self.name, self.text, self.comment, self.section = name, text, comment, section
        self.isType = text.startswith('typedef')


def readHeader(text):
    """A public header's ([Declaration], [(section, comment of no declaration)]). Sections are
    numbered from 0, which is what stands before the first; declarations that follow each other
    share a comment."""
    declarations, others = [], []
    section, comment, fresh = 0, '', False
    for part in re.finditer(
        r'^[ \t]*#.*?(?<!\\)$|/\*.*?\*/|extern\s+"C"|struct\s+\w+\s*\{[^}]*\}|[^;{}/#]+;',
                            text, re.M | re.S):
        word = part[0].strip()
        if fresh and (word.startswith(('/*', '#', 'extern')) or '{' in word):
            others.append((section, comment))
            comment, fresh = '', False
        if word.startswith('/* ----'):
            section, comment = section + 1, ''
        elif word.startswith('/*'):
            comment, fresh = word, True
        elif name := re.search(r'\(\*(\w+)\)|(\w+)\(',
                               withoutComments(word)) if word.endswith(';') else None:
            declarations.append(Declaration(name[1] or name[2], flatten(word), comment, section))
            fresh = False
        else:
            comment, fresh = '', False
    return declarations, others


def versionNodes(text):
    """The nodes of a version script: {node: {'global': [...], 'local': [...]}}."""
    nodes = {}
    for name, body in re.findall(r'([\w.]+)\s*\{([^}]*)\}', withoutComments(text)):
        section = 'global'
        node = nodes.setdefault(name, {'global': [], 'local': []})
        for word in re.findall(r'global:|local:|[^\s;]+', body):
            if word in ('global:', 'local:'):
                section = word[:-1]
            else:
                node[section].append(word)
    return nodes
