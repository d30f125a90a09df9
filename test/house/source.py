"""Reading the project's C sources and version script, as far as the house tests need it."""

import re


def withoutComments(text):
    return re.sub(r'/\*.*?\*/|//[^\n]*', ' ', text, flags=re.S)


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
