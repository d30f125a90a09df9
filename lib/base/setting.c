/*
 * Numbers in files of /proc, which are short.
 */
#include "base/setting.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
    SETTING_SIZE = 4096, /* of a file, as far as it is looked at */
    SETTING_BASE = 10,
};

/* What stands behind the word, or NULL. */
static const char* find(const char* text, const char* word)
{
    if (word == NULL)
        return text;
    size_t length = strlen(word);
    const char* line = text;
    while (line != NULL && strncmp(line, word, length) != 0) {
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return line != NULL ? line + length : NULL;
}

int64_t FastSettingRead(const char* path, const char* word, int64_t missing)
{
    char text[SETTING_SIZE];
    int handle = open(path, O_RDONLY | O_CLOEXEC);
    if (handle < 0)
        return missing;
    ssize_t size = read(handle, text, sizeof(text) - 1);
    close(handle);
    text[size > 0 ? size : 0] = '\0';
    const char* place = find(text, word);
    char* end = NULL;
    int64_t number = place != NULL ? strtoll(place, &end, SETTING_BASE) : 0;
    return place != NULL && end != place ? number : missing;
}
