"""Breaks of the file and of the release's rules."""

from .edits import BUILD, SOCKET, addFunction, compileWith, link, macro


def soname(tree):
    tree.substitute(BUILD, r"^    soversion: '1'", "    soversion: '2'")


def needed(tree):
    link(tree, "'-Wl,--push-state,--no-as-needed,-lm,--pop-state'")


def executableStack(tree):
    link(tree, "'-Wl,-z,execstack'")


def lost(flag):
    return lambda tree: tree.replace(BUILD, f"    '{flag}',\n", '')


def relro(tree):
    tree.replace(BUILD, "    '-Wl,-z,relro',\n    '-Wl,-z,now',\n",
                 "    '-Wl,-z,norelro',\n    '-Wl,-z,now',\n")


def frozenFile(tree):
    name = 'abi/1.0.0/symbols'
    tree.write(name, tree.read(name).replace('AbortFastSocket', 'AbortFastSockets'))


def frozenHeader(tree):
    """The break and its traces: a header changed, then and now."""
    macro(tree, 'FASTRING_OPTION_SPIN', '4')
    for name in ('include/Ring/FastRing.h', 'declarations', 'layout-x86_64.c'):
        path = f'abi/1.0.0/{name}'
        if (tree.root / path).exists():
            text = tree.read(path)
            tree.write(
                path,
                text.replace('FASTRING_OPTION_SPIN == 3u', 'FASTRING_OPTION_SPIN == 4u').replace(
                    'FASTRING_OPTION_SPIN: 3',
                    'FASTRING_OPTION_SPIN: 4').replace('FASTRING_OPTION_SPIN           3',
                                                       'FASTRING_OPTION_SPIN           4'))


def patchVersion(tree):
    tree.substitute(SOCKET, r'^#define FASTSOCKET_VERSION_PATCH .*',
                    '#define FASTSOCKET_VERSION_PATCH 7')


def news(tree):
    tree.replace('NEWS', f'libfastsocket {tree.version} ', 'libfastsocket 1.0.1 ')


def changelog(tree):
    tree.replace('debian/changelog', f'libfastsocket ({tree.version}-', 'libfastsocket (1.0.1-')


def consumerWrong(tree):
    tree.replace('abi/consumer/buffers.c', 'CHECK(GetFastBuffer(NULL) == NULL);',
                 'CHECK(GetFastBuffer(NULL) != NULL);')


def newNodeWithoutVersion(tree):
    tree.addNode('FASTSOCKET_1.9', ['CountFastBuffer'])
    addFunction(tree)


BREAKS = {
    'soname changed': soname,
    'library needs another one': needed,
    'link: -z now lost': lost('-Wl,-z,now'),
    'link: RELRO lost': relro,
    'link: -z nodelete lost': lost('-Wl,-z,nodelete'),
    'link: no dlopen': lambda tree: link(tree, "'-Wl,-z,nodlopen'"),
    'link: executable stack': executableStack,
    'link: path for the loader': lambda tree: link(tree, "'-Wl,-rpath,/opt/lib'"),
    'compile: stack protector lost': lambda tree: compileWith(tree, '-fno-stack-protector'),
    'compile: static thread-local storage': lambda tree: compileWith(tree,
                                                                     '-ftls-model=initial-exec'),
    'compile: no debug information': lambda tree: compileWith(tree, '-g0'),
    'version: header differs': patchVersion,
    'version: NEWS differs': news,
    'version: debian/changelog differs': changelog,
    'version: new node without a new version': newNodeWithoutVersion,
    'release without a frozen folder': lambda tree: tree.write(
        'NEWS',
        tree.read('NEWS') + '\nlibfastsocket 0.9.0 (2020-01-01)\n'),
    'consumer that expects something else': consumerWrong,
    'frozen file edited': frozenFile,
    'break, its traces in the frozen folder wiped': frozenHeader,
}
