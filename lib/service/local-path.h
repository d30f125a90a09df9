/*
 * The path of a listening socket of AF_UNIX.
 */
#ifndef FASTSOCKET_LOCAL_PATH_H
#define FASTSOCKET_LOCAL_PATH_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/* A path, and the file that it led to when it was ours. */
struct FastLocalPath
{
    char text[sizeof(((struct sockaddr_un*)0)->sun_path) + 1]; /* "": none */
    dev_t device;
    ino_t inode;
};

/* Notes the path that a socket was just bound to. */
void FastLocalPathNote(struct FastLocalPath* path, const struct sockaddr_un* name);

/* Removes it, if it still leads there, and forgets it. */
void FastLocalPathRemove(struct FastLocalPath* path);

/* Removes the file of a socket that nobody listens at. false: it is none, or can't be removed. */
bool FastLocalPathReplace(const struct sockaddr_un* name, socklen_t length);

#endif
