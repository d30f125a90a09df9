"""libabigail's dumps of a library's types, and their comparison."""

import re
import subprocess
import xml.etree.ElementTree as tree

import place as places
import policy
import tap
import words

ABIDW = ['abidw', '--no-corpus-path', '--no-comp-dir-path', '--no-show-locs', '--no-elf-needed',
         '--no-parameter-names', '--no-write-default-sizes', '--type-id-style', 'hash', '--drop-private-types',
         '--drop-undefined-syms']


def need():
    places.needTool('abidw', 'abigail-tools')


def dump(place, library, include):
    """The path of a library's dump, with the headers in include as its public ones."""
    own = publicTypes(include)
    inputs = [library, *sorted(include.glob('Ring/*.h'))]

    def make(work):
        text = tap.run([*ABIDW, '--headers-dir', str(include), str(library)])
        (work / 'dump.xml').write_text(normalised(text, own))
    return place.made('dump.xml', inputs, make)


def publicTypes(include):
    """The tags that the headers give a body."""
    found = set()
    for path in include.glob('Ring/*.h'):
        found |= set(re.findall(r'\b(?:struct|union|enum)\s+(\w+)\s*\{', path.read_text()))
    return found


def normalised(text, own):
    """
    Without directories; and with the system's types as mere names: what FILE or struct msghdr consist
    of is the C library's promise, and differs between its versions.
    """
    root = tree.fromstring(text)
    for unit in root.iter('abi-instr'):
        if 'path' in unit.attrib:
            unit.set('path', unit.get('path').rpartition('/')[2])
    for kind in ('class-decl', 'union-decl'):
        for node in list(root.iter(kind)):
            if node.get('name') not in own and node.get('is-anonymous') != 'yes':
                for child in list(node):
                    node.remove(child)
                node.attrib.pop('size-in-bits', None)
                node.set('is-declaration-only', 'yes')
    return tree.tostring(root, encoding='unicode') + '\n'


def format(path):
    """The version of a dump's format."""
    return re.search(r"<abi-corpus\b[^>]*\bversion=['\"]([\d.]+)", path.read_text()).group(1)


def hasTypes(path):
    return '<function-decl' in path.read_text() or '<var-decl' in path.read_text()


def cutBack(old, new):
    """The new dump's text, its growing structs without the fields that were appended."""
    then, now = tree.parse(old).getroot(), tree.parse(new).getroot()
    for name in policy.GROWING:
        known = [node for node in then.iter('class-decl') if node.get('name') == name and len(node)]
        if not known:
            continue
        for node in now.iter('class-decl'):
            if node.get('name') == name and len(node) > len(known[0]) and \
                    shape(node)[:len(known[0])] == shape(known[0]):
                for child in list(node)[len(known[0]):]:
                    node.remove(child)
                node.set('size-in-bits', known[0].get('size-in-bits'))
    return tree.tostring(now, encoding='unicode')


def shape(node):
    """[(offset, field's name)] of a class."""
    return [(member.get('layout-offset-in-bits'), member.find('var-decl').get('name'))
            for member in node.iter('data-member')]


def compare(place, old, new):
    """What abidiff finds between two dumps: findings."""
    def make(work):
        (work / 'cut.xml').write_text(cutBack(old, new))
    cut = place.made('cut.xml', [old, new], make)
    result = subprocess.run(['abidiff', '--no-default-suppression', '--no-added-syms', str(old), str(cut)],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=places.PATIENCE)
    # Any status but 0: in 2.2 most breaks set only the bit «changed», not «incompatible».
    if result.returncode == 0:
        return []
    text = result.stdout + result.stderr
    subjects = re.findall(r"\[[ACD]\] '?[^']*?(\w+)(?:\(.*|\[.*)?'", text) or ['dump']
    return [words.Finding(
        subject, f"the types behind {subject}; libabigail says\n                  {words.shortened(excerpt(text, subject))}",
        "programs pass and read what the old types said; they would read or write other memory, or other meanings",
        words.ADD) for subject in dict.fromkeys(subjects)]


def excerpt(text, subject):
    """The lines of abidiff's report that belong to a subject, or all."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if re.search(rf"\[[ACD]\].*\b{subject}\b", line)), None)
    if start is None:
        return text
    depth = len(lines[start]) - len(lines[start].lstrip())
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > depth):
        end += 1
    return '\n'.join(lines[start:end])
