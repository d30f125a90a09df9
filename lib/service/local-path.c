/*
 * The path of a listening socket of AF_UNIX: it stays in the file system when the socket is gone.
 *
 * Good path: the file is noted when the socket has just been bound to it, and removed before the
 * socket is closed. Another that somebody has put there meanwhile has another inode, and stays.
 *
 * One of a process that has died refuses connections, which tells it from one that is listened at.
 * Between that question and the removal another process may have done the same, and begun to
 * listen; so the inode is compared there, too, which leaves the time of two calls.
 */
#include "service/local-path.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* One of the full length has no zero behind it. */
static void copyPath(const struct sockaddr_un* name, struct FastLocalPath* path)
{
    memcpy(path->text, name->sun_path, sizeof(name->sun_path));
    path->text[sizeof(name->sun_path)] = '\0';
}

/* What it leads to now. false: to no socket. */
static bool look(const char* text, struct stat* status)
{
    return lstat(text, status) == 0 && S_ISSOCK(status->st_mode);
}

static bool isSame(const struct FastLocalPath* path)
{
    struct stat status;
    return look(path->text, &status) && status.st_dev == path->device &&
           status.st_ino == path->inode;
}

/* Of a path that leads nowhere any more there is nothing to be removed. */
static bool note(struct FastLocalPath* path, const struct sockaddr_un* name)
{
    struct stat status;
    copyPath(name, path);
    if (!look(path->text, &status)) {
        path->text[0] = '\0';
        return false;
    }
    path->device = status.st_dev;
    path->inode = status.st_ino;
    return true;
}

void FastLocalPathNote(struct FastLocalPath* path, const struct sockaddr_un* name)
{
    (void)note(path, name);
}

void FastLocalPathRemove(struct FastLocalPath* path)
{
    if (path->text[0] != '\0' && isSame(path))
        (void)unlink(path->text);
    path->text[0] = '\0';
}

/* A full backlog, and a socket of another type, are somebody's. */
static bool refuses(const struct sockaddr_un* name, socklen_t length)
{
    int handle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (handle < 0)
        return false;
    bool refused = connect(handle, (const struct sockaddr*)name, length) < 0 &&
                   errno == ECONNREFUSED;
    close(handle);
    return refused;
}

bool FastLocalPathReplace(const struct sockaddr_un* name, socklen_t length)
{
    struct FastLocalPath path;
    return note(&path, name) && refuses(name, length) && isSame(&path) && unlink(path.text) == 0;
}
