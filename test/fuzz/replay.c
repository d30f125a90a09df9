/*
 * Inputs in files, one after the other, with any compiler: what libFuzzer does with FILE arguments.
 *
 *     NAME-replay [NAME FOLDER_OR_FILE...]
 *
 * Prints TAP, one result for all; the input that ends the process otherwise is named. In the
 * environment FUZZ_VERBOSE has the target tell what it does.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
    INPUT_MOST = 1 << 16,
    PATH_MOST = 4096,
};

/* What outlives the process that runs the inputs. */
struct Progress
{
    char path[PATH_MOST];
    unsigned count;
};

static struct Progress* progress;

/* In memory of exactly its size, so that a sanitizer sees who reads beyond. */
static bool runFile(const char* path)
{
    static uint8_t buffer[INPUT_MOST];
    FILE* file = fopen(path, "rb");

    if (file == NULL)
        return false;
    size_t size = fread(buffer, 1, sizeof(buffer), file);
    fclose(file);
    uint8_t* data = malloc(size > 0 ? size : 1);
    if (data == NULL)
        return false;
    memcpy(data, buffer, size);
    snprintf(progress->path, sizeof(progress->path), "%s", path);
    progress->count++;
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    return true;
}

/* In the order of their names, so that each run is the same. */
static bool runFolder(const char* path)
{
    struct dirent** entries;
    bool right = true;
    int count = scandir(path, &entries, NULL, alphasort);

    for (int index = 0; index < count; index++) {
        char name[PATH_MOST];
        if (entries[index]->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entries[index]->d_name);
        right = runFile(name) && right;
    }
    return right && count >= 0;
}

static bool runAny(const char* path)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return false;
    return S_ISDIR(status.st_mode) ? runFolder(path) : runFile(path);
}

static void runAll(int count, char** paths)
{
    bool right = true;

    for (int index = 0; index < count; index++)
        right = runAny(paths[index]) && right;
    fflush(stdout);
    _exit(right ? 0 : 1);
}

int main(int count, char** arguments)
{
    int status = 0;

    if (count < 3) {
        fprintf(stderr, "usage: %s NAME FOLDER_OR_FILE...\n", arguments[0]);
        return 2;
    }
    progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                    -1, 0);
    if (progress == MAP_FAILED)
        return 1;
    printf("1..1\n");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        runAll(count - 2, arguments + 2);
    bool right = child > 0 && waitpid(child, &status, 0) == child && status == 0 &&
                 progress->count > 0;
    if (!right)
        printf("# status %x at %s; to see it: FUZZ_VERBOSE=1 %s %s %s\n", (unsigned)status,
               progress->path, arguments[0], arguments[1], progress->path);
    printf("# %u inputs\n", progress->count);
    printf("%s 1 - %s/corpus\n", right ? "ok" : "not ok", arguments[1]);
    return right ? 0 : 1;
}
